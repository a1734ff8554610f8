"""The shards of a run by real actors of Ray, one of which is killed: the rows are those of an uncut run."""

import os
import signal
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


@pytest.mark.skipif(RAY, reason="Ray is there.")
def test_without_ray(pictures, tmp_path, checkpoint):
    with pytest.raises(ImportError, match=r"The engine ray needs Ray Data: pip install 'clipseg-hf\[ray\]'\."):
        label_pictures(pictures, PROMPTS, tmp_path / "out", model=checkpoint, engine="ray")
