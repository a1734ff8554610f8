"""One machine: the shards of a run, by several processes."""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import cache

from clipseg_hf.labelling.labeller import Job, Labeller
from clipseg_hf.labelling.shards import missing_shards

_TRIES = 3  # of processes that die one after the other without any shard being made
_job: Job


def label_by_processes(job: Job, shards: Sequence[int], processes: int) -> Iterator[int]:
    """Label shards by processes of one thread each.

    A process that is killed is replaced, and its shard is made anew.

    Yields:
        The number of each shard as it is done.

    Raises:
        RuntimeError: processes are killed again and again, and nothing gets done; says which shards are missing.
    """
    context = multiprocessing.get_context("spawn")
    wanted, told, tries = set(shards), set(), 0
    while missing := sorted(wanted.intersection(missing_shards(job.folder, job.shards))):
        yield from _tell(wanted - set(missing), told)
        pool = ProcessPoolExecutor(min(processes, len(missing)), context, _start, (job,))
        try:
            for done in as_completed([pool.submit(_label, shard) for shard in missing]):
                yield from _tell({done.result()}, told)
                tries = 0
        except BrokenProcessPool:
            tries += 1
            if tries == _TRIES:
                raise RuntimeError(
                    f"Processes were killed {tries} times, and no shard was done in between; is there too little "
                    f"memory for {processes} of them? {len(missing)} shards are missing, the first is {missing[0]} "
                    f"(pictures {job.numbers(missing[0]).start} and following). Run the same again to go on."
                ) from None
        finally:
            pool.shutdown(cancel_futures=True)
    yield from _tell(wanted, told)


def _tell(done: set[int], told: set[int]) -> Iterator[int]:
    """Each shard once, those that were written just before their process died, too."""
    yield from sorted(done - told)
    told |= done


def _start(job: Job) -> None:
    global _job
    # a process whose parent was killed would wait for work for ever
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    _job = job


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _label(shard: int) -> int:
    return _labeller()(shard)


@cache
def _labeller() -> Labeller:
    return Labeller(_job)  # here and not in `_start`, whose errors a pool does not hand on
