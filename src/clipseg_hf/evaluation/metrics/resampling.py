"""How far the paper's numbers would move with other images: each of them again on images drawn with repeats.

`comparison.compare` tells two reports apart by their samples' counts at a few thresholds; here every number of
`SegmentationCounts.compute` is drawn, so that means over trainings or folds can be formed from the draws.
"""

from collections.abc import Sequence

import numpy as np

from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.evaluation.metrics.arithmetic import average_precision, ratio
from clipseg_hf.evaluation.metrics.segmentation_counts import SegmentationCounts, read_histograms


def draw_weights(units: Sequence[str], draws: int) -> np.ndarray:
    """How often each unit (image, object, class) is in each draw: (B, U). The same units give the same draws, so that
    what was measured on the same images is compared on the same ones; other units give independent draws."""
    generator = np.random.default_rng(int(digest(*units), 16))
    return generator.multinomial(len(units), np.full(len(units), 1 / len(units)), size=draws).astype(np.float64)


def resample_number(counts: SegmentationCounts, images: Sequence[str], metric: str, draws: int = 2000) -> np.ndarray:
    """One of the paper's numbers on images drawn with repeats, each with all its samples.

    Args:
        counts: S samples.
        images: of each sample the image that it is of.
        metric: "miou_T", "iou_fg_T" or "iou_bin_T" at a threshold T that was counted, or "ap"; as
            `SegmentationCounts.compute` names them.
        draws: B, how many.

    Returns:
        (B,) floats; a class that no drawn image shows does not count in its mean.

    Raises:
        ValueError: an unknown metric, a threshold that was not counted, no samples, or not as many images.
    """
    if not len(counts) or len(counts) != len(images):
        raise ValueError(f"{len(counts)} samples cannot be drawn by the images of {len(images)}.")
    names, group = np.unique(np.array(images, dtype=str), return_inverse=True)
    weights = draw_weights(names.tolist(), draws)
    if metric == "ap":
        return np.array([_average_precision(drawn) for drawn in _drawn_histograms(counts, group, weights)])
    name, _, threshold = metric.rpartition("_")
    if name not in ("miou", "iou_fg", "iou_bin"):
        raise ValueError(f"metric is miou_T, iou_fg_T, iou_bin_T or ap, got {metric!r}.")
    k = counts.threshold_index(float(threshold))
    if name == "miou":
        return _mean_iou(counts, group, weights, k)
    return _cumulative_iou(_drawn_histograms(counts, group, weights), k, with_background=name == "iou_bin")


def _drawn_histograms(counts: SegmentationCounts, group: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(B, 2, K + 1): all drawn images' histograms summed."""
    histograms = np.stack(counts.histograms)
    summed = np.zeros((weights.shape[1], *histograms.shape[1:]))
    np.add.at(summed, group, histograms)
    return np.tensordot(weights, summed, axes=1)


def _average_precision(histogram: np.ndarray) -> float:
    counts = read_histograms(histogram)
    negatives = int(counts["fp"][0] + counts["tn"][0])
    return average_precision(counts["tp"], counts["fp"], counts["fn"], negatives)


def _cumulative_iou(histograms: np.ndarray, k: int, *, with_background: bool) -> np.ndarray:
    counts = read_histograms(histograms)
    tp, fp, fn, tn = (counts[name][:, k] for name in ("tp", "fp", "fn", "tn"))
    foreground = ratio(tp, tp + fp + fn)
    return (foreground + ratio(tn, tn + fp + fn)) / 2 if with_background else foreground


def _mean_iou(counts: SegmentationCounts, group: np.ndarray, weights: np.ndarray, k: int) -> np.ndarray:
    """Mean over classes, each over its samples' summed counts; a sample without a class is one of its own."""
    pixels = counts.counts()
    tp = pixels["tp"][:, k].astype(np.float64)
    union = tp + pixels["fp"][:, k] + pixels["fn"][:, k]
    labels = {label: n for n, label in enumerate(dict.fromkeys(label for label in counts.classes if label is not None))}
    sums, numbers = np.zeros(len(weights)), np.zeros(len(weights))
    alone = np.array([label is None for label in counts.classes])
    if alone.any():
        ious = np.zeros(weights.shape[1])
        np.add.at(ious, group[alone], ratio(tp[alone], union[alone]))
        sums += weights @ ious
        numbers += weights @ np.bincount(group[alone], minlength=weights.shape[1])
    if labels:
        place = group[~alone], np.array([labels[label] for label in counts.classes if label is not None])
        parts = np.zeros((3, weights.shape[1], len(labels)))
        for part, values in zip(parts, (tp[~alone], union[~alone], np.ones(len(place[0]))), strict=True):
            np.add.at(part, place, values)
        drawn_tp, drawn_union, drawn = weights @ parts  # (B, C) each
        sums += np.where(drawn > 0, ratio(drawn_tp, drawn_union), 0).sum(axis=1)
        numbers += (drawn > 0).sum(axis=1)
    return sums / numbers
