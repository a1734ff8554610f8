"""PhraseCut's own evaluator (Wu et al., CVPR 2020): one mask per phrase, at the image's size."""

from collections.abc import Sequence

import numpy as np

from clipseg_hf.evaluation.metrics.arithmetic import exact_mean
from clipseg_hf.evaluation.metrics.segmentation_counts import SegmentationCounts

ACCURACY_AT = (0.5, 0.6, 0.7, 0.8, 0.9)


def phrasecut_numbers(
    counts: SegmentationCounts, threshold: float, accuracy_at: Sequence[float] = ACCURACY_AT
) -> dict[str, float]:
    """The evaluator's numbers, of masks at the images' sizes.

    Args:
        counts: one sample per phrase.
        threshold: above which a pixel belongs to the predicted mask.
        accuracy_at: IoUs that count as a hit.

    Returns:
        `mean_iou` over phrases, `cumulative_iou` (intersections over unions, both summed), `accuracy_X`: the share of
        phrases whose IoU is above X.
    """
    ious = counts.per_sample(threshold)
    numbers = {
        "mean_iou": float(exact_mean(ious)),
        "cumulative_iou": float(counts.curves()["iou_fg"][counts.threshold_index(threshold)]),
    }
    return numbers | {f"accuracy_{least:g}": float(np.mean(ious > least)) for least in accuracy_at}
