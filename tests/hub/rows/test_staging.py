"""The folder of a data set, before it goes up."""

import re
from functools import partial

import datasets
import pyarrow.parquet
import pytest

from clipseg_hf.data import ROW_FEATURES, make_phrase
from clipseg_hf.hub.rows import staging
from clipseg_hf.hub.rows.reading import PublishedRows, read_rows
from clipseg_hf.hub.rows.release import DataRelease
from clipseg_hf.hub.rows.staging import stage_dataset
from hub.rows.conftest import LICENSES

RELEASE = DataRelease("me/bolts", **LICENSES)


def test_nothing_is_written_between_other_files(pictures, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(FileExistsError, match=r"out is not empty; name a new folder\."):
        stage_dataset(read_rows(pictures), RELEASE, tmp_path / "out")


def test_no_file_names_where_it_was_made(pictures, tmp_path):
    stage_dataset(read_rows(pictures), RELEASE, tmp_path / "out")
    for path in (tmp_path / "out").rglob("*.*"):
        assert str(tmp_path).encode() not in path.read_bytes()
    [row, *_] = pyarrow.parquet.read_table(tmp_path / "out" / "data", columns=["image"]).to_pylist()
    assert row["image"]["path"] == "one.jpg"


def test_phrases_that_name_a_folder_of_this_machine_are_refused(pictures, tmp_path):
    rows = read_rows(pictures).splits["train"]

    def named(row):
        phrase = make_phrase(f"bolt of {tmp_path.resolve()}", row["phrases"][0]["mask"], phrase_id="x")
        return {"phrases": [phrase]}

    changed = PublishedRows({"train": rows.map(named)}, ROW_FEATURES, "", place=tmp_path)
    with pytest.raises(ValueError, match=r"names .*, a folder of this machine, which nobody else should read"):
        stage_dataset(changed, RELEASE, tmp_path / "out")
    assert not (tmp_path / "out").exists()  # so that it can be tried again, there


def test_an_image_that_changes_meanwhile_is_found_out(pictures, tmp_path, monkeypatch):
    rows = read_rows(pictures)

    def write_and_change(data, folder):
        files = save(data, folder)
        path = pictures / "images" / "two.jpg"
        path.write_bytes(path.read_bytes() + b"\0")
        return files

    save = staging.save_parquet
    monkeypatch.setattr(staging, "save_parquet", write_and_change)
    with pytest.raises(ValueError, match=r"Row \d of train that is read back differs .* Did an image file change mean"):
        stage_dataset(rows, RELEASE, tmp_path / "out")


def test_an_image_that_is_gone_is_named(pictures, tmp_path):
    rows = read_rows(pictures)
    (pictures / "images" / "two.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"two\.jpg"):
        stage_dataset(rows, RELEASE, tmp_path / "out")


def test_large_data_is_in_several_files_of_one_split(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("clipseg_hf.data.parquet_files._ROWS_AT_ONCE", 1)
    monkeypatch.setattr(staging, "save_parquet", partial(staging.save_parquet, bytes_per_file=1))
    names = stage_dataset(read_rows(pictures), RELEASE, tmp_path / "out")
    assert [name for name in names if "data/" in name] == [f"data/train-0000{n}-of-00003.parquet" for n in range(3)]
    read = datasets.load_dataset(str(tmp_path / "out"), split="train")  # which counts the rows that the card promises
    assert len(read) == 3


def test_a_broken_image_is_left_out_and_told(pictures, tmp_path, caplog):
    path = pictures / "images" / "two.jpg"
    path.write_bytes(path.read_bytes()[:-900])
    stage_dataset(read_rows(pictures), RELEASE, tmp_path / "out")
    assert re.search(r"1 broken image left out of what is published: two \(.*\)\.", caplog.text)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| train | 2 | 2 | 2 | 1 | 2 |" in card and "\n1 row(s) with an image that cannot be decoded" in card
    assert [row["image_id"] for row in datasets.load_dataset(str(tmp_path / "out"), split="train")] == ["one", "three"]


def test_so_is_a_sample_whose_support_is_broken(phrasecut, tmp_path):
    path = phrasecut / "images" / "2.jpg"
    path.write_bytes(path.read_bytes()[:-900])
    rows = read_rows(phrasecut, plus=True, split="train")
    [samples] = rows.splits.values()
    assert rows.broken == 6 - len(samples) >= 2
    assert "2" not in {*samples["image_id"], *samples["support_image_id"]}
    assert all(sample["image"].load() for sample in samples)
