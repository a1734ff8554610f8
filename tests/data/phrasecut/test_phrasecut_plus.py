import json
import logging
import multiprocessing
import os
import shutil

import datasets
import numpy as np
import pytest
from PIL import Image

from clipseg_hf.data import PhraseCutPlus, load_phrasecut_plus
from clipseg_hf.data.phrasecut.phrasecut_files import PhraseCutFiles
from clipseg_hf.data.rows.flaws import FlawError
from clipseg_hf.data.rows.rows import ROW_FEATURES


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def content(dataset):
    """The rows as plain values, images as pixels."""
    return [{**row, "image": np.asarray(row["image"]).tolist()} for row in dataset]


def test_all_splits_come_as_rows_of_images(phrasecut_dir, cache):
    data = load_phrasecut_plus(phrasecut_dir, cache_dir=cache)

    assert {split: len(rows) for split, rows in data.items()} == {"train": 3, "val": 1, "miniv": 1}
    assert data["train"].features == ROW_FEATURES
    assert data["train"][0]["image"].size == (60, 40)
    assert [entry["phrase"] for entry in data["train"][2]["phrases"]] == ["red box", "tall tree"]
    assert "3 rows with 6 phrases" not in data["train"].info.description  # but of all splits together:
    assert "5 rows with 8 phrases" in data["train"].info.description


def test_only_the_split_that_is_asked_for_is_read(layout, cache):
    root = layout.write()
    (root / "refer_train.json").write_text("broken")

    assert len(load_phrasecut_plus(root, "val", cache_dir=cache)) == 1
    assert len(load_phrasecut_plus(root, "val[:50%]+miniv", cache_dir=cache)) == 1
    with pytest.raises(ValueError, match="There is no split validation; there are train, val, miniv"):
        load_phrasecut_plus(root, "validation", cache_dir=cache)


def test_streaming_gives_the_same_rows_without_a_cache(phrasecut_dir, cache):
    streamed = load_phrasecut_plus(phrasecut_dir, "train", streaming=True, cache_dir=cache)

    assert not list(cache.rglob("*.arrow"))
    assert content(streamed) == content(load_phrasecut_plus(phrasecut_dir, "train", cache_dir=cache))


@pytest.fixture
def many(layout, monkeypatch):
    """A layout that is read in several shards."""
    monkeypatch.setattr("clipseg_hf.data.rows.row_source.IMAGES_PER_SHARD", 2)
    for image_id in range(5, 12):
        layout.sizes[image_id] = (40, 60)
        layout.tasks["train"].append({**layout.tasks["train"][0], "image_id": image_id, "task_id": f"{image_id}__0"})
    layout.tasks["train"][-1]["phrase"] = ""
    return layout.write()


def test_two_processes_build_the_same_as_one_and_count_the_same(many, tmp_path):
    one = PhraseCutPlus(many, only_splits=("train",), cache_dir=tmp_path / "one")
    two = PhraseCutPlus(many, only_splits=("train",), cache_dir=tmp_path / "two")
    one.download_and_prepare()
    two.download_and_prepare(num_proc=2)

    assert len(list((tmp_path / "two").rglob("*.arrow"))) == 2
    assert content(one.as_dataset("train")) == content(two.as_dataset("train"))
    assert one.summary == two.summary
    assert one.summary.rows == 9 and one.summary.flaws == {"empty_phrase": 1}
    assert one.summary.filtered == {"image has no phrase left": 1}


def test_a_flaw_in_another_process_stops_a_strict_build_by_its_name(many, cache):
    with pytest.raises(FlawError, match=r"task 11__0: the phrase has no words \(empty_phrase\)\. strict=True stops"):
        load_phrasecut_plus(many, "train", num_proc=2, strict=True, cache_dir=cache)
    with pytest.raises(FlawError, match=r"task 11__0: the phrase has no words"):
        load_phrasecut_plus(many, "train", strict=True, cache_dir=cache)


def test_the_build_ends_with_a_summary_that_stays_with_it(layout, cache, caplog):
    layout.tasks["train"][0]["phrase"] = ""
    root = layout.write()
    (root / "images" / "3.jpg").unlink()

    with caplog.at_level(logging.WARNING, logger="clipseg_hf"):
        builder = PhraseCutPlus(root, cache_dir=cache)
        builder.download_and_prepare()

    assert "missing_image: the image file is not there; left the image out (image 3)" in caplog.text
    assert "empty_phrase: the phrase has no words; left the phrase out (task 1__0)" in caplog.text
    again = PhraseCutPlus(root, cache_dir=cache)
    assert again.summary == builder.summary and again.summary.flaws == {"missing_image": 1, "empty_phrase": 1}
    assert not list(cache.rglob("build_summary.*.*.json"))


def test_without_a_build_there_is_no_summary(phrasecut_dir, cache):
    with pytest.raises(FileNotFoundError, match=r"build_summary\.json is not there: call download_and_prepare"):
        _ = PhraseCutPlus(phrasecut_dir, cache_dir=cache).summary


