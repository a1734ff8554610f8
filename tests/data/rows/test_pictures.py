"""Rows of one picture are told by its bytes, however the rows hold it, and without reading more than it takes."""

import datasets
import numpy as np
import pytest
from PIL import Image

from clipseg_hf.data.rows import pictures as module
from clipseg_hf.data.rows.pictures import number_pictures


def noise(seed, kind="PNG"):
    import io

    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 30, 3), np.uint8)).save(stream, kind)
    return stream.getvalue()


A, B = noise(0, "BMP"), noise(1, "BMP")


@pytest.fixture
def files(tmp_path):
    for name, content in {"a": A, "b": B, "again": A}.items():
        (tmp_path / name).write_bytes(content)
    return [str(tmp_path / name) for name in ("a", "b", "again")]


def test_copies_are_told_by_their_content_in_files_bytes_and_memory(files):
    stored = [{"path": path, "bytes": None} for path in files]
    held = [{"path": None, "bytes": content} for content in (A, B, A)]
    opened = [Image.open(path) for path in files]
    for images in (files, stored, held, opened, [np.asarray(image) for image in opened]):
        assert number_pictures([{"image": image} for image in images]).tolist() == [0, 1, 0]
    assert number_pictures([{"image": image} for image in (stored[0], held[1], held[0])]).tolist() == [0, 1, 0]


@pytest.mark.parametrize("embedded", [True, False])
def test_a_dataset_is_read_by_its_columns(files, embedded):
    images = [{"path": None, "bytes": content} for content in (A, B, A)] if embedded else files
    rows = datasets.Dataset.from_dict(
        {"photo": images, "n": range(3)},
        features=datasets.Features({"photo": datasets.Image(), "n": datasets.Value("int32")}),
    )
    assert number_pictures(rows, "photo").tolist() == [0, 1, 0]
    assert number_pictures(rows.select([1, 2, 0]), "photo").tolist() == [0, 1, 1]


def test_pictures_that_end_alike_are_read_as_a_whole(tmp_path):
    end = bytes(5000)
    rows = [{"image": content} for content in (b"one" + end, b"two" + end, b"one" + end, b"three" + end)]
    assert number_pictures(rows).tolist() == [0, 1, 0, 3]


def test_only_ends_are_read_where_all_pictures_differ(files, monkeypatch):
    monkeypatch.setattr(module, "digest_file", lambda path: pytest.fail(f"read {path} as a whole"))
    assert number_pictures([{"image": path} for path in files[:2]]).tolist() == [0, 1]


def test_what_is_missing_or_broken_is_like_no_other(tmp_path):
    Image.effect_noise((90, 90), 50).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:500])
    cut = [Image.open(tmp_path / "cut.png") for _ in range(2)]
    gone = {"path": str(tmp_path / "gone.jpg"), "bytes": None}
    rows = [
        {"image": None},
        {"image": None},
        {},
        *({"image": image} for image in cut),
        {"image": gone},
        {"image": gone},
    ]
    assert number_pictures(rows).tolist() == [0, 1, 2, 3, 4, 5, 5]
    assert number_pictures([]).tolist() == []
