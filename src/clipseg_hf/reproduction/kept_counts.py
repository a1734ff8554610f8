"""What a measurement counted, kept beside its report, so that every number can be drawn again on other images."""

import json
from pathlib import Path

import numpy as np

from clipseg_hf.evaluation.metrics.prompt_results import ALL, Evaluation
from clipseg_hf.evaluation.metrics.resampling import draw_weights, resample_number
from clipseg_hf.evaluation.metrics.segmentation_counts import SegmentationCounts
from clipseg_hf.evaluation.metrics.travelling import below, pack, under, unpack
from clipseg_hf.evaluation.protocols.one_shot import MEAN
from clipseg_hf.evaluation.protocols.visual_prompt_study import PLAIN_IMAGE
from clipseg_hf.reproduction.paper_tables import Place

COUNTS_FILE = "counts.npz"
SHOWN, SAMPLES = "shown", "samples"
DRAWS = 2000


def keep_counts(evaluation: Evaluation, folder: Path) -> None:
    """Write what was counted of each sample into a report's folder."""
    arrays = under(SHOWN, {way: np.array(values) for way, values in evaluation.probabilities.items()})
    for kind, results in evaluation.results.items():
        arrays |= under(kind, {**results.counts.to_arrays(), SAMPLES: pack(results.samples)})
    np.savez_compressed(folder / COUNTS_FILE, **arrays)


def draw_number(folder: Path, place: Place, draws: int = DRAWS) -> tuple[np.ndarray, int]:
    """A number of a report on other images, objects or classes than those that were at hand.

    What is drawn with repeats is what the number is a mean over: images with all their phrases (referring, one-shot,
    generalised prompts), objects (visual prompts), or classes (zero-shot, whose classes are few and chosen). Reports
    on the same images are drawn alike, so that draws may be subtracted.

    Args:
        folder: a report with its counts.
        place: where the number is in the report.
        draws: B, how many.

    Returns:
        (B,) floats in percent, and how many units there are to draw from.
    """
    group, subset, metric = place
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    if report["benchmark"] == "zero-shot":
        return _draw_classes(report, group, subset, draws)
    with np.load(folder / COUNTS_FILE, allow_pickle=False) as kept:
        arrays = below(SHOWN if report["benchmark"] == "visual-prompts" else group, kept)
    if report["benchmark"] == "visual-prompts":
        gains = arrays[group] - arrays[PLAIN_IMAGE]
        return _draw_mean([str(number) for number in range(len(gains))], gains, draws)
    return _draw_samples(report, arrays, subset, metric, draws)


def _draw_samples(report: dict, arrays: dict, subset: str, metric: str, draws: int) -> tuple[np.ndarray, int]:
    counts, samples = SegmentationCounts(report["thresholds"]).filled(arrays), unpack(arrays[SAMPLES])
    drawn, units = [], 0
    for name in report["settings"]["folds"] if subset == MEAN else [subset]:
        chosen = [n for n, sample in enumerate(samples) if name in (ALL, *sample["subsets"])]
        images = [str(samples[n]["image_id"]) for n in chosen]
        drawn.append(resample_number(counts.select(chosen), images, metric, draws))
        units += len(set(images))
    return 100 * np.mean(drawn, axis=0), units


def _draw_classes(report: dict, reading: str, subset: str, draws: int) -> tuple[np.ndarray, int]:
    """Seen or unseen classes of the zero-shot protocol."""
    unseen = report["settings"]["unseen"]
    ious = {
        name: iou
        for name, iou in report["results"][reading][ALL]["per_class"].items()
        if iou is not None and subset in (ALL, "unseen" if name in unseen else "seen")
    }
    return _draw_mean(list(ious), np.array(list(ious.values())), draws)


def _draw_mean(units: list[str], values: np.ndarray, draws: int) -> tuple[np.ndarray, int]:
    return 100 * draw_weights(units, draws) @ values / len(values), len(values)
