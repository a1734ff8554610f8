"""Pictures that cannot be read, and those that were repaired, mean the same with caches as without."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import ImageFile

from clipseg_hf.training import train

ON = {"cache_prompts": True, "cache_features": True}
WHOLE = {"crop": False, "decoder_dropout": 0.0, "phrases_per_image": 2, "logging_steps": 1, "strict": False}


@pytest.fixture
def files(rows, tmp_path):
    """The rows with their pictures as files."""
    (tmp_path / "pictures").mkdir()
    made = []
    for row in rows[:8]:
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
