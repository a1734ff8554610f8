"""From each process's share of the rows to all results."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist

from clipseg_hf.evaluation.metrics.prompt_results import PromptResults


def current_shard() -> tuple[int, int]:
    """(rank, processes) of this process in PyTorch's process group; (0, 1) without one. For `shard=` of a protocol."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


@contextmanager
def process_group() -> Iterator[int]:
    """Join the processes that torchrun or `accelerate launch` started; yields the rank, 0 without them.

    Results are gathered through the CPU, whatever device computes them.
    """
    starts = int(os.environ.get("WORLD_SIZE", 1)) > 1 and "RANK" in os.environ and not dist.is_initialized()
    if starts:
        dist.init_process_group("gloo")
    try:
        yield current_shard()[0]
    finally:
        if starts:
            dist.destroy_process_group()


def merge_processes(results: dict) -> dict:
    """Put the results of all processes together, in every process, in order of the rows.

    The numbers are those that one process gives, to the last bit, and so are the samples and their order.

    Args:
        results: name -> what can `merge` (`PromptResults`, `ConfusionMatrix`, `StudyResult`), the same names in all.
    """
    _, processes = current_shard()
    if processes == 1:
        return _in_order(results)
    shares: list = [None] * processes
    dist.all_gather_object(shares, results)
    whole = shares[0]
    for share in shares[1:]:
        for name, part in share.items():
            whole[name].merge(part)
    return _in_order(whole)


def _in_order(results: dict) -> dict:
    return {name: part.in_order() if isinstance(part, PromptResults) else part for name, part in results.items()}
