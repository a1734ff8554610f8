"""What the publisher says is checked; what the folder says is read."""

from types import SimpleNamespace

import pytest
from huggingface_hub import hf_hub_download

from clipseg_hf.hub import publish_checkpoint
from clipseg_hf.hub.origins import Origin, Release, find_base

from hub.conftest import LICENSES  # isort: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repo_id": "bolts"}, "A repository on the Hub is called account/name, as me/my-clipseg; got 'bolts' wit"),
        ({"license": ""}, "license is an identifier of the Hub's such as apache-2.0, mit or cc-by-4.0; got ''."),
        ({"license": "MIT License"}, "got 'MIT License'. The list: https://huggingface.co/docs/hub/repositories-lic"),
        ({"data_license": " "}, "data_license says under what terms the training data are, such as cc-by-4.0, or in"),
        (
            {"base_model": "/models/clip"},
            "base_model is an id on the Hub, such as openai/clip-vit-base-patch16; got '/m",
        ),
        ({"onnx": True, "decoder_only": True}, "onnx needs the whole model, and decoder_only leaves its CLIP out"),
        ({"base_revision": "v1"}, "base_revision is a revision of base_model: give both."),
        ({"prompts": ("dog", " ")}, "prompts are phrases, none of them empty; got 'dog', ' '"),
        ({"prompts": ("dog |",)}, "A prompt cannot be read: a phrase is missing here"),
    ],
)
def test_what_is_missing_or_wrong(changes, message):
    with pytest.raises(ValueError) as error:
        Release(**{"repo_id": "me/bolts", **LICENSES, **changes})
    assert message in str(error.value)


def test_a_folder_without_a_training_tells_nothing(tmp_path):
    assert Origin.read(tmp_path) == Origin()


def test_recipe_and_provenance_are_read_without_paths(trained, tmp_path):
    origin = Origin.read(trained)
    assert origin.recipe["data_options"] == {"images": "pictures"} and origin.recipe["train_data"] == "bolts"
    assert origin.result["step"] == 500
    origin.write(tmp_path)
    assert Origin.read(tmp_path).recipe == origin.recipe and Origin.read(tmp_path).provenance == origin.provenance


def test_other_trainings_that_are_part_of_it_are_kept(tmp_path):
    """Of an average of checkpoints, and of what was put beside the decoder after."""
    notes = {"recipe-2.yaml": "train_data: /data/more\n", "refiner-provenance.json": '{"clip": "abc"}'}
    (tmp_path / "from").mkdir()
    others = {
        "recipe-3.yaml": "",
        "my-recipe.yaml": "salt: 1",
        "provenance-notes.json": "{}",
    }  # empty, and a user's own
    for name, text in (notes | others).items():
        (tmp_path / "from" / name).write_text(text)
    origin = Origin.read(tmp_path / "from")
    assert origin.others == {"recipe-2.yaml": {"train_data": "more"}, "refiner-provenance.json": {"clip": "abc"}}
    origin.write(tmp_path)
    assert Origin.read(tmp_path) == origin


def _base(release=None, recipe=None, **config):
    release = Release("me/bolts", **LICENSES, **(release or {}))
    return find_base(release, SimpleNamespace(**config), Origin(recipe or {}))


def test_the_base_is_what_publisher_configuration_or_recipe_say():
    assert _base() is None
    base = _base({"base_model": "a/b", "base_revision": "v1"}, base_model_name_or_path="c/d")
    assert (base.name, base.revision, base.on_hub) == ("a/b", "v1", True)
    assert base.link == "[a/b](https://huggingface.co/a/b) (revision `v1`)"
    base = _base(recipe={"clip_name_or_path": "/models/clip"})
    assert (base.name, base.on_hub, base.link) == ("clip", False, "`clip`")
    assert _base(recipe={"model_name_or_path": "emoji-tiny"}).link == "the checkpoint that comes with clipseg-hf"


def test_a_name_in_a_file_is_on_the_hub_where_the_cache_has_it(hub, trained):
    """ "outputs/clip" looks like an id, too, and whether there is one of that name says nothing."""
    upload = publish_checkpoint(trained, "me/start", **LICENSES)
    asked = len(hub.asked)
    assert not _base(base_model_name_or_path="me/start").on_hub and len(hub.asked) == asked
    hf_hub_download("me/start", "config.json")
    asked = len(hub.asked)
    base = _base(base_model_name_or_path="me/start")
    assert (base.on_hub, base.revision) == (True, upload.commit) and len(hub.asked) == asked
