"""The checkpoints of a folder, in order of their steps, not of their names: "1000000" sorts before "999000"."""

import re
from pathlib import Path


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return folder / f"checkpoint-{step:06d}"


def step_of(path: Path) -> int:
    """The step of a checkpoint, by its name."""
    return int(path.name.rpartition("-")[2])


def checkpoints_in(folder: Path) -> list[Path]:
    """The folders that have a checkpoint's name, whoever wrote them, the earliest first."""
    named = (path for path in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-[0-9]+", path.name))
    return sorted((path for path in named if path.is_dir()), key=step_of)
