"""Names of files that never meet, and what is in them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clipseg_hf.inference import Segmentation
from clipseg_hf.inference.saving import FORMS, ResultWriter, label_map_image
from clipseg_hf.processing import decode_rle, load_map


def _names(writer: ResultWriter) -> list[str]:
    paths = [path for files in writer.files for given in files.values() for path in np.ravel(given)]
    return [path.name for path in paths]


@pytest.fixture
def result() -> Segmentation:
    """The left and the right part of 6 x 4 pixels, which overlap in the middle."""
    logits = torch.full((2, 4, 6), -3.0)
    logits[0, :, :4], logits[1, :, 2:] = 1.0, 3.0
    image = Image.new("RGB", (6, 4), "grey")
    return Segmentation.from_logits(image, logits, ["a cat", "A Cat!"], ["text"] * 2, [0.5] * 2, 0.3)


def test_files_of_one_image(tmp_path, result):
    writer = ResultWriter(tmp_path / "new" / "out", ["pets/x.jpg"], result.labels, forms=FORMS, model="m")
    written = writer.write(0, result)
    names = ["x_a-cat.png", "x_a-cat-2.png", "x_overlay.png", "x_a-cat_heat.png", "x_a-cat-2_heat.png"]
    names += ["x_a-cat_cutout.png", "x_a-cat-2_cutout.png"]
    names += ["x_a-cat_soft.png", "x_a-cat-2_soft.png", "x_a-cat_soft16.png", "x_a-cat-2_soft16.png", "x.json"]
    assert [path.name for path in written] == names
    assert sorted(path.name for path in (tmp_path / "new" / "out").iterdir()) == sorted(names)
    for path, mask in zip(written, result.masks, strict=False):
        assert np.array_equal(load_map(path), mask * np.uint8(255))
    record = json.loads(written[-1].read_text())
    assert record["image"] == "pets/x.jpg"
    assert record["model"] == "m"
    assert [prompt["mask_file"] for prompt in record["prompts"]] == names[:2]
    assert np.array_equal(decode_rle(record["prompts"][1]["rle"]), result.masks[1])


def test_cutouts_and_soft_masks_are_what_clean_asked_for(tmp_path, result):
    soft = result.clean(feather=1)
    writer = ResultWriter(tmp_path, ["x.jpg"], result.labels, forms=("masks", "cutouts"))
    mask, _, cutout, _ = (Image.open(path) for path in writer.write(0, soft))
    np.testing.assert_allclose(np.asarray(mask) / 255, soft.soft_mask(0), atol=0.5 / 255)
    assert 0 < np.asarray(mask).min() < 255  # grey between
    assert cutout.mode == "RGBA" and cutout.tobytes() == soft.cutout(0).tobytes()


def test_probabilities_are_kept_to_the_depth_of_the_file(tmp_path, result):
    writer = ResultWriter(tmp_path, ["x.jpg"], result.labels, forms=("soft", "soft16"))
    pictures = [np.asarray(Image.open(path)) for path in writer.write(0, result)]
    assert [picture.dtype for picture in pictures] == [np.uint8] * 2 + [np.uint16] * 2
    for number, picture in enumerate(pictures):
        most = np.iinfo(picture.dtype).max
        np.testing.assert_allclose(picture / most, result.probabilities(number % 2), atol=0.51 / most)


def test_semantic_results_are_one_map(tmp_path, result):
    writer = ResultWriter(tmp_path, ["x.jpg"], result.labels, semantic=True, forms=("masks", "json"))
    label_map, record = writer.write(0, result.exclusive())
    assert label_map.name == "x_labels.png"
    assert load_map(label_map).tolist() == [[1, 1, 2, 2, 2, 2]] * 4
    assert len(Image.open(label_map).convert("RGB").getcolors()) == 2
    record = json.loads(record.read_text())
    assert record["label_map_file"] == "x_labels.png"
    assert [(prompt["number"], prompt["area"]) for prompt in record["prompts"]] == [(1, 8), (2, 16)]


def test_more_than_255_labels():
    label_map = np.arange(300).reshape(20, 15)
    assert np.array_equal(np.asarray(label_map_image(label_map)), label_map)


def test_images_of_one_name_keep_their_results_apart(tmp_path):
    images = ["a/x.jpg", "b/x.jpg", "b/X.png", "http://host/path/x.jpg?size=3", "data:image/png;base64,AAAA"]
    writer = ResultWriter(tmp_path, images, ["a cat"], forms=("overlay",))
    assert _names(writer) == [f"{stem}_overlay.png" for stem in ("x", "x-2", "X-3", "x-4", "image")]


def test_earlier_results_stay_unless_they_may_go(tmp_path, result):
    def write(**options) -> list[str]:
        return [path.name for path in ResultWriter(tmp_path, ["x.jpg"], ["a", "b"], **options).write(0, result)]

    first = write()
    content = {name: (tmp_path / name).read_bytes() for name in first}
    assert write() == ["x-2_a.png", "x-2_b.png", "x-2_overlay.png", "x-2.json"]
    assert content == {name: (tmp_path / name).read_bytes() for name in first}
    assert write(overwrite=True) == first


def test_what_is_replaced_leaves_no_mask_of_other_prompts(tmp_path, result):
    """A mask of the former question that stayed would look like one of the new."""
    Image.new("RGB", (6, 4)).save(tmp_path / "x_b.png")  # a picture that is asked, called as a mask might be

    def write(images: list[str], labels: list[str], **options) -> list[str]:
        writer = ResultWriter(tmp_path, [str(tmp_path / name) for name in images], labels, **options)
        return [path.name for number in range(len(images)) for path in writer.write(number, result)]

    before = write(["x.jpg", "y.jpg"], ["a", "c"], forms=FORMS)
    (tmp_path / "x_notes.png").write_text("not ours")
    record = json.loads((tmp_path / "x.json").read_text())
    assert record["files"] == [name for name in before if name.startswith("x")]
    # as a JSON that somebody made might say: a file elsewhere, one that is gone, the picture
    record["files"] += ["../elsewhere.png", "gone.png", "x_b.png", 3]
    (tmp_path / "x.json").write_text(json.dumps(record))
    elsewhere = tmp_path.parent / "elsewhere.png"
    elsewhere.touch()
    after = write(["x.jpg", "x_b.png"], ["c", "d"], overwrite=True)
    others = {name for name in before if name.startswith("y")} | {"x_b.png", "x_notes.png"}
    assert {path.name for path in tmp_path.iterdir()} == set(after) | others
    assert elsewhere.exists()


def test_results_of_the_same_question_are_known_again(tmp_path, result, monkeypatch):
    def writer(image="x.jpg", **options) -> ResultWriter:
        options = {"model": "m", "asked": {"threshold": 0.3}, "forms": ("json", "overlay")} | options
        return ResultWriter(tmp_path, [image], result.labels, **options)

    monkeypatch.chdir(tmp_path)
    assert writer().is_done == [False]
    writer().write(0, result)
    assert writer().is_done == writer("./x.jpg").is_done == writer(forms=("json",)).is_done == [True]
    assert writer(overwrite=True).is_done == [False]
    more = writer(forms=("json", "masks"))  # of the same question, so under the same name
    assert (more.is_done, more.files[0]["json"].name) == ([False], "x.json")
    others = ({"model": "n"}, {"model_files": "trained on"}, {"asked": {"threshold": 0.4}}, {"asked": None})
    for other in ({"image": "pets/x.jpg"}, *others):
        assert (writer(**other).is_done, writer(**other).files[0]["json"].name) == ([False], "x-2.json")
    Image.new("RGB", (3, 2)).save("x.jpg")  # another picture under the name
    assert (writer().is_done, writer().files[0]["json"].name) == ([False], "x-2.json")
    (tmp_path / "x.json").write_text('{"model": "m"')  # cut off
    assert (writer().is_done, writer().files[0]["json"].name) == ([False], "x-2.json")


def test_images_are_never_replaced(tmp_path):
    image = tmp_path / "x_overlay.png"
    image.touch()
    writer = ResultWriter(tmp_path, [str(tmp_path / "x.jpg"), str(image)], ["a"], forms=("overlay",), overwrite=True)
    assert _names(writer) == ["x-2_overlay.png", "x_overlay_overlay.png"]


def test_prompts_become_names_that_file_systems_take(tmp_path):
    labels = ["Überraschung/ei: 50 %", "고양이", "..", "overlay", "heat", "猫" * 200]
    writer = ResultWriter(tmp_path, ["y" * 300 + ".jpg"], labels, forms=("masks",))
    names = [name.removeprefix("y" * 120) for name in _names(writer)]
    assert names == [
        "_überraschung-ei-50.png", "_고양이.png", "_prompt.png", "_overlay-2.png", "_heat-2.png", f"_{'猫' * 30}.png",
    ]  # fmt: skip
    for name in _names(writer):
        (tmp_path / name).touch()


_words = st.text(alphabet="ab_-H2", max_size=4) | st.sampled_from(["heat", "overlay", "a_heat", "labels", "x-2"])


@given(
    images=st.lists(_words, min_size=1, max_size=4),
    labels=st.lists(_words, min_size=1, max_size=4),
    semantic=st.booleans(),
)
def test_no_two_files_share_a_name(images, labels, semantic):
    writer = ResultWriter("nowhere", [f"{image}.jpg" for image in images], labels, forms=FORMS, semantic=semantic)
    names = [name.casefold() for name in _names(writer)]
    assert len(set(names)) == len(names)


def test_unknown_form():
    with pytest.raises(ValueError, match=r"What can be saved is masks, overlay, .*cutouts, soft, soft16; got mask"):
        ResultWriter(Path("nowhere"), ["x.jpg"], ["a"], forms=("mask",))
