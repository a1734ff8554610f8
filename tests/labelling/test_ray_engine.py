"""The shards of a run by real actors of Ray, one of which is killed: the rows are those of an uncut run."""

import os
import signal
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from clipseg_hf.inference import Segmenter
from clipseg_hf.labelling import label_pictures, read_rows
from clipseg_hf.labelling.labeller import Job
from clipseg_hf.labelling.manifest import Settings
from clipseg_hf.labelling.model_digests import digest_model
from clipseg_hf.labelling.pictures import open_pictures
from clipseg_hf.labelling.ray_engine import label_by_ray
from labelling.conftest import PROMPTS, make_pictures
from labelling.test_kills import everything, is_alive, shards, start, uncut, wait_for

RAY = find_spec("ray") is not None


def actors() -> list[int]:
    """Processes of ours that hold an actor of Ray Data."""
    lines = {int(path.name): (path / "cmdline") for path in Path("/proc").iterdir() if path.name.isdigit()}
    found = []
    for process, line in lines.items():
        try:
            if line.read_bytes().startswith(b"ray::") and b"MapBatches(_Actor)" in line.read_bytes():
                found.append(process)
        except OSError:  # it has ended
            continue
    return found


@pytest.mark.skipif(not RAY, reason="Ray is missing: `make test-ray` installs it beside the rest and runs this.")
@pytest.mark.timeout(600)
def test_an_actor_is_killed(tmp_path, checkpoint):
    pictures, killed, told = make_pictures(tmp_path / "pictures", 60), [], []
    options = {"model": checkpoint, "device": "cpu", "shard_size": 2}
    expected = label_pictures(pictures, PROMPTS, tmp_path / "uncut", **options)

    settings = Settings(digest_model(Segmenter.from_pretrained(checkpoint, device="cpu")), PROMPTS, shard_size=2)
    (tmp_path / "out").mkdir()
    job = Job(tmp_path / "out", settings, open_pictures(pictures), checkpoint, "cpu")
    for shard in label_by_ray(job, range(job.shards), 2):
        told.append(shard)
        if len(told) == 3:
            killed.append(actors()[0])
            os.kill(killed[0], signal.SIGKILL)
    assert len(killed) == 1 and sorted(told) == list(range(30))
    assert list(read_rows(tmp_path / "out")) == list(read_rows(expected.folder))


@pytest.mark.skipif(not RAY, reason="Ray is missing: `make test-ray` installs it beside the rest and runs this.")
@pytest.mark.timeout(1200)
def test_the_driver_is_killed(tmp_path, checkpoint):
    pictures, out = make_pictures(tmp_path / "pictures", 60), tmp_path / "out"
    command = ("--engine", "ray", "--processes", 2)
    run = start(pictures, out, checkpoint, *command)
    wait_for(lambda: shards(out) >= 3, run)
    left = actors()
    run.kill()
    run.communicate()
    assert 3 <= shards(out) < 30 and not (out / "coco").exists()
    end = time.monotonic() + 120
    while alive := [actor for actor in left if is_alive(actor)]:
        assert time.monotonic() < end, f"Actors outlive their driver: {alive}."
        time.sleep(0.1)
    before = {path.name: path.stat().st_mtime_ns for path in (out / "shards").glob("[0-9]*.parquet")}

    run = start(pictures, out, checkpoint, *command)
    stdout, stderr = run.communicate(timeout=600)

    assert run.returncode == 0, stderr
    assert f"{len(before)} of 30 shards are there from an earlier run." in stdout
    after = {path.name: path.stat().st_mtime_ns for path in (out / "shards").glob("[0-9]*.parquet")}
    assert before.items() <= after.items() and len(after) == 30  # nothing is made twice
    assert everything(out) == uncut(pictures, tmp_path / "uncut", checkpoint)


@pytest.mark.skipif(RAY, reason="Ray is there.")
def test_without_ray(pictures, tmp_path, checkpoint):
    with pytest.raises(ImportError, match=r"The engine ray needs Ray Data: pip install 'clipseg-hf\[ray\]'\."):
        label_pictures(pictures, PROMPTS, tmp_path / "out", model=checkpoint, engine="ray")
