"""Milliseconds and memory per counted sample: our histograms beside the original's way, in one process, in turn.

    OMP_NUM_THREADS=1 python benchmarks/metrics.py

The original sorts the scores of a sample, brings the ground truth into the same order, and for each of the 49
thresholds looks for the first score above it: what comes after is marked, so the two halves of the ground truth give
the counts. Both ways get the same probabilities; that their counts are equal is checked. One thread; time is the CPU's,
so that other processes disturb little. Memory is what counting adds to a fresh process (resident, Linux), after the
first hundred samples: what stays is a small histogram a sample, however many pixels it has. Results go to
`benchmarks/metrics.json` and into the table of `benchmarks/README.md`.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from reporting import put_table

from clipseg_hf.evaluation import SegmentationCounts
from clipseg_hf.evaluation.metrics.histogram import DEFAULT_THRESHOLDS
from clipseg_hf.training.devices.accelerator import processor_name

HERE = Path(__file__).parent
SIZES = (224, 352, 704)
WARM_UP = 100  # samples, so that buffers have their size
AIM = 40  # times the original at 352 x 352


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    results = {
        "sizes": {f"{size} x {size}": _compare(size, arguments.rounds, arguments.samples) for size in SIZES},
        "memory": {f"{size} x {size}": _in_fresh_process(_memory, size, arguments.memory_samples) for size in SIZES},
        "rounds": arguments.rounds,
        "machine": f"{processor_name()} ({torch.backends.cpu.get_cpu_capability()}), one thread",
        "versions": {"torch": torch.__version__},
    }
    table = _table(results)
    print(table)
    (arguments.output or HERE / "metrics.json").write_text(json.dumps(results, indent=2) + "\n")
    if arguments.output is None:
        put_table("metrics", table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="how often each way has its turn")
    parser.add_argument("--samples", type=int, default=8, help="samples in a turn")
    parser.add_argument("--memory-samples", type=int, default=5000, help="samples counted for the memory")
    parser.add_argument("-o", "--output", type=Path, help="JSON file; default: benchmarks/metrics.json, and its table")
    return parser.parse_args()


def sort_and_walk(scores: torch.Tensor, target: torch.Tensor) -> list[tuple[int, int, int, int]]:
    """The original's way with one sample: (tp, fp, fn, tn) at each threshold."""
    ordered = scores.flatten().sort()
    truth = target.flatten()[ordered.indices]
    total = len(truth)
    counts = []
    for threshold in DEFAULT_THRESHOLDS:
        above = torch.where(ordered.values > threshold)[0]
        first = int(above[0]) if len(above) else total
        missed, right = int(truth[:first].sum()), int(truth[first:].sum())
        counts.append((right, total - first - right, missed, first - missed))
    return counts


def _compare(size: int, rounds: int, samples: int) -> dict:
    scores, targets = _made_up(samples, size)
    counts = SegmentationCounts()
    counts.update(scores, targets)
    ours = counts.counts()
    for n in range(samples):
        theirs = torch.tensor(sort_and_walk(scores[n], targets[n]))
        for column, name in enumerate(("tp", "fp", "fn", "tn")):
            if theirs[:, column].tolist() != ours[name][n].tolist():
                raise RuntimeError(f"The two ways count different {name} on sample {n}.")

    def original() -> None:
        for score, target in zip(scores, targets, strict=True):
            sort_and_walk(score, target)

    ways = {"original": original, "ours": lambda: counts.update(scores, targets)}
    times = _take_turns(ways, rounds)
    seconds = {name: statistics.median(values) / samples for name, values in times.items()}
    return {
        "milliseconds_original": round(1e3 * seconds["original"], 3),
        "milliseconds_ours": round(1e3 * seconds["ours"], 4),
        "times_faster": round(seconds["original"] / seconds["ours"], 1),
        "range_of_rounds_ours": [round(1e3 * pick(times["ours"]) / samples, 4) for pick in (min, max)],
    }


def _take_turns(ways: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.process_time()
            way()
            times[name].append(time.process_time() - start)
    return times


def _in_fresh_process(function: Callable, *arguments) -> dict:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def _memory(size: int, samples: int) -> dict:
    """What counting many samples, one at a time, adds to the process; the pixels themselves are there before."""
    torch.set_num_threads(1)
    scores, targets = _made_up(2, size)
    counts = SegmentationCounts()

    def count(times: int) -> int:
        for n in range(times):
            counts.update(scores[n % 2], targets[n % 2])
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    before = count(WARM_UP)
    after = count(samples)
    return {
        "samples": samples,
        "bytes_kept_per_sample": sum(histogram.nbytes for histogram in counts.histograms) // len(counts),
        "added_mib": round((after - before) / 2**20, 1),
        "scores_seen_gib": round(samples * scores[0].numel() * 4 / 2**30, 1),
    }


def _made_up(samples: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth probabilities, and ground truths that they fit in part."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(samples, 1, 22, 22, generator=generator) * 3
    scores = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")[:, 0].sigmoid()
    noise = torch.rand(samples, size, size, generator=generator)
    return scores, (scores > 0.6) ^ (noise > 0.9)


def _table(results: dict) -> str:
    lines = [
        f"{results['machine']}, torch {results['versions']['torch']}.\n",
        "| size | original, ms a sample | ours | | counted for the memory | added | kept of a sample |",
        "| --- | ---: | ---: | ---: | --- | ---: | ---: |",
    ]
    for size, numbers in results["sizes"].items():
        memory = results["memory"][size]
        lines.append(
            f"| {size} | {numbers['milliseconds_original']:.1f} | {numbers['milliseconds_ours']:.2f} "
            f"| **{numbers['times_faster']:.0f} x** "
            f"| {memory['samples']} samples, {memory['scores_seen_gib']} GiB of scores "
            f"| {memory['added_mib']} MiB | {memory['bytes_kept_per_sample']} B |"
        )
    return "\n".join([*lines, f"\nAimed at: {AIM} x at 352 x 352."])


if __name__ == "__main__":
    main()
