"""What never changes while CLIP is frozen is encoded once: who reads what, and in which batches it is encoded.

What is kept does not depend on when it was made, nor on what was made with it, bit for bit. So a run that was cut off
finds the very numbers that it would have made, and a picture that was repainted is encoded anew alone.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from clipseg_hf.training.batches import reading
from clipseg_hf.training.caches.cache_settings import CacheSettings

logger = logging.getLogger(__name__)

ROWS_PER_BLOCK = 8  # that a worker reads at once


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


def in_fixed_batches(
    encode: Callable[..., torch.Tensor], inputs: dict[str, torch.Tensor], size: int, device
) -> np.ndarray:
    """Encode n things in batches of one size, the last filled up with copies of its first thing.

    A product of matrices sums in an order that follows from their shapes: a thing has other last bits in a batch of
    another size, but the same ones beside other things. That its place does not matter either was found on every
    processor that was tried, and the copies watch over it.

    Args:
        encode: keyword arguments of (size, ...) -> (size, ...).
        inputs: (n, ...) each, n >= 1.
        size: of the batches.
        device: where to encode.

    Returns:
        (n, ...) float32.
    """
    made = []
    for first in range(0, len(next(iter(inputs.values()))), size):
        batch = {name: tensor[first : first + size] for name, tensor in inputs.items()}
        count = len(next(iter(batch.values())))
        encoded = encode(**{name: _filled_up(tensor, size).to(device) for name, tensor in batch.items()}).float()
        if not torch.equal(encoded[count:], encoded[:1].expand_as(encoded[count:])):
            logger.warning(
                "On this device the last bits of what is kept depend on places in a batch: a run that is cut off may "
                "not go on bit by bit as without a stop."
            )
        made.append(encoded[:count].cpu().numpy())
    return np.concatenate(made)


def _filled_up(tensor: torch.Tensor, size: int) -> torch.Tensor:
    """(n, ...) -> (size, ...), with copies of the first."""
    return torch.cat([tensor, tensor[:1].expand(size - len(tensor), *tensor.shape[1:])])


def images_at_once(device: torch.device) -> int:
    """In batches of how many images are encoded: a processor is no faster with several at a time."""
    return 1 if device.type == "cpu" else 8
