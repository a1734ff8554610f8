"""What attention beside emoji-tiny's decoder gives, and how much of it is chance: three seeds, and a control.

    clipseg-hf scenes outputs/emoji-world --train 10000 --val 500 --test 500 --seed 0
    OMP_NUM_THREADS=1 python benchmarks/stretch_seeds.py outputs/emoji-world START outputs/stretch-seeds [--seeds 0 1 2]

takes the decoder of START, which `examples/recipes/emoji-tiny-regions.yaml` left, through `emoji-prompt-attention.yaml`
and a refiner from several seeds, and through as many steps without the attention; and measures each, and START with a
refiner of its own, on all test scenes, as `measure_emoji_tiny.py` does. What has ended is not repeated, so several
processes can take seeds and ways each. What is there joins what `benchmarks/stretch_seeds.json` has, and goes to a
table of `benchmarks/README.md`.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import torch
from reporting import put_table, spread

from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.data.phrasecut.phrasecut_plus import load_phrasecut_plus
from clipseg_hf.inference.demo import ALONE, measure_ways
from clipseg_hf.modeling.model_names import find_model
from clipseg_hf.training import CLIPSegTrainingArguments, train
from clipseg_hf.training.devices.accelerator import processor_name

HERE = Path(__file__).parent
RECIPES, RESULTS = HERE.parent / "examples" / "recipes", HERE / "stretch_seeds.json"
START = "before"
WAYS: dict[str, dict] = {"with attention": {}, "without": {"prompt_tokens": None}}  # -> changes of the recipe
MASKS = {"numbers": "refined", "base": "the decoder alone"}  # as in measured.json -> in the table
COLUMNS = {  # of the table: kind of prompt, number
    "text, seen": ("text", "seen"),
    "unseen": ("text", "unseen"),
    "relations": ("text", "relations"),
    "boundary IoU": ("text", "boundary"),
    "AUROC": ("text", "auroc"),
    "example, seen": ("image", "seen"),
    "example, unseen": ("image", "unseen"),
    "both, seen": ("mix", "seen"),
    "both, unseen": ("mix", "unseen"),
}


def main() -> None:
    given = _arguments()
    first, start = find_model(given.start), given.work / "start"
    rows = load_phrasecut_plus(str(given.world), split="test")
    runs = kept_runs(len(rows))
    if not (start / "config.json").exists():  # the decoder alone: its refiner is not to be trained with it
        CLIPSegForImageSegmentation.from_pretrained(first, **ALONE).save_pretrained(start)
        CLIPSegProcessor.from_pretrained(first).save_pretrained(start)
    for way in given.ways:
        for seed in given.seeds:
            run = _folder(given.work, way, seed)
            if not (run / "measured.json").exists():
                measure(fit(way, seed, run, start, given), rows, run)
    if not runs[START]:
        if not (given.work / START / "measured.json").exists():
            measure(first, rows, given.work / START)
        runs[START] = {"": read(given.work / START / "measured.json")}
    for way in WAYS:
        runs[way] = dict(sorted((runs[way] | dict(_measured(given.work, way))).items()))
    results = {"processor": processor_name(), "torch": torch.__version__, "scenes": len(rows), "runs": runs}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    put_table("stretch seeds", table(results))


def kept_runs(scenes: int) -> dict[str, dict]:
    """What was measured on so many scenes before, here or in another working folder: way -> seed -> numbers."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    return {way: kept["runs"].get(way, {}) if kept.get("scenes") == scenes else {} for way in (START, *WAYS)}


def fit(way: str, seed: int, run: Path, start: Path, given: argparse.Namespace) -> Path:
    """Train the decoder, then a refiner on it; the folder of the model."""
    common = {
        "train_data": str(given.world),
        "cache_dir": str(given.cache or given.work / "cache"),
        "report_to": [],
        "picture_samples": 0,
        "seed": seed,
    }
    stages = {
        "decoder": ("emoji-prompt-attention", {"model_name_or_path": str(start), **WAYS[way]}),
        "refiner": ("emoji-refiner", {"model_name_or_path": str(run / "decoder" / "final"), "image_size": 256}),
    }
    for stage, (recipe, changes) in stages.items():
        if not (run / stage / "final" / "config.json").exists():
            changes = common | changes | {"output_dir": str(run / stage)}
            train(CLIPSegTrainingArguments.from_yaml(RECIPES / f"{recipe}.yaml", changes))
    return run / "refiner" / "final"


def measure(model: str | Path, rows: list[dict], run: Path) -> None:
    """Write `measured.json` of a model into a folder."""
    run.mkdir(parents=True, exist_ok=True)
    numbers = measure_ways(str(model), rows, tuple(MASKS), progress=True)
    (run / "measured.json").write_text(json.dumps(numbers, indent=1) + "\n")


def read(measured: Path) -> dict[str, dict[str, float]]:
    """The numbers of the table from a `measured.json`: masks -> column -> number."""
    record = json.loads(measured.read_text())
    return {
        title: {column: record[name][kind][number] for column, (kind, number) in COLUMNS.items()}
        for name, title in MASKS.items()
    }


def table(results: dict) -> str:
    """Means over the seeds, and how far these lie apart."""
    lines = [
        f"Mean IoU at 0.5 on the {results['scenes']} test scenes; of several seeds, their mean (lowest to highest). "
        f"{results['processor']}, torch {results['torch']}.",
        "",
        "| | " + " | ".join(COLUMNS) + " |",
        "| --- |" + " ---: |" * len(COLUMNS),
    ]
    for title in MASKS.values():
        for way, seeds in results["runs"].items():
            if seeds:
                name = f"{way}, seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}" if way in WAYS else way
                cells = [spread([run[title][column] for run in seeds.values()]) for column in COLUMNS]
                lines.append(f"| {name}: {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _measured(work: Path, way: str) -> Iterable[tuple[str, dict]]:
    """The seeds that have been measured and their numbers."""
    for folder in sorted(work.glob(_folder(work, way, "*").name)):
        if (folder / "measured.json").exists():
            yield folder.name.rpartition("-")[2], read(folder / "measured.json")


def _folder(work: Path, way: str, seed: int | str) -> Path:
    return work / f"{way.replace(' ', '-')}-{seed}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("world", type=Path, help="folder that `clipseg-hf scenes` wrote")
    parser.add_argument("start", help="folder of that decoder, with a refiner")
    parser.add_argument("work", type=Path, help="folder for the trainings")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2), help="to train now")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS, help="to train now")
    parser.add_argument("--cache", type=Path, help="for prompts and features; default: in WORK")
    return parser.parse_args()


if __name__ == "__main__":
    main()