def test_streaming_says_what_it_left_out(layout, cache, caplog):
    layout.tasks["train"][0]["phrase"] = ""

    with caplog.at_level(logging.WARNING, logger="clipseg_hf"):
        list(load_phrasecut_plus(layout.write(), "train", streaming=True, cache_dir=cache))

    assert "train, as far as it was streamed: 3 rows with 5 phrases" in caplog.text and "empty_phrase" in caplog.text


def test_images_of_an_archive_are_not_looked_for_in_the_working_folder(phrasecut_dir, cache, tmp_path, monkeypatch):
    shutil.make_archive(tmp_path / "pc", "zip", phrasecut_dir)
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        Image.new("RGB", (60, 40), "red").save(tmp_path / name)
    monkeypatch.chdir(tmp_path)

    rows = load_phrasecut_plus(tmp_path / "pc.zip", "train", cache_dir=cache)

    assert content(rows) == content(load_phrasecut_plus(phrasecut_dir, "train", cache_dir=cache))


def test_a_changed_file_is_noticed_and_an_unchanged_one_is_not_read_again(layout, cache, monkeypatch):
    root = layout.write()
    load_phrasecut_plus(root, "train", cache_dir=cache)
    with monkeypatch.context() as patch:
        patch.setattr("clipseg_hf.data.phrasecut.phrasecut_files.PhraseCutFiles.rows", None)
        assert len(load_phrasecut_plus(root, "train", cache_dir=cache)) == 3

    layout.tasks["train"][0]["phrase"] = "blue box"
    (root / "refer_train.json").write_text(json.dumps(layout.tasks["train"]))
    assert load_phrasecut_plus(root, "train", cache_dir=cache)[0]["phrases"][0]["phrase"] == "blue box"

    Image.new("RGB", (61, 40)).save(root / "images" / "1.jpg")
    assert len(load_phrasecut_plus(root, "train", cache_dir=cache)) == 2


def test_other_options_are_another_build(phrasecut_dir, cache):
    assert len(load_phrasecut_plus(phrasecut_dir, "train", cache_dir=cache)) == 3
    few = load_phrasecut_plus(phrasecut_dir, "train", without_words=["red"], cache_dir=cache)
    assert [entry["phrase"] for row in few for entry in row["phrases"]] == [
        "small cow on box",
        "tall tree",
        "tall tree",
    ]


def test_the_filters_of_the_paper_count_what_they_take_out(phrasecut_dir, cache):
    builder = PhraseCutPlus(
        phrasecut_dir, without_concepts=("unseen-4",), without_words=("tree",), min_area=0.06, cache_dir=cache
    )
    builder.download_and_prepare()

    assert [entry["phrase"] for row in builder.as_dataset("train") for entry in row["phrases"]] == [
        "red box",
        "red box",
        "red box",
    ]
    assert builder.summary.filtered == {
        "phrase names unseen-4": 1,
        "phrase holds the word 'tree'": 3,
        "phrase covers less than 0.06 of the image": 1,
        "image has no phrase left": 2,
    }


def die_building(root, cache):
    read = PhraseCutFiles.rows

    def rows(self, split, shard, summary):
        yield next(read(self, split, shard, summary))
        os._exit(9)  # as when the machine goes down

    PhraseCutFiles.rows = rows
    load_phrasecut_plus(root, cache_dir=cache)


def test_an_interrupted_build_is_not_taken_for_a_finished_one(phrasecut_dir, cache):
    process = multiprocessing.get_context("fork").Process(target=die_building, args=(phrasecut_dir, cache))
    process.start()
    process.join()
    assert process.exitcode == 9
    [left_over] = cache.rglob("*.incomplete")
    (left_over / "build_summary.train.rows.7.json").write_text("{")  # half written

    data = load_phrasecut_plus(phrasecut_dir, cache_dir=cache)

    assert len(data["train"]) == 3 and not left_over.exists()
    assert PhraseCutPlus(phrasecut_dir, cache_dir=cache).summary.rows == 5


def test_broken_json_stops_the_build_by_its_byte(layout, cache):
    path = layout.write() / "refer_val.json"
    path.write_text(path.read_text()[:-20])

    with pytest.raises(ValueError, match=r"refer_val\.json is not valid JSON at byte \d+"):
        load_phrasecut_plus(layout.root, cache_dir=cache)


def test_wrong_options_are_named(phrasecut_dir, cache):
    with pytest.raises(ValueError, match="config_name is one of images, plus; got 'full'"):
        PhraseCutPlus(phrasecut_dir, "full", cache_dir=cache)
    with pytest.raises(TypeError, match="without_words takes several, got the text 'red'"):
        PhraseCutPlus(phrasecut_dir, without_words="red", cache_dir=cache)
    with pytest.raises(ValueError, match="min_area is a share of the image's area"):
        PhraseCutPlus(phrasecut_dir, min_area=20, cache_dir=cache)


def test_it_is_a_builder_of_datasets_with_two_configurations():
    assert issubclass(PhraseCutPlus, datasets.GeneratorBasedBuilder)
    assert list(PhraseCutPlus.builder_configs) == ["images", "plus"]
