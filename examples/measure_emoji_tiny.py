"""Measure a checkpoint of the emoji world on its held-out test scenes and keep the numbers beside it.

clipseg-hf scenes outputs/emoji-world --train 10000 --val 500 --test 500 --seed 0
python examples/measure_emoji_tiny.py outputs/packed outputs/emoji-world -o measured.json
"""

import argparse
import json
import platform
from pathlib import Path

import torch

from clipseg_hf.data.phrasecut.phrasecut_plus import load_phrasecut_plus
from clipseg_hf.inference.demo import WAYS, format_numbers, measure_ways

SPLITS = {"val": "validation", "test": "test"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="folder of the checkpoint")
    parser.add_argument("world", help="folder that `clipseg-hf scenes` wrote")
    parser.add_argument("-o", "--output", default="measured.json")
    parser.add_argument("--split", default="test", choices=SPLITS, help="val: to choose a checkpoint by")
    given = parser.parse_args()
    rows = load_phrasecut_plus(given.world, split=given.split)
    numbers = measure_ways(given.model, rows, progress=True)
    world = json.loads((Path(given.world) / "emoji_scenes.json").read_text(encoding="utf-8"))
    record = {
        "data": f"The {len(rows)} {SPLITS[given.split]} scenes of the emoji world (seed {world['seed']})",
        "script": "examples/measure_emoji_tiny.py",
        **numbers,
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
    }
    Path(given.output).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for name, values in numbers.items():
        print(f"{WAYS[name][0]}:\n{format_numbers(values)}")


if __name__ == "__main__":
    main()
