"""What never changes while CLIP is frozen is encoded once, in blocks of fixed membership, whoever asks first.

So what is kept does not depend on when it was made, and a run that was cut off finds the very numbers that it would
have made.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from clipseg_hf.training.batches import reading

ROWS_PER_BLOCK = 8


@dataclass(frozen=True)
class CacheSettings:
    """Where caches lie and how they are filled.

    Attributes:
        folder: for the files.
        data, clip: fingerprints of the rows and of CLIP's weights.
        preprocessing: how the processor makes pixels: size, normalisation, visual prompts.
        precision: of the encoding, as in `mixed_precision`.
        workers: processes that read images.
        quiet: no progress bar.
    """

    folder: Path
    data: str
    clip: str
    preprocessing: dict = field(default_factory=dict)
    precision: str = "no"
    workers: int = 0
    quiet: bool = False

    def key(self, **facts) -> dict:
        kept = {name: getattr(self, name) for name in ("data", "clip", "preprocessing", "precision")}
        return {"format": 1, **kept, **facts}


def blocks_of(rows: int, rank: int, world: int) -> list[range]:
    """One process's share of the blocks of rows."""
    starts = range(0, rows, ROWS_PER_BLOCK)[rank::world]
    return [range(start, min(start + ROWS_PER_BLOCK, rows)) for start in starts]


@contextmanager
def loaded(dataset: Dataset, what: str, settings: CacheSettings) -> Iterator[Iterable]:
    """The items of a data set of blocks, read by the workers, with a progress bar."""
    if not len(dataset):
        yield ()
        return
    loader = DataLoader(
        dataset, batch_size=None, num_workers=settings.workers, generator=torch.Generator().manual_seed(0)
    )
    with reading(loader) as blocks:
        yield tqdm(
            blocks, total=len(loader), desc=f"encoding {what}", unit="block", disable=settings.quiet, dynamic_ncols=True
        )
