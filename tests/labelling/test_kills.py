"""Real runs whose processes are killed: what they end with is what a run ends with that nobody touched."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clipseg_hf.labelling import label_pictures, read_rows
from labelling.conftest import PROMPTS, make_pictures


def start(pictures: Path, out: Path, checkpoint: str, *options) -> subprocess.Popen:
    prompts = out.with_name("prompts.txt")
    prompts.write_text("\n".join(PROMPTS))
    command = [sys.executable, "-m", "clipseg_hf.cli", "label", pictures, "--prompts", prompts, "-o", out]
    command += ["--model", checkpoint, "--device", "cpu", "--format", "coco", "--shard-size", 2, *options]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def shards(out: Path) -> int:
    return len([path for path in (out / "shards").glob("*.parquet") if not path.name.startswith(".")])


def wait_for(condition, run: subprocess.Popen, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < end, "It takes too long."
        time.sleep(0.01)


def children(process: int) -> list[int]:
    """The processes that label, not the one that tracks their resources."""
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    lines = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in found}
    return [child for child, line in lines.items() if b"spawn_main" in line]


def is_alive(process: int) -> bool:
    status = Path(f"/proc/{process}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def everything(out: Path) -> tuple[list, dict]:
    """All rows, and COCO's file without its date."""
    content = json.loads((out / "coco" / "annotations" / "instances_default.json").read_text())
    return list(read_rows(out)), content | {"info": None}


def uncut(pictures: Path, out: Path, checkpoint: str) -> tuple[list, dict]:
    label_pictures(pictures, PROMPTS, out, model=checkpoint, device="cpu", shard_size=2, formats=["coco"])
    return everything(out)


@pytest.mark.slow
def test_a_killed_run_goes_on(tmp_path, checkpoint):
    pictures = make_pictures(tmp_path / "pictures", 40)
    run = start(pictures, tmp_path / "out", checkpoint)
    wait_for(lambda: shards(tmp_path / "out") >= 2, run)
    run.kill()
    run.communicate()
    assert shards(tmp_path / "out") < 20
    assert uncut(pictures, tmp_path / "out", checkpoint) == uncut(pictures, tmp_path / "other", checkpoint)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="It finds processes in /proc, which Linux has.")
@pytest.mark.timeout(1200)
def test_workers_and_drivers_are_killed_again_and_again(tmp_path, checkpoint):
    pictures, out, chance = make_pictures(tmp_path / "pictures", 100), tmp_path / "out", random.Random(0)
    for _ in range(2):
        before = shards(out)
        run = start(pictures, out, checkpoint, "--processes", 2)
        # a worker is killed, and replaced
        wait_for(lambda: shards(out) > before + chance.randrange(3), run)  # noqa: B023
        os.kill(chance.choice(children(run.pid)), signal.SIGKILL)
        killed_at = shards(out)
        wait_for(lambda: shards(out) > killed_at + 2, run)  # noqa: B023
        # the driver is killed, and its workers do not outlive it
        workers = children(run.pid)
        assert len(workers) == 2
        run.kill()
        run.communicate()
        end = time.monotonic() + 20
        while alive := [worker for worker in workers if is_alive(worker)]:
            assert time.monotonic() < end, alive
            time.sleep(0.05)
    assert 0 < shards(out) < 50
    run = start(pictures, out, checkpoint, "--processes", 2)
    stdout, stderr = run.communicate(timeout=600)
    assert run.returncode == 0, stderr
    assert "of 50 shards are there from an earlier run." in stdout and "1 picture could not be read" in stdout
    found, expected = everything(out), uncut(pictures, tmp_path / "uncut", checkpoint)
    assert found == expected
    assert len(found[0]) == 99 * len(PROMPTS) + 1
