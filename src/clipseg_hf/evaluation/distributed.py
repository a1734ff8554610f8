"""From each process's share of the rows to all results."""

import torch.distributed as dist

from clipseg_hf.evaluation.results import PromptResults


def current_shard() -> tuple[int, int]:
    """(rank, processes) of this process in PyTorch's process group; (0, 1) without one. For `shard=` of a protocol."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def merge_processes(results: dict) -> dict:
    """Put the results of all processes together, in every process, in order of the rows.

    The numbers are those that one process gives, to the last bit. Without a process group, the results themselves.

    Args:
        results: name -> what can `merge` (`PromptResults`, `ConfusionMatrix`, `StudyResult`), the same names in all.
    """
    _, processes = current_shard()
    if processes == 1:
        return results
    shares: list = [None] * processes
    dist.all_gather_object(shares, results)
    whole = shares[0]
    for share in shares[1:]:
        for name, part in share.items():
            whole[name].merge(part)
    return {name: part.in_order() if isinstance(part, PromptResults) else part for name, part in whole.items()}
