import os

import numpy as np
import pytest

from clipseg_hf.data import ROW_FEATURES
from clipseg_hf.data.sources import load_segmentation_dataset
from clipseg_hf.data.sources.loading import recognise
from clipseg_hf.data.sources.splits import split_in_name

KINDS = ["coco", "voc", "imagefolder", "index_masks", "binary_masks", "phrasecut"]
KINDS += ["yolo", "labelme", "label_studio", "cvat_masks", "cvat_xml", "fiftyone", "refcoco", "reasonseg"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_layout_is_recognised_and_gives_the_same_rows(layouts, kind):
    rows = load_segmentation_dataset(layouts / kind, "train", strict=True, cache_dir=layouts / "cache")

    assert recognise(layouts / kind) == kind
    assert rows.features == ROW_FEATURES and len(rows) == 1
    assert [entry["phrase"] for entry in rows[0]["phrases"]] == ["aeroplane" if kind == "voc" else "box"]
    mask = rows[0]["phrases"][0]["mask"]
    assert mask["size"] == [20, 30]


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_file_is_noticed(layouts, kind, make):
    def sizes():
        rows = load_segmentation_dataset(layouts / kind, "train", cache_dir=layouts / "cache", num_proc=1)
        return np.asarray(rows[0]["image"])[0, 0, 0]

    assert sizes() == 128
    [image] = (layouts / kind).rglob("1.jpg")
    make.save_image(image, value=3)
    assert sizes() == 3


def test_filters_and_options_reach_every_kind(layouts):
    with pytest.raises(ValueError, match=r"(?s)Nothing is left of train.*filtered out: phrase holds the word 'box'"):
        load_segmentation_dataset(layouts / "coco", "train", without_words=("box",), cache_dir=layouts / "cache")
    with pytest.raises(
        TypeError, match=r"coco data has no option classes; it has annotations, images, phrase_field, crowds\."
    ):
        load_segmentation_dataset(layouts / "coco", classes=["a"], cache_dir=layouts / "cache")
    with pytest.raises(ValueError, match=r"kind is one of phrasecut, coco, .*columns; got 'labels'"):
        load_segmentation_dataset(layouts / "coco", kind="labels", cache_dir=layouts / "cache")
    with pytest.raises(ValueError, match=r"There is no split test; there are train\."):
        load_segmentation_dataset(layouts / "coco", "test", cache_dir=layouts / "cache")


def test_a_layout_that_is_not_known_says_what_was_found_and_what_would_be(tmp_path):
    (tmp_path / "stuff" / "pictures").mkdir(parents=True)
    (tmp_path / "stuff" / "notes.txt").write_text("")

    message = (
        r"(?s)stuff has no layout that is known\. Found: notes\.txt, pictures/\. Expected one of\n"
        r"  phrasecut: image_data.*coco: .*index_masks: images/.*say which with kind="
    )
    with pytest.raises(FileNotFoundError, match=message):
        load_segmentation_dataset(tmp_path / "stuff")
    with pytest.raises(FileNotFoundError, match=r"nowhere/at/all does not exist"):
        load_segmentation_dataset("nowhere/at/all")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("annotations/instances_train2017.json", "train"),
        ("valid/_annotations.coco.json", "val"),
        ("lvis_v1_val.json", "val"),
        ("data/test/labels.json", "test"),
        ("result.json", None),
        ("trains.json", None),
        ("trainings/val.json", "val"),
    ],
)
def test_splits_are_told_by_names(name, split):
    assert split_in_name(name) == split


@pytest.mark.parametrize(
    "name", ["./nowhere", "../nowhere", "~/nowhere", "/nowhere", "nowhere", "here/nowhere", "a/b/c"]
)
def test_what_reads_as_a_path_is_never_looked_up_on_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: pytest.fail("asked the Hub"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"(?s)(nowhere|a/b/c) does not exist\. Expected one of.*phrasecut: .*ChenyunWu"
    ):
        load_segmentation_dataset(name)


def test_a_name_of_the_hub_has_an_owner():
    assert recognise("me/my-photos_2") == "columns"


@pytest.mark.parametrize("name", ["export.json", "annotations.xml", "data.yaml", "metadata.jsonl"])
def test_pipes_and_devices_are_no_layout(tmp_path, name):
    (tmp_path / name).symlink_to("/dev/zero")
    os.mkfifo(tmp_path / f"2{name}")
    with pytest.raises((FileNotFoundError, ValueError), match=r"no layout that is known|There is no metadata"):
        load_segmentation_dataset(tmp_path, cache_dir=tmp_path / "cache")
