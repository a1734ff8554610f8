"""Where rows that are published come from, and what is known of them."""

import datasets
import pytest

from clipseg_hf.assets import EMOJI_SCENES
from clipseg_hf.data import ROW_FEATURES, load_phrasecut_plus, load_segmentation_dataset
from clipseg_hf.hub.rows.reading import read_rows


def test_a_folder_with_what_its_reader_left_out(pictures):
    (pictures / "images" / "two.jpg").unlink()
    rows = read_rows(pictures)
    assert {name: len(split) for name, split in rows.splits.items()} == {"train": 2}
    assert rows.summary.flaws == {"missing_image": 1} and rows.place == pictures
    assert (rows.description, rows.license_text) == ("Images with a mask for each phrase.", None)


def test_rows_in_memory_keep_the_account_of_their_build(phrasecut):
    (phrasecut / "images" / "3.jpg").unlink()
    data = load_phrasecut_plus(phrasecut)
    rows = read_rows(data)
    assert rows.summary.flaws == {"missing_image": 1} and rows.are_phrasecut and rows.place is None
    assert list(rows.splits) == ["train", "val", "miniv"]
    in_memory = datasets.Dataset.from_list(list(data["val"]), features=ROW_FEATURES)
    assert read_rows(in_memory).summary is None  # nobody knows


def test_undecoded_rows_are_published_as_images(phrasecut):
    data = load_phrasecut_plus(phrasecut, "val").cast_column("image", datasets.Image(decode=False))
    rows = read_rows(data)
    assert rows.splits["val"].features == ROW_FEATURES and not rows.are_samples


def test_filters_and_splits_are_for_rows_in_memory_too(phrasecut):
    data = load_segmentation_dataset(phrasecut)
    rows = read_rows(data, split="train", without_words=["tree"])
    assert list(rows.splits) == ["train"] and rows.are_phrasecut
    assert rows.summary.filtered == {"phrase holds the word 'tree'": 2}


def test_plus_is_drawn_from_files_with_their_account(phrasecut):
    (phrasecut / "images" / "4.jpg").unlink()
    rows = read_rows(phrasecut, plus=True, split="train", seed=1)
    assert rows.are_samples and rows.are_phrasecut and len(rows.splits["train"]) == 6
    assert read_rows(load_phrasecut_plus(phrasecut, "train", config_name="plus")).are_samples
    with pytest.raises(ValueError, match=r"^plus draws PhraseCut\+ from PhraseCut's files; got rows in memory\. Give"):
        read_rows(load_segmentation_dataset(phrasecut, "train"), plus=True)


def test_scenes_in_phrasecuts_layout_are_not_phrasecut():
    rows = read_rows(EMOJI_SCENES)
    assert not rows.are_phrasecut and rows.description.startswith("Scenes of emoji")
    assert rows.license_text.startswith("The pictures show emoji of the Noto Color Emoji font")
    assert list(rows.splits) == ["test"]  # the others are empty


def test_no_rows_at_all():
    nothing = datasets.Dataset.from_dict({name: [] for name in ROW_FEATURES}, features=ROW_FEATURES)
    with pytest.raises(
        ValueError, match=r"^There is nothing to publish: no split of train has rows that can be used\."
    ):
        read_rows(nothing)


def test_streamed_rows(phrasecut):
    with pytest.raises(
        TypeError, match=r"^Streamed rows cannot be counted and compared before they go up: load them wi"
    ):
        read_rows(load_segmentation_dataset(phrasecut, "train", streaming=True))
