import datasets
import numpy as np
import pytest

from clipseg_hf.data.rows.row_phrases import truth_of, united_entry
from clipseg_hf.data.rows.rows import PHRASE_FEATURES, ROW_FEATURES, make_phrase
from clipseg_hf.processing import encode_rle


def bars(*columns: int) -> np.ndarray:
    """(2, 6) bool, True in some columns."""
    mask = np.zeros((2, 6), dtype=bool)
    mask[:, columns] = True
    return mask


def entry(phrase: str, mask: np.ndarray, ignore: np.ndarray | None = None) -> dict:
    ignored = None if ignore is None else encode_rle(ignore)
    return make_phrase(phrase, encode_rle(mask), phrase_id=phrase, ignore=ignored)


# a pixel of the mask counts, whatever else is said of it
DOG, CAT = entry("dog", bars(0), bars(0, 1, 5)), entry("cat", bars(2), bars(3, 5))


def columns(pixels: np.ndarray | None) -> list[int] | None:
    return None if pixels is None else np.flatnonzero(pixels[0]).tolist()


def test_what_counts_by_hand():
    assert [columns(part) for part in truth_of([DOG, CAT], [0])] == [[0], [1, 5]]
    assert [columns(part) for part in truth_of([DOG, CAT], [0, 1])] == [[0, 2], [1, 3, 5]]
    assert [columns(part) for part in truth_of([DOG, entry("bird", bars(4))], [1])] == [[4], None]


def test_entries_with_the_same_phrase_are_one_question():
    entries = [DOG, CAT, entry("Dog", bars(1))]
    for number in (0, 2):
        assert [columns(part) for part in truth_of(entries, [number])] == [[0, 1], [5]]
    united = united_entry(entries, 2)
    assert [columns(part) for part in truth_of([united], [0])] == [[0, 1], [5]]


def test_for_what_is_not_there_the_pixels_do_not_count_that_count_for_no_phrase():
    assert truth_of([DOG, CAT, entry("bird", bars(4))], []) == (None, None)  # all count for the bird
    mask, ignored = truth_of([DOG, CAT], [])
    assert mask is None and columns(ignored) == [5]
    assert truth_of([], []) == (None, None)


def test_rows_without_the_field_are_as_before():
    old = {name: value for name, value in DOG.items() if name != "ignore"}
    assert truth_of([old], [0]).ignored is None and truth_of([old], []).ignored is None


def test_tables_keep_the_field_also_where_it_is_lacking(tmp_path):
    old = {name: value for name, value in DOG.items() if name != "ignore"}
    features = datasets.Features({"phrases": ROW_FEATURES["phrases"]})
    made = [{"phrases": [DOG, entry("bird", bars(4))]}, {"phrases": [old]}]
    datasets.Dataset.from_list(made, features=features).to_parquet(tmp_path / "rows.parquet")
    first, second = datasets.Dataset.from_parquet(str(tmp_path / "rows.parquet"), cache_dir=str(tmp_path))["phrases"]
    assert columns(truth_of(first, [0]).ignored) == [1, 5]
    assert truth_of(first, [1]).ignored is None and truth_of(second, [0]).ignored is None
    without = {name: feature for name, feature in PHRASE_FEATURES.items() if name != "ignore"}
    saved = datasets.Dataset.from_list([{"phrases": [old]}], features=datasets.Features({"phrases": [without]}))
    assert (
        columns(truth_of(saved[0]["phrases"], [0]).mask) == [0] and truth_of(saved[0]["phrases"], [0]).ignored is None
    )


def test_sizes_that_differ_are_named():
    with pytest.raises(ValueError, match=r"the masks \(and ignore\) of 'dog' differ in size: \[\(2, 6\), \(1, 6\)\]"):
        truth_of([entry("dog", bars(0), bars(1)[:1])], [0])
