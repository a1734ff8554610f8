"""docs/closing_the_loop.md at its real size: 2,000 pictures x 20 prompts, killed twice, corrected, trained on.

    OMP_NUM_THREADS=1 python benchmarks/closing_the_loop.py WORK [--pictures 2000] [--corrected 200] [--held-out 300]

runs the tutorial's blocks one after the other in the new folder WORK, labels some of the pictures once more by a run
that nobody kills, and trains once more on the same pictures without the corrections. Numbers go to
closing_the_loop.json, with how many pictures those were.
"""

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from clipseg_hf.labelling import read_rows
from clipseg_hf.training.devices.accelerator import processor_name

ROOT = Path(__file__).parents[1]
PICTURES, CORRECTED, HELD_OUT = 2000, 200, 300  # as the tutorial says
TUTORIAL = ROOT / "docs" / "closing_the_loop.md"
_BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def steps(text: str) -> Iterator[tuple[str, str]]:
    """The tutorial's commands, one by one, and its blocks of Python: ("console" or "python", what to run)."""
    for language, block in _BLOCK.findall(text):
        if language == "python":
            yield language, block
        else:
            yield from ((language, line.removeprefix("$ ")) for line in block.splitlines())


def run_command(command: str) -> str:
    """Run a line; `clipseg-hf` is the one of this checkout. -> what it printed."""
    return subprocess.run(_words(command), shell=True, check=True, stdout=subprocess.PIPE, text=True).stdout


def kill_after(command: str, shards: int, folder: Path = Path("labelled/shards")) -> int:
    """Run a line of `clipseg-hf label`, and kill it by SIGKILL once there are so many shards. -> how many there are."""

    def there() -> int:
        return len([path for path in folder.glob("*.parquet") if not path.name.startswith(".")])

    run = subprocess.Popen(shlex.split(_words(command)))
    while there() < shards:
        if run.poll() is not None:
            raise RuntimeError(f"It ended with {run.returncode} before {shards} shards were there.")
        time.sleep(0.05)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    return there()


def _words(command: str) -> str:
    return re.sub(r"^clipseg-hf ", f"{shlex.quote(sys.executable)} -m clipseg_hf.cli ", command)


def run_tutorial(
    text: str,
    kills: tuple[int, ...],
    run: Callable[[str], str] = run_command,
) -> Iterator[tuple[str, str, float]]:
    """Run the tutorial in this folder, and kill what labels at these numbers of shards.

    Args:
        run: runs a command, and gives what it printed.

    Yields:
        Each step, what it printed, and the seconds that it took.
    """
    names: dict = {"__name__": "tutorial"}
    for language, step in steps(text):
        started, said = time.perf_counter(), ""
        if language == "python":
            exec(compile(step, str(TUTORIAL), "exec"), names)
        else:
            if step.startswith("clipseg-hf label "):
                for shards in kills:
                    kill_after(step, shards)
            said = run(step)
        yield step, said, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, metavar="WORK")
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--corrected", type=int, default=CORRECTED)
    parser.add_argument("--held-out", type=int, default=HELD_OUT)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    output, corrected, held_out = arguments.output.absolute(), arguments.corrected, arguments.held_out
    shard_size = min(64, arguments.pictures // 12)
    text = TUTORIAL.read_text(encoding="utf-8").replace(f"[:{CORRECTED}]", f"[:{corrected}]")
    text = text.replace(f'"photos", {PICTURES}', f'"photos", {arguments.pictures}')
    text = text.replace(f'"held-out", {HELD_OUT}', f'"held-out", {held_out}')
    text = text.replace("--processes 2", f"--processes 2 --shard-size {shard_size}")
    arguments.work.mkdir(parents=True)
    os.chdir(arguments.work)
    Path("examples").symlink_to(ROOT / "examples")
    shards = -(-arguments.pictures // shard_size)
    seconds, said = {}, {}
    for step, printed, spent in run_tutorial(text, kills=(shards // 4, shards // 2)):
        print(f"{spent:8.1f} s  {step.splitlines()[0]}\n{printed}", flush=True)
        name = " ".join(step.split()[:2]) if step.startswith("clipseg-hf ") else "python"
        seconds[name] = round(seconds.get(name, 0) + spent, 1)
        said[name] = printed
    results = {"processor": processor_name(), "cores": os.cpu_count(), "load": os.getloadavg()}
    results |= {"pictures": arguments.pictures, "prompts": 20, "corrected": corrected, "measured_on": held_out}
    results |= {"seconds": seconds, "labelled": said["clipseg-hf label"].splitlines()} | _check_rows()
    results |= {"iou": _train_uncorrected(text)}
    output.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


def _check_rows(every: int = 20) -> dict:
    """Count the rows, and ask for every twentieth picture's once more, by a run that is not killed."""
    rows = {(row["image"], row["label"]): row for row in read_rows("labelled")}
    count = sum(1 for _ in read_rows("labelled", ["image"]))
    Path("some").mkdir()
    for name in sorted({image for image, _ in rows})[::every]:
        Path("some", name).symlink_to(Path("photos/images", name).absolute())
    run_command("clipseg-hf label some --prompts prompts.txt -o uncut --model emoji-tiny")
    uncut = list(read_rows("uncut"))
    return {
        "rows": count,
        "rows_twice": count - len(rows),
        "compared_with_uncut": len(uncut),
        "equal": sum(rows[row["image"], row["label"]] == row for row in uncut),
    }


def _train_uncorrected(text: str) -> dict[str, dict[str, float]]:
    """Train on the predictions for the pictures that were corrected; -> text mIoU of all three models."""
    export = json.loads(Path("labelled/label_studio/export.json").read_text())
    kept = [{name: task[name] for name in ("data", "predictions")} for task in export if task["annotations"]]
    Path("labelled/label_studio/uncorrected.json").write_text(json.dumps(kept))
    run_command(
        "clipseg-hf relabel labelled/label_studio/uncorrected.json --kind label_studio --option predictions=true "
        "-o uncorrected"
    )
    commands = [step for language, step in steps(text) if language == "console"]
    for word in ("clipseg-hf train ", "-o after"):
        [command] = [step for step in commands if word in step and "publish" not in step]
        run_command(command.replace("corrected", "uncorrected").replace("-o after", "-o after-uncorrected"))
    reports = {
        name: json.loads(Path(name, "report.json").read_text()) for name in ("before", "after-uncorrected", "after")
    }
    return {
        name: {key: round(report["results"]["text"]["all"][key], 4) for key in ("miou_0.3", "miou_0.5", "miou_best")}
        for name, report in reports.items()
    }


if __name__ == "__main__":
    main()
