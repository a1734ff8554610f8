"""From each process's share of the rows to all results."""

import torch.distributed as dist

from clipseg_hf.evaluation.results import PromptResults


def current_shard() -> tuple[int, int]:
    """(rank, processes) of this process in PyTorch's process group; (0, 1) without one. For `shard=` of a protocol."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def merge_processes(results: dict[str, PromptResults]) -> dict[str, PromptResults]:
    """Put the results of all processes together, in every process, in order of the rows.

    The numbers are those that one process gives, to the last bit. Without a process group, the results themselves.
    """
    _, processes = current_shard()
    if processes == 1:
        return results
    shares: list = [None] * processes
    dist.all_gather_object(shares, results)
    whole = shares[0]
    for share in shares[1:]:
        for kind, result in share.items():
            whole[kind].merge(result)
    return {kind: result.in_order() for kind, result in whole.items()}
