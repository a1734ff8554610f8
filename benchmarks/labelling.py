"""`clipseg-hf label`: pictures x prompts a second by processes and by Ray's actors, and its memory over the pictures.

    OMP_NUM_THREADS=1 python benchmarks/labelling.py [--pictures 48] [--memory 200 2000]

Scenes of 640 x 480 are asked for 20 prompts by emoji-tiny, by each way in turn; a run begins to count when the first
shard of each process is there, so that loading is left out. Beside the clock's seconds stand the CPU's, of all its
processes: on a machine that others use, too, the clock tells of them as much as of the run. Memory is the highest of
one process, on small pictures and with the same model at 64 x 64. Numbers go to labelling.json, beside those that are
there.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from clipseg_hf.assets import EMOJI_TINY
from clipseg_hf.data.emoji_world.emoji_files import write_scenes
from clipseg_hf.data.emoji_world.emoji_glyphs import load_concepts
from clipseg_hf.data.emoji_world.emoji_scenes import SceneSettings
from clipseg_hf.training.devices.accelerator import processor_name

SHARD = 4  # pictures
WAYS = {
    "one process": (),
    "two processes": ("--processes", 2),
    "Ray, one actor": ("--engine", "ray", "--processes", 1),
    "Ray, two actors": ("--engine", "ray", "--processes", 2),
}


def label(data: Path, prompts: Path, out: Path, *options) -> tuple[float, int]:
    """Run the command. -> CPU seconds of it and what it has started, and the highest memory of one process in bytes."""
    command = [
        sys.executable,
        "-m",
        "clipseg_hf.cli",
        "label",
        data,
        "--prompts",
        prompts,
        "-o",
        out,
        "--device",
        "cpu",
    ]
    code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
    code += "used = resource.getrusage(resource.RUSAGE_CHILDREN); print(used.ru_utime + used.ru_stime, used.ru_maxrss)"
    said = subprocess.run(
        [sys.executable, "-c", code, *map(str, [*command, *options])], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    seconds, peak = said.splitlines()[-1].split()
    return float(seconds), int(peak) * 1024


def measure_speed(work: Path, pictures: int) -> dict[str, dict[str, float]]:
    names = [concept.name for concept in load_concepts() if concept.seen][:20]
    settings = SceneSettings(sizes=((480, 640),))
    write_scenes(work / "scenes", train=pictures, val=0, test=0, concepts=names, settings=settings)
    (work / "prompts.txt").write_text("\n".join(names))
    results = {}
    for way, options in WAYS.items():
        if "ray" in options and find_spec("ray") is None:
            print(f"{way}: Ray is missing, see `make test-ray`.")
            continue
        out = work / way.replace(" ", "-")
        data, load = work / "scenes" / "images", os.getloadavg()[0]
        cpu, _ = label(data, work / "prompts.txt", out, "--model", "emoji-tiny", "--shard-size", SHARD, *options)
        times = sorted(path.stat().st_mtime for path in (out / "shards").glob("[0-9]*.parquet"))
        first = options[-1] if options else 1  # of each process
        asked = (len(times) - first) * SHARD * len(names)
        results[way] = {"a_second": round(asked / (times[-1] - times[first - 1]), 1), "load_before": round(load, 1)}
        if "ray" not in options:  # Ray's actors are nobody's children
            results[way]["cpu_seconds_with_loading"] = round(cpu, 1)
        print(way, results[way], flush=True)
    return results


def measure_memory(work: Path, counts: list[int]) -> dict[str, int]:
    model = work / "model"
    shutil.copytree(EMOJI_TINY, model)
    processor = json.loads((model / "processor_config.json").read_text())
    processor["image_processor"]["size"] = {"height": 64, "width": 64}
    (model / "processor_config.json").write_text(json.dumps(processor))
    (work / "two.txt").write_text("pizza\ndog\n")
    random, results = np.random.default_rng(0), {}
    for count in counts:
        folder = work / f"{count}-pictures"
        folder.mkdir()
        for number in range(count):
            Image.fromarray(random.integers(0, 256, (96, 128, 3), dtype=np.uint8)).save(folder / f"{number:06d}.png")
        options = ("--model", model, "--format", "coco", "--min-presence", 0, "--review", 10)
        _, peak = label(folder, work / "two.txt", work / f"{count}-labelled", *options)
        results[str(count)] = round(peak / 1e6)
        print(count, "pictures:", results[str(count)], "MB", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=48, help="for the speed; 0 leaves it out")
    parser.add_argument("--memory", type=int, nargs="*", default=[200, 2000], metavar="PICTURES")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    results = json.loads(arguments.output.read_text()) if arguments.output.exists() else {}
    results |= {"processor": processor_name(), "cores": os.cpu_count(), "threads": os.environ.get("OMP_NUM_THREADS")}
    with tempfile.TemporaryDirectory() as folder:
        if arguments.memory:
            results["memory_mb"] = results.get("memory_mb", {}) | measure_memory(Path(folder), arguments.memory)
        if arguments.pictures:
            results["speed"] = {"pictures": arguments.pictures, "prompts": 20}
            results["speed"] |= measure_speed(Path(folder), arguments.pictures)
    arguments.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
