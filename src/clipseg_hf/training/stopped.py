"""How a run that cannot go on says so: in which step, on which rows, and from where to go on."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from clipseg_hf.training.batches import SampleStream, StepPlan
from clipseg_hf.training.runs.checkpoints import checkpoints_in, step_of
from clipseg_hf.training.runs.folders import is_written_here


class TrainingStopped(RuntimeError):
    """Training cannot go on; the message names the step, the rows and the last checkpoint."""


@contextlib.contextmanager
def naming_the_step(step: int, plan: StepPlan, stream: SampleStream, output: Path) -> Iterator[None]:
    """Say of an error in which step it came, on which rows, and from where to go on.

    Raises:
        TrainingStopped: in the place of a loss that is not finite, a full disk, a reader that died, and the like.
    """
    try:
        yield
    except (RuntimeError, OSError, FloatingPointError, SafetensorError) as error:
        rows = sorted({row for keys in plan.keys(step) for row in stream.rows_of(keys)})
        kept = [path for path in checkpoints_in(output) if is_written_here(path) and step_of(path) <= step]
        after = f"{kept[-1]} is whole; the same command goes on from there." if kept else "There is no checkpoint yet."
        raise TrainingStopped(
            f"Training stopped in step {step} (counted from 0) on rows {rows}: {error}. {after}"
        ) from error


@contextlib.contextmanager
def naming_the_cache(folder: Path) -> Iterator[None]:
    """Say of an error that it came before the first step, while a cache was filled.

    Raises:
        TrainingStopped: the disk has no room for it, a reader died, and the like.
    """
    try:
        yield
    except (RuntimeError, OSError) as error:
        raise TrainingStopped(
            f"Training stopped before a step, while it encoded for the cache in {folder}: {error}. What is encoded is "
            "kept; the same command goes on from there."
        ) from error
