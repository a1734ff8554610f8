"""What is read back is what was written, or it is told what is not."""

import datasets
import pytest

from clipseg_hf.data import ROW_FEATURES, make_phrase
from clipseg_hf.hub.rows.checking import check_reading, row_digests
from clipseg_hf.hub.rows.reading import read_rows
from clipseg_hf.hub.rows.release import DataRelease
from clipseg_hf.hub.rows.staging import stage_dataset
from hub.rows.conftest import LICENSES


@pytest.fixture
def staged(pictures, tmp_path):
    rows = read_rows(pictures)
    stage_dataset(rows, DataRelease("me/bolts", **LICENSES), tmp_path / "out")
    return rows.splits, tmp_path / "out"


def one_row(**changes):
    phrase = make_phrase("bolt", {"size": [4, 6], "counts": "04"}, phrase_id="1", boxes=[[0.5, 0.1, 2, 3]])
    row = {"image": {"bytes": b"pixels", "path": None}, "image_id": "a", "height": 4, "width": 6, "phrases": [phrase]}
    return datasets.Dataset.from_list([row | changes], features=ROW_FEATURES)


def test_a_digest_changes_with_every_value_and_every_byte(tmp_path):
    [known] = row_digests(one_row())
    assert [known] == list(row_digests(one_row())) == list(row_digests(one_row().to_iterable_dataset()))
    (tmp_path / "a.jpg").write_bytes(b"pixels")
    assert [known] == list(row_digests(one_row(image={"bytes": None, "path": str(tmp_path / "a.jpg")})))
    others = [{"image": {"bytes": b"pixelS", "path": None}}, {"image_id": "b"}, {"height": 5}, {"phrases": []}]
    assert len({known, *(next(row_digests(one_row(**change))) for change in others)}) == 5


def test_rows_that_are_as_written(staged):
    splits, folder = staged
    check_reading(folder, splits)


def test_a_row_that_differs_is_named(staged):
    splits, folder = staged
    other = {"train": splits["train"].select([0, 2, 1])}
    with pytest.raises(ValueError, match=r"^Row 1 of train that is read back differs from the one that was to be writ"):
        check_reading(folder, other)
    with pytest.raises(ValueError, match=r"^Row 2 of train that is read back differs"):  # one too many
        check_reading(folder, {"train": splits["train"].select([0, 1])})


def test_splits_and_columns_that_differ_are_named(staged):
    splits, folder = staged
    with pytest.raises(ValueError, match=r"^The splits that are read back are train, not train, val\. Nothing was up"):
        check_reading(folder, splits | {"val": splits["train"]})
    with pytest.raises(ValueError, match=r"^The columns of train that are read back are other ones\."):
        check_reading(folder, {"train": splits["train"].remove_columns("height")})
