"""Which samples a step trains on: a function of the seed and the step, so that any step can be made anew."""

import contextlib
import hashlib
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader

from clipseg_hf.data.sampling.collate import PromptCollator
from clipseg_hf.data.sampling.samples import PromptedSample, SampleError
from clipseg_hf.data.sampling.sampling import PromptedDataset, PromptSampler

MOST_BROKEN_IN_A_ROW = 16


class SampleStream(PromptedDataset):
    """Samples by (epoch, item), so that workers need not be told which epoch it is.

    The place of a broken row is taken by the next one. An item is the list of what was read: the errors, then the
    sample. With `strict`, a broken row raises its `SampleError`.
    """

    def __init__(self, sampler: PromptSampler, strict: bool = False):
        super().__init__(sampler, strict)
        if not len(self):
            raise ValueError("There is nothing to train on: no row has a phrase (is a filter too strict?).")

    def __getitem__(self, key: tuple[int, int]) -> list[SampleError | PromptedSample]:
        epoch, item = key
        found = []
        for shift in range(MOST_BROKEN_IN_A_ROW):
            row, visit = self.locate((item + shift) % len(self))
            try:
                return [*found, self.sampler.sample(row, epoch, visit)]
            except SampleError as error:
                if self.strict:
                    raise
                found.append(error)
        raise SampleError(f"{MOST_BROKEN_IN_A_ROW} samples in a row are broken, the last one: {found[-1]}")

    def rows_of(self, keys: list[tuple[int, int]]) -> list[int]:
        """The rows behind some (epoch, item) keys."""
        return [self.locate(item)[0] for _, item in keys]


class StepPlan:
    """The keys of every micro-batch that one process reads, in order.

    All samples are drawn without replacement, epoch after epoch, in an order shuffled anew for each. A step takes the
    next `world * accumulation * images` of them. So the steps are the same however many processes share them.

    Args:
        length: number of samples in an epoch.
        images: images in a micro-batch of one process.
        accumulation: micro-batches of each process in a step.
        rank, world: this process, and how many there are.
        seed: of the order.
        start, stop: first step, and one past the last.
    """

    def __init__(self, length, images, accumulation=1, rank=0, world=1, seed=0, start=0, stop=1):
        self.length, self.images, self.accumulation = length, images, accumulation
        self.rank, self.world, self.seed = rank, world, seed
        self.start, self.stop = start, stop
        self._order: tuple[int, torch.Tensor] | None = None

    def __len__(self) -> int:
        return (self.stop - self.start) * self.accumulation

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in range(self.start, self.stop):
            yield from self.keys(step)

    def keys(self, step: int) -> list[list[tuple[int, int]]]:
        """(epoch, item) of each sample of each of this process's micro-batches of a step."""
        first = step * self.accumulation * self.world * self.images
        return [
            [self._key(first + (micro * self.world + self.rank) * self.images + i) for i in range(self.images)]
            for micro in range(self.accumulation)
        ]

    def _key(self, place: int) -> tuple[int, int]:
        epoch, i = divmod(place, self.length)
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed(stable_seed(self.seed, "order", epoch))
            self._order = (epoch, torch.randperm(self.length, generator=generator))
        return epoch, int(self._order[1][i])


def stable_seed(*parts) -> int:
    """A 32-bit seed from anything that prints, the same on every machine."""
    text = " ".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")


@dataclass(frozen=True)
class LoaderSettings:
    """How a process reads its batches.

    Attributes:
        workers: processes that read images; 0: this one.
        prefetch: batches that each of them prepares ahead.
        pin_memory: for copies to a GPU.
    """

    workers: int = 0
    prefetch: int = 2
    pin_memory: bool = False


def make_loader(stream: SampleStream, plan: StepPlan, collator: PromptCollator, settings: LoaderSettings) -> DataLoader:
    """The micro-batches of a plan, each with its `BatchInfo` as `batch["info"]`."""
    return DataLoader(
        stream,
        batch_sampler=plan,
        collate_fn=_Flatten(collator),
        num_workers=settings.workers,
        prefetch_factor=settings.prefetch if settings.workers else None,
        pin_memory=settings.pin_memory,
        generator=torch.Generator().manual_seed(0),  # or making an iterator would draw from the global one
    )


@contextlib.contextmanager
def reading(loader: DataLoader) -> Iterator[Iterator]:
    """What a loader yields; its workers are gone however the block is left, even if an error keeps its frames alive.

    PyTorch raises the death of a worker wherever the program is when the signal comes: in the middle of an optimizer
    step, or where it is swallowed. So its handler is off here, and whoever waits for the dead worker's batch gets the
    RuntimeError, after five seconds at most.
    """
    if not loader.num_workers:
        yield iter(loader)
        return
    batches = _Batches(loader)  # making the first one sets PyTorch's handler
    with _deaf_to_child_processes(), contextlib.closing(batches):
        yield batches


class _Batches:
    """An iterator over a loader with workers that can be closed: a loader ends its workers when nothing refers to its
    iterator any more, so this is the only one that does."""

    def __init__(self, loader: DataLoader):
        self._batches = iter(loader)

    def __iter__(self) -> Iterator:
        return self

    def __next__(self):
        before = sys.exception()  # where this is called from a handler
        try:
            return next(self._batches)
        except BaseException as error:
            _forget_frames(error, before)
            if isinstance(error, (ConnectionError, EOFError)):  # a worker killed while it hands over a batch
                raise RuntimeError(f"a DataLoader worker exited unexpectedly ({error})") from error
            raise

    def close(self) -> None:
        """End the workers."""
        self._batches = iter(())


def _forget_frames(error: BaseException, before: BaseException | None) -> None:
    """Drop the variables of the frames that an error, and those behind it up to `before`, came through."""
    while error is not before and error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


@contextlib.contextmanager
def _deaf_to_child_processes() -> Iterator[None]:
    """No handler of SIGCHLD, where there is that signal and handlers may be set."""
    child = getattr(signal, "SIGCHLD", None)
    may = threading.current_thread() is threading.main_thread()
    if child is None or not may or signal.getsignal(child) is None:  # None: it was not set from Python
        yield
        return
    handler = signal.signal(child, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(child, handler)


class _Flatten:
    def __init__(self, collator: PromptCollator):
        self.collator = collator

    def __call__(self, items: list[list]) -> dict:
        return self.collator([thing for item in items for thing in item])
