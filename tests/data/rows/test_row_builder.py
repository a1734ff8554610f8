import pytest

from clipseg_hf.data.rows.row_builder import RowBuilder, load_rows
from clipseg_hf.data.rows.row_source import RowSource


class Shelf(RowSource):
    """A source whose rows are what a function makes."""

    where = "the shelf"
    splits = ("train",)

    def __init__(self, make_rows):
        self.make_rows = make_rows

    def fingerprint(self):
        return "0" * 8

    def shards(self, split, summary):
        return [[0]]

    def rows(self, split, shard, summary):
        return self.make_rows()


def load(tmp_path, make_rows):
    return load_rows(RowBuilder(Shelf(make_rows), "shelf", cache_dir=tmp_path), "train")


def test_what_a_reader_says_reaches_the_user(tmp_path):
    def break_off():
        raise ValueError("1.json, line 3: expected a number.")
        yield

    with pytest.raises(ValueError, match=r"^1\.json, line 3: expected a number\.$"):
        load(tmp_path, break_off)


def test_data_without_rows_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"^Nothing is left of train of the shelf to make rows of\. 0 rows with 0 phr"):
        load(tmp_path, lambda: iter(()))
