"""The folder of a published checkpoint: what is in it, who can load it, and what stays at home."""

import getpass
import json
import platform
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
import yaml
from PIL import Image

from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.hub import staging
from clipseg_hf.hub.checking import check_loading
from clipseg_hf.hub.origins import Release
from clipseg_hf.hub.portable import SUFFIXES, _texts_of
from clipseg_hf.hub.staging import Checkpoint, named_prompts, stage_checkpoint

from hub.conftest import LICENSES, change_weights, make_trained, write_report  # isort: skip


@pytest.fixture(scope="module")
def staged(trained, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("staging")
    Image.new("RGB", (80, 60), "red").save(place / "mine.jpg")
    reports = {
        "reports": (write_report(place / "after", 0.7),),
        "reports_before": (write_report(place / "before", 0.4),),
    }
    release = Release(
        "me/bolts", **LICENSES, **reports, prompts=("rusty bolt", "weld seam"), samples=(place / "mine.jpg",),
        report_dataset="me/bolts-data",
    )  # fmt: skip
    stage_checkpoint(Checkpoint.load(trained), release, place / "out")
    return place / "out"


def test_what_is_in_it(staged):
    names = {path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file()}
    code = {path.name for path in (Path(staging.__file__).parent / "repository_files").glob("*.*")}
    assert names - code == {
        *("README.md", "config.json", "model.safetensors", "processor_config.json", "tokenizer.json"),
        *("tokenizer_config.json", "recipe.yaml", "provenance.json", ".eval_results/clipseg-hf.yaml"),
        *("evaluation/referring-bolts.json", "evaluation/referring-bolts-curves.png"),
        *("samples/1.jpg", "samples/1_found.jpg"),
    }
    assert code <= names


def test_nothing_tells_of_this_machine_or_runs_code(staged, trained, tmp_path_factory):
    places = [str(tmp_path_factory.getbasetemp()), str(Path.home()), str(trained)]
    words = [rf"\b{re.escape(name)}\b" for name in (getpass.getuser(), platform.node())]
    paths = r"(?<![\w:/.)}<])/(home|root|Users|tmp|var|mnt)\b"
    for path in filter(Path.is_file, staged.rglob("*")):
        assert path.suffix in SUFFIXES
        text = b"".join(_texts_of(path)).decode()
        assert not [place for place in places if place in text], path.name
        if path.name != "tokenizer.json":  # whose vocabulary has words of any kind
            assert not re.search("|".join([*words, paths]), text), path.name


def test_ours_and_stock_load_the_very_weights(staged, trained):
    expected = CLIPSegForImageSegmentation.from_pretrained(trained).state_dict()
    for cls in (CLIPSegForImageSegmentation, transformers.CLIPSegForImageSegmentation):
        found = cls.from_pretrained(staged).state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert CLIPSegProcessor.from_pretrained(staged).mask_thresholds["text"] == 0.5


def test_the_prompts_are_the_labels(staged):
    config = transformers.AutoConfig.from_pretrained(staged)
    assert config.id2label == {0: "rusty bolt", 1: "weld seam"} and config.label2id["weld seam"] == 1
    assert named_prompts(config) == ("rusty bolt", "weld seam")
    assert named_prompts(transformers.CLIPSegConfig()) == ()


def test_a_whole_checkpoint_names_its_pipeline_and_a_decoder_has_none(staged):
    entry = json.loads((staged / "config.json").read_text())["custom_pipelines"]["image-segmentation"]
    assert entry["impl"] == "custom_pipeline.PromptedImageSegmentationPipeline"
    assert entry["pt"] == ["CLIPSegForImageSegmentation"]
    assert 'pipeline("image-segmentation"' in (staged / "README.md").read_text()


def test_a_sample_is_pixels_alone(trained, tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "the maker of the camera"
    Image.new("RGB", (3000, 60), "red").save(tmp_path / "mine.jpg", exif=exif)
    release = Release("me/bolts", **LICENSES, prompts=("rusty bolt",), samples=(tmp_path / "mine.jpg",))
    stage_checkpoint(Checkpoint.load(trained), release, tmp_path / "out")
    picture = Image.open(tmp_path / "out" / "samples" / "1.jpg")
    assert picture.width == 1024 and not picture.getexif()


def test_pictures_of_ones_own_need_something_to_ask(trained, tmp_path):
    Image.new("RGB", (80, 60)).save(tmp_path / "mine.jpg")
    release = Release("me/bolts", **LICENSES, samples=(tmp_path / "mine.jpg",))
    with pytest.raises(ValueError, match="The samples are asked for the checkpoint's prompts, and there are none"):
        stage_checkpoint(Checkpoint.load(trained), release, tmp_path / "out")
    assert not (tmp_path / "out").exists()  # it was found after the weights were written, and can be tried again


def test_twice_the_same(trained, tmp_path):
    """So that a second try uploads nothing anew."""
    release = Release("me/bolts", **LICENSES)
    names = [stage_checkpoint(Checkpoint.load(trained), release, tmp_path / name) for name in ("a", "b")]
    assert names[0] == names[1]
    assert not [n for n in names[0] if (tmp_path / "a" / n).read_bytes() != (tmp_path / "b" / n).read_bytes()]


def test_a_decoder_needs_a_base_that_others_have(trained, tmp_path):
    release = Release("me/bolts", **LICENSES, decoder_only=True)
    with pytest.raises(
        ValueError, match=r"names its base CLIP by its id on the Hub, but this one's is start, which is"
    ):
        stage_checkpoint(Checkpoint.load(trained), release, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_be_read_back_is_not_published(trained, tmp_path):
    checkpoint = Checkpoint.load(trained)
    copy = make_trained(tmp_path / "final")
    change_weights(copy, 1e-7)
    message = r"What clipseg-hf loads from the files differs .* in 1 of \d+ weights, decoder\.film_mul\.bias among them"
    with pytest.raises(ValueError, match=message):
        check_loading(copy, checkpoint.model, checkpoint.processor, whole=True)


@pytest.mark.parametrize("fields", [{"conditional_layers": [0, 1]}, {"prompt_tokens": {"text": 3, "image": 4}}])
def test_a_decoder_that_stock_cannot_run_is_published_alone(trained, tmp_path, fields):
    checkpoint = Checkpoint.load(trained)
    model = CLIPSegForImageSegmentation.from_pretrained(trained, **fields)
    model.save_pretrained(tmp_path)
    checkpoint.processor.save_pretrained(tmp_path)
    (name,) = fields
    message = rf"has {name}=.*, which transformers' own CLIPSeg would leave away .*--decoder-only"
    with pytest.raises(ValueError, match=message):
        check_loading(tmp_path, model, checkpoint.processor, whole=True)
    check_loading(tmp_path, model, checkpoint.processor, whole=False)


def test_what_stands_beside_a_decoder_is_published_with_it_whole(trained, tmp_path):
    checkpoint = Checkpoint.load(trained)
    both = {"refiner": {"channels": 4}, "prompt_tokens": {"text": 3, "image": 4, "beside": True}}
    model = CLIPSegForImageSegmentation.from_pretrained(trained, **both)
    stage_checkpoint(replace(checkpoint, model=model), Release("me/bolts", **LICENSES), tmp_path / "out")
    assert {f"{name}.safetensors" for name in both} <= {path.name for path in (tmp_path / "out").iterdir()}
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "By transformers alone, which leaves away the prompt attention and the refiner" in card


def test_places_that_do_not_fit(trained, tmp_path):
    (tmp_path / "a file").touch()
    with pytest.raises(FileExistsError, match="is not empty; name a new folder"):
        stage_checkpoint(Checkpoint.load(trained), Release("me/bolts", **LICENSES), tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no folder me/bolts: what is published is the folder of a"):
        Checkpoint.load("me/bolts")
    with pytest.raises(ValueError, match="is the folder of a training run; did you mean"):
        Checkpoint.load(trained.parent)


def test_the_recipe_can_be_used_again(staged):
    from clipseg_hf.training import CLIPSegTrainingArguments
    from clipseg_hf.training.runs import resuming

    recipe = CLIPSegTrainingArguments.from_yaml(staged / resuming.RECIPE)
    assert recipe.max_steps == 500 and recipe.train_data == "bolts"
    assert json.loads((staged / resuming.PROVENANCE).read_text())["train_data"] == "0123456789abcdef"
    assert yaml.safe_load((staged / ".eval_results" / "clipseg-hf.yaml").read_text())[0]["value"] == 70.0
