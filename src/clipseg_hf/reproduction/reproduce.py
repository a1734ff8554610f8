"""The paper's tables, variant by variant: train each, measure it, put its numbers beside the published ones.

    reproduce("emoji", "reproduction")

On the emoji world this takes an afternoon on a laptop; on PhraseCut it is the real thing. Whatever is finished is kept
and found again, so a run that was cut off goes on where it stood.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
import yaml

from clipseg_hf._counted import counted
from clipseg_hf._output_files import refuse_file
from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.evaluation import BenchmarkOptions, run_benchmark, write_report
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.processing import CLIPSegProcessor
from clipseg_hf.reproduction.filled_tables import fill_table, report_folder
from clipseg_hf.reproduction.kept_counts import keep_counts
from clipseg_hf.reproduction.paper_tables import PC_PLUS, VARIANTS, Measurement, check_names, paper_tables
from clipseg_hf.reproduction.reproduction_report import write_reproduction
from clipseg_hf.reproduction.worlds import World, draw_world, emoji_world, real_world
from clipseg_hf.training.arguments import CLIPSegTrainingArguments
from clipseg_hf.training.loop import train
from clipseg_hf.training.runs.checkpoints import checkpoints_in
from clipseg_hf.training.runs.folders import MANIFEST, BrokenFolder, read_manifest, recover, write_whole
from clipseg_hf.training.runs.run_folder import PROVENANCE, RECIPE

PLAN = "plan.json"
ASKED = {"referring": {"prompts": ("text", "image")}}
"""Benchmark -> options: for mixtures of text and example the paper has no numbers."""


def reproduce(
    world: str,
    output_dir: str | Path,
    *,
    only: Sequence[str] = (),
    quick: bool = False,
    root: str | Path = "data",
    seeds: Sequence[int] = (0,),
    overrides: Mapping | None = None,
    echo: Callable[[str], None] = print,
) -> dict:
    """Make the paper's tables.

    Args:
        world: "emoji", or "phrasecut" for the real data.
        output_dir: gets README.md (the tables), results.json and plots; world, models and reports go into its work/.
        only: names of tables (`paper_tables.TABLE_NAMES`); all where left out.
        quick: a few steps on few scenes, to see it work. The numbers mean nothing.
        root: for "phrasecut", the folder that holds `worlds.FOLDERS`.
        seeds: every variant is trained once with each. What is there of a seed is kept, so that a folder can be begun
            with one and widened later, also by seeds from elsewhere: move their work/seed-N into its work/.
        overrides: training arguments that replace the recipe's, for all variants.
        echo: takes each line about the progress.

    Returns:
        What results.json holds.

    Raises:
        ValueError: there is no such world or table, a seed is named twice or among the overrides, or output_dir was
            begun with other options.
        FileNotFoundError: the real data are missing, or the emoji font.
        FileExistsError: output_dir is a file.
    """
    tables = [table for name, table in paper_tables(world).items() if name in check_names(only)]
    refuse_file(output_dir)
    output, work = Path(output_dir), Path(output_dir) / "work"
    here = emoji_world(work, quick) if world == "emoji" else real_world(Path(root), tables, quick)
    _check_seeds(seeds, overrides or {})
    recipe = CLIPSegTrainingArguments.from_dict({**here.recipe, **(overrides or {})}).to_dict()
    _check_plan(work / PLAN, {"world": world, "quick": quick, "overrides": dict(overrides or {})})
    if world == "emoji":
        draw_world(work, quick, echo)

    variants = list(dict.fromkeys(name for table in tables for name in table.variants))
    measurements = list(dict.fromkeys(m for table in tables for m in table.measurements))
    for seed in seeds:
        # one seed to its end before the next begins: whoever stops early has whole tables
        of_seed = f"seed {seed} " if len(seeds) > 1 else ""
        for number, name in enumerate(variants, 1):
            at = f"{of_seed}[{number}/{len(variants)}]"
            _train(work, here, name, seed, overrides or {}, lambda line, at=at: echo(f"{at} {line}"))
        for number, measurement in enumerate(measurements, 1):
            at = f"{of_seed}[{number}/{len(measurements)}]"
            _measure(_of_seed(work, seed), here, measurement, lambda line, at=at: echo(f"{at} {line}"))

    homes = [_of_seed(work, seed) for seed in seeds]
    results = {
        "world": world,
        "quick": quick,
        "recipe": {name: value for name, value in recipe.items() if name != "output_dir"},
        "provenance": json.loads((_model(homes[0], variants[0]) / PROVENANCE).read_text(encoding="utf-8")),
        "threads": torch.get_num_threads(),
        "seeds": list(seeds),
        "training_seconds": {name: [_seconds(home / "models" / name) for home in homes] for name in variants},
        "tables": {table.name: fill_table(homes, table) for table in tables},
    }
    for path in write_reproduction(results, output):
        echo(str(path))
    return results


def _check_seeds(seeds: Sequence[int], overrides: Mapping) -> None:
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"seeds are different numbers of at least 0, one or more, got {list(seeds)}.")
    if "seed" in overrides:
        raise ValueError(f"The recipe's seed cannot be set to {overrides['seed']}: give it by seeds (--seeds).")


def _check_plan(path: Path, plan: dict) -> None:
    """Whoever goes on, goes on with the same options."""
    if path.is_file():
        begun = json.loads(path.read_text(encoding="utf-8"))
        differing = sorted(key for key in plan if begun.get(key) != plan[key])
        if differing:
            said = "; ".join(f"{key} was {begun.get(key)!r} and is {plan[key]!r}" for key in differing)
            raise ValueError(f"{path.parents[1]} was begun with other options ({said}). Name a new folder.")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")


def _train(work: Path, world: World, name: str, seed: int, overrides: Mapping, echo: Callable[[str], None]) -> None:
    """Train a variant, unless it is there."""
    variant, folder = VARIANTS[name], _of_seed(work, seed) / "models" / name
    args = CLIPSegTrainingArguments.from_dict(
        {
            **world.recipe,
            "eval_steps": None,
            "save_steps": 500,
            "save_total_limit": 1,
            "report_to": (),
            **overrides,
            **variant.changes,
            **world.changes.get(name, {}),
            "seed": seed,
            "output_dir": str(folder),
            "cache_dir": str(work / "cache"),
        }
    )
    recover(folder)
    if _is_whole(folder / "final") and _by_the_same_recipe(folder / "final" / RECIPE, args):
        echo(f"{variant.title}: trained before.")
        return
    echo(f"{variant.title}: {counted(args.max_steps, 'step')}.")
    train(args)
    for checkpoint in checkpoints_in(folder):  # the finished model is all that is wanted
        shutil.rmtree(checkpoint)


def _by_the_same_recipe(path: Path, args: CLIPSegTrainingArguments) -> bool:
    """Was a model trained as it would be now, wherever its reproduction stood then?"""
    return _as_seen_from_work(yaml.safe_load(path.read_text(encoding="utf-8"))) == _as_seen_from_work(args.to_dict())


def _as_seen_from_work(recipe: Mapping) -> dict:
    """A recipe whose paths below work/ are relative to it."""
    work = Path(recipe["output_dir"]).parents[2]  # of work/seed-N/models/NAME
    inside = [key for key, value in recipe.items() if isinstance(value, str) and Path(value).is_relative_to(work)]
    return {**recipe, **{key: Path(recipe[key]).relative_to(work) for key in inside}}


def _measure(home: Path, world: World, measurement: Measurement, echo: Callable[[str], None]) -> None:
    """Run a benchmark, unless its report is there and of this very model."""
    folder, model_folder = report_folder(home, measurement), _model(home, measurement.variant)
    own, of_world = (options.get(measurement.benchmark, {}) for options in (ASKED, world.options))
    options = {**own, **of_world, **dict(measurement.options)}
    # the files alone: the facts beside them say how long the training took
    files = json.loads((model_folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    key = digest(json.dumps(files, sort_keys=True), repr(sorted(options.items())))
    recover(folder.parent)
    if _is_whole(folder) and read_manifest(folder)["key"] == key:
        echo(f"{measurement.name}: measured before.")
        return
    echo(f"{measurement.name}: measuring.")
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    model = CLIPSegForImageSegmentation.from_pretrained(model_folder).to(device)
    processor = CLIPSegProcessor.from_pretrained(model_folder)
    data = world.data[measurement.benchmark]
    evaluation = run_benchmark(
        measurement.benchmark, model, processor, str(data), BenchmarkOptions(progress=True, **options)
    )
    drawn = (model, processor) if measurement.variant == PC_PLUS else None
    with write_whole(folder, key=key) as aside:
        write_report(evaluation, aside, model=VARIANTS[measurement.variant].title, data=data.name, segmenter=drawn)
        keep_counts(evaluation, aside)


def _is_whole(folder: Path) -> bool:
    try:
        read_manifest(folder)
    except BrokenFolder:
        return False
    return True


def _of_seed(work: Path, seed: int) -> Path:
    """Where the models and reports of one seed are; the world, its CLIP and the caches serve all."""
    return work / f"seed-{seed}"


def _model(home: Path, variant: str) -> Path:
    return home / "models" / variant / "final"


def _seconds(folder: Path) -> float:
    """How long the steps of a run took, without caches and checkpoints."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return round(max(line.get("seconds", 0.0) for line in lines), 1)
