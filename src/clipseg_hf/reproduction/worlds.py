"""Where variants are trained and measured: the emoji world, or the real data; their recipes and folders."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clipseg_hf.data.emoji_world.emoji_files import write_scenes
from clipseg_hf.evaluation.benchmarks.benchmark_data import WHERE_TO_GET
from clipseg_hf.reproduction.embedded_clip import write_embedded_clip
from clipseg_hf.reproduction.paper_tables import Table
from clipseg_hf.training.runs.folders import MANIFEST, recover, write_whole

QUICK = {"max_steps": 40, "per_device_train_batch_size": 16}
QUICKER = ("referring", "zero-shot", "generalized", "visual-prompts")  # one-shot needs pairs of scenes


@dataclass(frozen=True)
class World:
    """Where variants are trained and measured.

    Attributes:
        name: "emoji" or "phrasecut".
        recipe: training arguments of PC+; a variant changes some of them.
        changes: variant -> further changes, where this world's CLIP wants other ones than the paper's.
        data: benchmark -> folder.
        options: benchmark -> options of `BenchmarkOptions`.
    """

    name: str
    recipe: Mapping
    data: Mapping[str, Path]
    changes: Mapping[str, Mapping] = field(default_factory=dict)
    options: Mapping[str, Mapping] = field(default_factory=dict)


PHRASECUT_RECIPE = {
    "clip_name_or_path": "openai/clip-vit-base-patch16",
    "extract_layers": (3, 7, 9),
    "reduce_dim": 64,
    "decoder_dropout": 0.1,
    "loss_type": "bce",
    "image_size": 352,
    "phrases_per_image": 1,
    "mix": "code",
    "negative_probability": 0.2,
    "max_steps": 20_000,
    "per_device_train_batch_size": 64,
    "learning_rate": 1e-3,
    "min_learning_rate": 1e-4,
    "max_grad_norm": 0.0,
    "dataloader_num_workers": 4,
}
"""`examples/recipes/phrasecut-rd64.yaml`."""

EMOJI_RECIPE = {
    **PHRASECUT_RECIPE,
    "extract_layers": (1, 3, 5),  # of six
    "decoder_intermediate_size": 512,
    "image_size": 192,
    "phrases_per_image": 4,
    "max_steps": 800,
    # Whole scenes instead of crops, so that everything is encoded once and a step is the decoder alone.
    "crop": False,
    "cache_prompts": True,
    "cache_features": True,
    "dataloader_num_workers": 1,
}
"""The same in small, for a CPU."""

EMOJI_SCENES = {"train": 2500, "val": 1000, "test": 250}
"""No training looks at "val": the zero-shot benchmark takes it, which needs pictures of each of many classes."""

FOLDERS = {
    "referring": "VGPhraseCut_v0",
    "zero-shot": "VOCdevkit",
    "one-shot": "VOCdevkit",
    "generalized": "lvis",
    "visual-prompts": "lvis",
}
"""Benchmark -> where its data lie below the root, for the real reproduction."""


def emoji_world(work: Path, quick: bool) -> World:
    """The emoji world in a reproduction's work/, where `draw_world` puts it."""
    recipe = {**EMOJI_RECIPE, "clip_name_or_path": str(work / "clip"), "train_data": str(work / "world")}
    few = {"one-shot": {"episodes": 10}, **{name: {"limit": 30} for name in QUICKER}}
    return World(
        "emoji",
        {**recipe, **QUICK} if quick else recipe,
        dict.fromkeys(FOLDERS, work / "world"),
        changes={"layer-3": {"extract_layers": (1,)}},  # the lowest of those that are read
        options=few if quick else {"one-shot": {"episodes": 250}, "zero-shot": {"split": "val"}},
    )


def real_world(root: Path, tables: Sequence[Table], quick: bool) -> World:
    """The real data below a folder, as `FOLDERS` says.

    Raises:
        FileNotFoundError: what some table needs is missing; names it, and where to get it.
    """
    data = {benchmark: root / folder for benchmark, folder in FOLDERS.items()}
    needed = dict.fromkeys(["referring", *(m.benchmark for table in tables for m in table.measurements)])
    for benchmark in needed:  # before days of training, not after them
        if not data[benchmark].exists():
            raise FileNotFoundError(
                f"There is no {data[benchmark]}; needed is {WHERE_TO_GET[benchmark]} Unpack it there, name another "
                "--root, or leave out what needs it by --only."
            )
    recipe = {**PHRASECUT_RECIPE, "train_data": str(data["referring"])}
    options = {benchmark: {"limit": 20} for benchmark in needed} if quick else {}
    return World("phrasecut", {**recipe, **QUICK} if quick else recipe, data, options=options)


def draw_world(work: Path, quick: bool, echo: Callable[[str], None]) -> None:
    """The scenes, and the CLIP of the embedded checkpoint, unless they are there."""
    if not (work / "world").is_dir():
        echo("Drawing the emoji world.")
        aside = work / "world.writing"
        shutil.rmtree(aside, ignore_errors=True)
        write_scenes(aside, **({"train": 120, "val": 0, "test": 150} if quick else EMOJI_SCENES))
        aside.rename(work / "world")
    recover(work)
    if not (work / "clip" / MANIFEST).is_file():
        with write_whole(work / "clip") as folder:
            write_embedded_clip(folder)
