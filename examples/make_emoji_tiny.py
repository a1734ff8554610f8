"""Make emoji-tiny from nothing: scenes, CLIP and decoder in three stretches, the later ones, packed.

    python examples/make_emoji_tiny.py WORK            # hours on a CPU, in WORK/outputs; given again, it goes on
    python examples/make_emoji_tiny.py WORK --share 0.2   # with that share of each training's steps and pictures
    python examples/make_emoji_tiny.py WORK --quick    # the same steps, so short that nothing is learned

Each step is a command that is shown before it runs; the recipes are copied to `WORK/examples/recipes`, so each command
can also be given by hand in WORK. A step that has ended is not repeated, and a training that was cut goes on from its
last checkpoint. A GPU is used where there is one.
"""

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
# CLIP's recipe and the decoder's, each of which goes on from the one before.
STRETCHES = (
    ("emoji-clip", "emoji-tiny"),
    ("emoji-clip-longer", "emoji-tiny-longer"),
    ("emoji-clip-regions", "emoji-tiny-regions"),
)
# Then the decoder again, each time from where it was; and two trainings from the last of these, which are averaged.
# From the second time on they go on from the average before, and are averaged with it. The last one gets the refiner.
THEN = ("emoji-prompt-attention", "emoji-larger-pictures")
AVERAGES = {
    "outputs/emoji-average": ("emoji-wider-examples", "emoji-other-scenes"),
    "outputs/emoji-average-2": ("emoji-mostly-examples", "emoji-other-scenes-again"),
    "outputs/emoji-average-3": ("emoji-cut-out-examples", "emoji-cut-out-examples-other-scenes"),
}
REFINER = "emoji-refiner"
# In the end all of it is put on a CLIP that knows examples better, and is otherwise the last stretch's.
LAST_CLIP, FINISHED = "emoji-clip-examples", "outputs/emoji-finished"
WEIGHTS = ("0.3", "0.5", "0.7")  # of an example beside a text, to choose from there
PACKED = "outputs/packed"
CACHE = "outputs/cache"  # the later trainings read the same scenes by the same CLIP: encoded once
# What --share makes smaller: each training's steps, and the pictures that it sees and finds its thresholds on. (The
# scenes that are drawn, and those that the finished one is calibrated and measured on, stay.)
SCALED = ("max_steps", "warmup_steps", "eval_steps", "max_train_samples", "calibration_samples")
# The scenes of each split of each world, and what --quick changes in the recipes.
SCENES = {"outputs/emoji-world": (10_000, 500, 500), "outputs/emoji-world-1": (4_000, 200, 1)}
QUICK_SCENES = {"outputs/emoji-world": (24, 6, 12), "outputs/emoji-world-1": (24, 6, 1)}
SHORT: dict = {
    "stages": {"steps": 2, "batch_size": 8, "image_size": 96},  # each recipe's first one, with these values
    "max_steps": 2,
    "warmup_steps": 1,
    "eval_steps": 2,
    "save_steps": 2,
    "eval_samples": 6,
    "calibration_samples": 6,
}


@dataclass(frozen=True)
class Step:
    """A command, and a file that is there once it has ended."""

    made: str
    command: list[str]


