"""Pictures that cannot be read, and those that were repaired, mean the same with caches as without."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFile
from pycocotools import mask as coco

from clipseg_hf.processing.masks.rle import encode_rle
from clipseg_hf.training import TrainingStopped, train

ON = {"cache_prompts": True, "cache_features": True}
WHOLE = {"crop": False, "decoder_dropout": 0.0, "phrases_per_image": 2, "logging_steps": 1, "strict": False}


@pytest.fixture
def files(rows, tmp_path):
    """The rows with their pictures as files."""
    (tmp_path / "pictures").mkdir()
    made = []
    for row in copy.deepcopy(rows[:8]):
        path = tmp_path / "pictures" / f"{row['image_id']}.png"
        row["image"].save(path)
        made.append(row | {"image": {"path": str(path), "bytes": None}})
    return made


def _break(row: dict) -> bytes:
    path = Path(row["image"]["path"])
    content = path.read_bytes()
    path.write_bytes(b"no picture")
    return content


def _run(make_args, rows, folder: Path, **changes) -> tuple[list[float], dict]:
    """The losses, and what was skipped and why."""
    result = train(make_args(output_dir=str(folder), **WHOLE | changes), train_rows=rows)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line], dict(result.state.skipped)


def test_a_repaired_picture_is_encoded_and_used(make_args, files, tmp_path):
    content = _break(files[3])
    first = _run(make_args, files, tmp_path / "run", **ON)
    assert list(first[1]) == ["i3"]
    Path(files[3]["image"]["path"]).write_bytes(content)
    shutil.rmtree(tmp_path / "run" / "checkpoint-000004")
    _run(make_args, files, tmp_path / "run", **ON)  # the same command goes on, from the one before
    kept = ON | {"cache_dir": str(tmp_path / "run" / "cache")}
    plain = _run(make_args, files, tmp_path / "plain")
    repaired = _run(make_args, files, tmp_path / "again", **kept)
    assert repaired[0] == pytest.approx(plain[0], rel=1e-4) and repaired[1] == plain[1] == {}


def test_a_picture_that_can_be_read_by_now_is_used_though_its_file_is_the_same(make_args, files, tmp_path, monkeypatch):
    kept = ON | {"cache_dir": str(tmp_path / "cache")}
    path = Path(files[5]["image"]["path"])
    path.write_bytes(path.read_bytes()[:-40])
    assert "is damaged or cut off" in _run(make_args, files, tmp_path / "before", **kept)[1]["i5"]
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    plain, after = _run(make_args, files, tmp_path / "plain"), _run(make_args, files, tmp_path / "after", **kept)
    assert after[1] == plain[1] == {} and after[0] == pytest.approx(plain[0], rel=1e-4)


@pytest.mark.parametrize(
    "kinds", [{"cache_prompts": True}, {"cache_features": True}, ON], ids=["prompts", "features", "both"]
)
def test_what_cannot_be_read_means_the_same_with_caches_as_without(make_args, files, tmp_path, kinds):
    """As an image that is asked about, and as another's example; so does a mask that does not fit, or is empty."""
    _break(files[3])
    files[2]["phrases"][0]["mask"] = encode_rle(np.ones((30, 40), bool))
    empty = coco.frPyObjects({"size": [60, 80], "counts": [4800, 0]}, 60, 80)  # in two runs, one of them of nothing
    files[4]["phrases"][0]["mask"] = {"size": [60, 80], "counts": empty["counts"].decode()}
    changes = {"negative_probability": 0.0, "mix": "paper", "max_steps": 6}
    plain = _run(make_args, files, tmp_path / "plain", **changes)
    kept = _run(make_args, files, tmp_path / "kept", **changes, **kinds)
    assert {"i2", "i3", "i4"} <= set(plain[1]) and kept[1] == plain[1]
    assert kept[0] == pytest.approx(plain[0], rel=1e-4)
    with pytest.raises(TrainingStopped) as without:
        _run(make_args, files, tmp_path / "strict", **changes, strict=True)
    with pytest.raises(TrainingStopped) as with_caches:
        _run(make_args, files, tmp_path / "kept-strict", **changes, **kinds, strict=True)
    assert str(with_caches.value).replace("kept-strict", "strict") == str(without.value)
