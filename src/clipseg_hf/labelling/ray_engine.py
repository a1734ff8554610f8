"""A cluster, or one machine: the shards of a run, by Ray Data's actors with one model each."""

from collections.abc import Iterator, Sequence
from typing import Any

from clipseg_hf.labelling.labeller import Job, Labeller
from clipseg_hf.labelling.shards import missing_shards

_TRIES = 3


class _Actor:
    """Takes the numbers of shards, and gives them back when they are done."""

    def __init__(self, job: Job, threads: int | None):
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        self.label = Labeller(job)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        for shard in batch["shard"]:
            self.label(int(shard))
        return batch


def label_by_ray(job: Job, shards: Sequence[int], actors: int) -> Iterator[int]:
    """Label shards by actors, on the cluster that this program belongs to, or else on this machine.

    All nodes have to see the pictures, the model and the run's folder under the same paths. An actor has a CPU, and on
    a cluster with GPUs one of these, unless the job's device is "cpu". One that is killed is replaced, and its shard is
    made anew.

    Yields:
        The number of each shard as it is done.

    Raises:
        RuntimeError: shards are missing though Ray has ended, several times.
    """
    import ray

    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    gpus = 0 if job.device == "cpu" or not ray.cluster_resources().get("GPU") else 1
    wanted, told = set(shards), set()
    for _ in range(_TRIES):
        missing = sorted(wanted.intersection(missing_shards(job.folder, job.shards)))
        if not missing:
            break
        # a block for each shard: what is in one goes to one actor, and is made anew if that dies
        rows = ray.data.from_items([{"shard": shard} for shard in missing], override_num_blocks=len(missing))
        done = rows.map_batches(
            _Actor,
            batch_size=1,
            fn_constructor_args=(job, None if gpus else 1),
            compute=ray.data.ActorPoolStrategy(size=min(actors, len(missing))),
            num_cpus=1,
            num_gpus=gpus,
        )
        for row in done.iter_rows():
            if row["shard"] not in told:
                told.add(row["shard"])
                yield row["shard"]
    else:
        missing = missing_shards(job.folder, job.shards)
        raise RuntimeError(f"Ray has ended {_TRIES} times, but {len(missing)} shards are missing: run the same again.")
    yield from sorted(wanted - told)