def plan(scenes: dict[str, tuple[int, int, int]], workers: int) -> list[Step]:
    """All steps, in their order, with paths from the working folder."""
    cli, averages = [sys.executable, "-m", "clipseg_hf.cli"], list(AVERAGES.items())

    def draw(world: str, seed: int) -> Step:
        train, val, test = map(str, scenes[world])
        command = [*cli, "scenes", world, "--train", train, "--val", val, "--test", test, "--seed", str(seed)]
        return Step(f"{world}/emoji_scenes.json", command)

    def clip(name: str) -> Step:
        command = [sys.executable, "-m", "clipseg_hf.training.pretraining", _recipe(name), "-o", f"outputs/{name}"]
        return Step(f"outputs/{name}/pretraining.json", [*command, "--workers", str(workers)])

    def training(name: str) -> Step:
        command = [*cli, "train", _recipe(name), "--set", f"cache_dir={CACHE}"]
        return Step(f"outputs/{name}/final/config.json", command)

    def average(number: int) -> Step:
        made, pair = averages[number]
        before = [averages[number - 1][0]] if number else []
        parts = [*(f"outputs/{name}/final" for name in pair), *before]  # the first decides on the processor
        command = [sys.executable, str(HERE / "average_checkpoints.py"), *parts, "-o", made]
        return Step(f"{made}/provenance-{2 * number + 2}.json", command)  # its last file

    measured = "outputs/measured.json"
    put = [sys.executable, str(HERE / "put_on_clip.py"), f"outputs/{REFINER}/final", f"outputs/{LAST_CLIP}"]
    put += ["outputs/emoji-world", "-o", FINISHED, "--weights", *WEIGHTS]
    pack = [sys.executable, str(HERE / "pack_emoji_tiny.py"), FINISHED, averages[-1][0]]
    pack += [f"outputs/{LAST_CLIP}", measured, PACKED]
    measure = [sys.executable, str(HERE / "measure_emoji_tiny.py"), PACKED, "outputs/emoji-world", "-o", measured]
    return [
        *(draw(world, seed) for seed, world in enumerate(scenes)),
        *(step for clips, name in STRETCHES for step in (clip(clips), training(name))),
        *map(training, THEN),
        *(step for number, (_, pair) in enumerate(averages) for step in (*map(training, pair), average(number))),
        training(REFINER),
        clip(LAST_CLIP),
        Step(f"{FINISHED}/provenance.json", put),  # its last file
        Step(f"{PACKED}/config.json", pack),  # numbers are of what is shipped, which is rounded
        Step(measured, measure),
        Step(f"{PACKED}/README.md", pack),
    ]


def _recipe(name: str) -> str:
    return f"examples/recipes/{name}.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder to work in")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw pictures for CLIP")
    much = parser.add_mutually_exclusive_group()
    much.add_argument(
        "--share", type=read_share, default=1.0, help="of the steps and pictures of each training, in (0, 1]"
    )
    much.add_argument("--quick", action="store_true", help="a few scenes and steps, to see that all of it runs")
    given = parser.parse_args()
    (given.work / "outputs").mkdir(parents=True, exist_ok=True)
    keep_to(given.work / "outputs" / "share.txt", "quick" if given.quick else f"{given.share:g}")
    write_recipes(given.work / "examples" / "recipes", shortest if given.quick else partial(scaled, given.share))
    for step in plan(QUICK_SCENES if given.quick else SCENES, given.workers):
        shown = shlex.join(step.command).replace(shlex.quote(sys.executable), "python")
        if (given.work / step.made).exists():
            print(f"there already: {step.made}", flush=True)
            continue
        print(f"$ {shown}", flush=True)
        if (code := subprocess.run(step.command, cwd=given.work).returncode) != 0:
            sys.exit(f"`{shown}` ended with code {code}; mend what it says, and give the same command again.")
    print(f"The checkpoint is in {given.work / PACKED}, its numbers in its README.md.")


def keep_to(note: Path, chosen: str) -> None:
    """Write down what was chosen at first; stop where that was something else, whose steps are there already."""
    if note.exists() and (before := note.read_text(encoding="utf-8").strip()) != chosen:
        sys.exit(f"{note.parent} was begun with the share {before}, not {chosen}: give that again, or another folder.")
    note.write_text(f"{chosen}\n", encoding="utf-8")


def read_share(text: str) -> float:
    """A number in (0, 1].

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"a share is above 0 and at most 1, got {text!r}")
    return value


def scaled(share: float, values: dict) -> dict:
    """A recipe with a share of its steps and pictures, at least one of each; of what it inherits, the others say it."""
    smaller = {key: max(1, round(share * values[key])) for key in SCALED if values.get(key)}
    stages = [stage | {"steps": max(1, round(share * stage["steps"]))} for stage in values.get("stages", [])]
    return values | smaller | ({"stages": stages} if stages else {})


def shortest(values: dict) -> dict:
    """A recipe with those of its values changed that `SHORT` has."""
    changed = {key: value for key, value in SHORT.items() if key in values}
    if "stages" in changed:
        changed["stages"] = [values["stages"][0] | changed["stages"]]
    return values | changed


def write_recipes(folder: Path, change: Callable[[dict], dict]) -> None:
    """Copy the recipes of emoji-tiny, those that change anew."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*chain(*STRETCHES), *THEN, *chain(*AVERAGES.values()), REFINER, LAST_CLIP):
        source = HERE / "recipes" / f"{name}.yaml"
        values = yaml.safe_load(source.read_text(encoding="utf-8"))
        if (changed := change(values)) == values:
            shutil.copy(source, folder / source.name)
        else:
            (folder / source.name).write_text(yaml.safe_dump(changed, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    main()
