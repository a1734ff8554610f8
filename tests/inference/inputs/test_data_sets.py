"""Pictures out of data sets in every layout that `clipseg_hf.data` recognises, each read in its turn."""

import io
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from clipseg_hf.data.sources.loading import KINDS
from clipseg_hf.inference.inputs.listing import list_pictures
from clipseg_hf.processing import load_image
from data.sources.conftest import layouts, make  # noqa: F401  (fixtures)

FILES = {"coco": "coco/result.json", "yolo": "yolo/data.yaml", "cvat_xml": "cvat_xml/annotations.xml"}


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def png(value: int) -> dict:
    stream = io.BytesIO()
    Image.new("RGB", (30, 20), (value, 0, 0)).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": f"{value}.png"}


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"columns"}))
def test_annotated_data_sets_of_every_kind(layouts, kind):  # noqa: F811
    for given in {str(layouts / kind), str(layouts / FILES.get(kind, kind))}:
        pictures = {Path(picture.name).name: picture for picture in list_pictures([given])}
        assert set(pictures) - {"1_mask.png"} == {"1.jpg"}  # a folder of images shows its masks, too
        assert Path(pictures["1.jpg"].name).is_file() and load_image(pictures["1.jpg"].open()).size == (30, 20)


def test_columns_saved_or_as_parquet(tmp_path):
    rows = datasets.Dataset.from_dict({"photo": [png(n) for n in range(3)]}).cast_column("photo", datasets.Image())
    splits = datasets.DatasetDict(train=rows.select([0, 1]), test=rows.select([2]))
    splits.save_to_disk(tmp_path / "saved")
    (tmp_path / "parquet").mkdir()
    rows.to_parquet(tmp_path / "parquet" / "train-00000-of-00001.parquet")

    def listed(given, **options):
        pictures = list(list_pictures([str(tmp_path / given)], column="photo", **options))
        names = [picture.name.removeprefix(str(tmp_path / given)) for picture in pictures]
        return names, [load_image(picture.open()).getpixel((0, 0))[0] for picture in pictures]

    assert listed("saved") == (["/train-00000000", "/train-00000001", "/test-00000000"], [0, 1, 2])
    assert listed("saved", split="test") == (["/test-00000000"], [2])
    for given in ("parquet", "parquet/train-00000-of-00001.parquet"):
        assert listed(given) == ([f"/train-{n:08}" for n in range(3)], [0, 1, 2])
    with pytest.raises(ValueError, match=r"saved has no split 'val'; it has train, test\."):
        listed("saved", split="val")
    with pytest.raises(ValueError, match=r"saved has no column 'image': name that of the images\. It has photo\."):
        list(list_pictures([str(tmp_path / "saved")]))


def test_files_are_called_by_their_paths_once(tmp_path):
    path = str(tmp_path / "x.png")
    Image.new("RGB", (4, 4)).save(path)
    features = datasets.Features({"image": datasets.Image(decode=False)})
    rows = [{"image": {"path": path, "bytes": None}}] * 2 + [{"image": png(7)}, {"image": None}]
    data = str(tmp_path / "rows.parquet")
    datasets.Dataset.from_list(rows, features).to_parquet(data)
    pictures = list(list_pictures([data]))
    assert [picture.name for picture in pictures] == [path, *(f"{data}/train-{n:08}" for n in (2, 3))]
    assert [type(picture.open()) for picture in pictures] == [str, dict, type(None)]


def test_what_is_no_data_set_is_told(tmp_path, monkeypatch):
    (tmp_path / "folder" / "below").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "folder" / "below" / "x.png")
    monkeypatch.chdir(tmp_path)
    message = (
        r"The folder folder holds no images \(\.jpg.*\), nor a data set .*`clipseg-hf inspect folder` .*folder/\*\*/"
    )
    with pytest.raises(ValueError, match=message):
        list(list_pictures(["folder"]))
    (tmp_path / "notes.json").write_text("[1]")
    with pytest.raises((ValueError, OSError), match=r"notes\.json"):
        list(list_pictures(["notes.json"]))
    with pytest.raises(FileNotFoundError, match=r"There is no image owner/x\.jpg"):
        list(list_pictures(["owner/x.jpg"]))


def test_a_large_one_is_never_in_memory(tmp_path):
    """Names alone are read ahead: 400 pictures of 90 kB each, of which ten or so may be at hand."""
    import tracemalloc

    noise = np.random.default_rng(0).integers(0, 256, (300, 100, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    features = datasets.Features({"image": datasets.Image(decode=False)})
    rows = [{"image": {"path": None, "bytes": stream.getvalue()}}] * 400
    datasets.Dataset.from_list(rows, features).save_to_disk(tmp_path / "saved")
    tracemalloc.start()
    for picture in list_pictures([str(tmp_path / "saved")]):
        assert len(picture.open()["bytes"]) == len(stream.getvalue())
    assert tracemalloc.get_traced_memory()[1] < 10 * len(stream.getvalue())
    tracemalloc.stop()
