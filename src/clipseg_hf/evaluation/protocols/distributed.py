"""From each process's share of the rows to all results."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.distributed as dist

from clipseg_hf.evaluation.metrics.prompt_results import PromptResults
from clipseg_hf.evaluation.metrics.travelling import Arrays, Travelling, pack, unpack

BLOCK_BYTES = 1 << 24
_DTYPES = {"int64": np.int64, "float64": np.float64, "bool": np.bool_, "uint8": np.uint8}


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


def merge_processes(results: dict[str, Travelling]) -> dict[str, Travelling]:
    """Put the results of all processes together, in every process, in order of the rows.

    The numbers are those that one process gives, to the last bit, and so are the samples and their order. One process
    after the other sends what it has, as arrays in blocks: beside the whole, one share at most is in memory, and no
    pickle is read.

    Args:
        results: name -> what can `merge` (`PromptResults`, `ConfusionMatrix`, `StudyResult`), the same names in all.
    """
    rank, processes = current_shard()
    whole: dict[str, Travelling] = {}
    for source in range(processes):
        for name, own in results.items():
            share = own if source == rank else own.filled(_receive(source))
            if processes > 1 and source == rank:
                _send(own.to_arrays())
            whole[name] = whole[name].merge(share) if name in whole else share
    return _in_order(whole)


def _send(arrays: Arrays) -> None:
    rank = dist.get_rank()
    header = pack([(name, str(array.dtype), array.shape) for name, array in arrays.items()])
    _broadcast(np.array([header.size], dtype=np.int64), rank)
    for array in (header, *arrays.values()):
        _broadcast(np.ascontiguousarray(array), rank)


def _receive(source: int) -> Arrays:
    size = _broadcast(np.empty(1, dtype=np.int64), source)
    header = unpack(_broadcast(np.empty(int(size[0]), dtype=np.uint8), source))
    return {name: _broadcast(np.empty(shape, dtype=_DTYPES[dtype]), source) for name, dtype, shape in header}


def _broadcast(array: np.ndarray, source: int) -> np.ndarray:
    """Send an array from the process `source`, or fill it with what that one sends."""
    flat = array.reshape(-1).view(np.uint8)
    for start in range(0, flat.size, BLOCK_BYTES):
        part = flat[start : start + BLOCK_BYTES]
        block = torch.tensor(part, device=_travelling_device())
        dist.broadcast(block, source)
        if source != dist.get_rank():
            part[:] = block.cpu().numpy()
    return array


def _travelling_device() -> torch.device:
    """NCCL carries nothing that is not on a GPU."""
    if dist.get_backend() == dist.Backend.NCCL:
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def _in_order(results: dict) -> dict:
    return {name: part.in_order() if isinstance(part, PromptResults) else part for name, part in results.items()}
