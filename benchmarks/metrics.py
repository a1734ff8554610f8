"""Milliseconds and memory per counted sample: our histograms beside the original's way, in one process, in turn.

    OMP_NUM_THREADS=1 python benchmarks/metrics.py -o benchmarks/metrics.json

The original sorts the scores of a sample, brings the ground truth into the same order, and for each of the 49
thresholds looks for the first score above it: what comes after is marked, so the two halves of the ground truth give
the counts. Both ways get the same probabilities; that their counts are equal is checked. One thread; time is the CPU's,
so that other processes disturb little. Memory is what counting many samples adds to the process at its peak.
"""

import argparse
import json
import platform
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from clipseg_hf.evaluation import SegmentationCounts
from clipseg_hf.evaluation.histogram import DEFAULT_THRESHOLDS

SIZES = (224, 352, 704)
AIM = 40  # times the original at 352 x 352


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    results = {
        "sizes": {f"{size} x {size}": _compare(size, arguments.rounds, arguments.samples) for size in SIZES},
        "memory": _memory(arguments.memory_samples),
        "rounds": arguments.rounds,
        "machine": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, one thread",
        "versions": {"torch": torch.__version__},
    }
    print(_table(results))
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="how often each way has its turn")
    parser.add_argument("--samples", type=int, default=8, help="samples in a turn")
    parser.add_argument("--memory-samples", type=int, default=5000, help="samples counted for the memory")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the results")
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


def _memory(samples: int) -> dict:
    """What counting many samples, one at a time, adds to the process; the samples themselves are there before."""
    scores, targets = _made_up(8, 352)
    counts = SegmentationCounts()
    for n in range(8):
        counts.update(scores[n], targets[n])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for n in range(samples):
        counts.update(scores[n % 8], targets[n % 8])
    kept = sum(histogram.nbytes for histogram in counts.histograms)
    return {
        "samples": samples,
        "bytes_kept_per_sample": kept // len(counts),
        "added_to_peak_mib": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1),
        "pixels_seen_mib": round(samples * scores[0].numel() * 4 / 2**20),
    }


def _made_up(samples: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth probabilities, and ground truths that they fit in part."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(samples, 1, 22, 22, generator=generator) * 3
    scores = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")[:, 0].sigmoid()
    noise = torch.rand(samples, size, size, generator=generator)
    return scores, (scores > 0.6) ^ (noise > 0.9)


def _table(results: dict) -> str:
    lines = ["| size | original, ms | ours, ms | times faster |", "| --- | ---: | ---: | ---: |"]
    for size, numbers in results["sizes"].items():
        lines.append(
            f"| {size} | {numbers['milliseconds_original']:.1f} | {numbers['milliseconds_ours']:.2f} "
            f"| {numbers['times_faster']:.0f} |"
        )
    memory = results["memory"]
    lines += [
        f"\nAimed at: {AIM} times at 352 x 352.",
        f"{memory['samples']} samples ({memory['pixels_seen_mib']} MiB of scores) added "
        f"{memory['added_to_peak_mib']} MiB to the process; a sample keeps {memory['bytes_kept_per_sample']} bytes.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
