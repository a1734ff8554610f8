"""Does the model know that a thing is not there? A mask for an absent thing is the most costly mistake."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from clipseg_hf.evaluation.metrics.arithmetic import exact_mean
from clipseg_hf.evaluation.metrics.segmentation_counts import SegmentationCounts
from clipseg_hf.evaluation.metrics.travelling import Arrays, below, under


def auroc(scores, present) -> float:
    """Probability that a present thing scores higher than an absent one, ties counting one half.

    Args:
        scores: (N,) numbers, higher meaning "it is there".
        present: (N,) bools.

    Returns:
        A number in [0, 1], 0.5 for guessing; NaN without both present and absent things.

    Raises:
        ValueError: the lengths differ, or a score is NaN.
    """
    scores, present = np.asarray(scores, dtype=np.float64), np.asarray(present, dtype=bool)
    if scores.shape != present.shape or scores.ndim != 1:
        raise ValueError(f"auroc takes two lists of equal length, got shapes {scores.shape} and {present.shape}.")
    if np.isnan(scores).any():
        raise ValueError(f"auroc got NaN as the score of sample {int(np.isnan(scores).argmax())}.")
    positives, negatives = int(present.sum()), int((~present).sum())
    if not positives or not negatives:
        return float("nan")
    _, where, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = sizes.cumsum() - (sizes - 1) / 2  # tied scores share the mean of their ranks, counted from 1
    return float((ranks[where[present]].sum() - positives * (positives + 1) / 2) / (positives * negatives))


class PresenceScores:
    """Collects what the model says about present and absent things.

    Args:
        thresholds: as in `SegmentationCounts`; the false-positive area is counted at each.
    """

    def __init__(self, thresholds: Sequence[float] | None = None):
        self.scores: list[float] = []
        self.present: list[bool] = []
        self._absent = SegmentationCounts() if thresholds is None else SegmentationCounts(thresholds)

    def __len__(self) -> int:
        return len(self.scores)

    def update(
        self, probabilities, present: Sequence[bool], scores: Sequence[float] | None = None, ignore=None
    ) -> None:
        """Count one batch.

        Args:
            probabilities: (N, H, W) floats in [0, 1].
            present: N bools, whether the thing is in the image.
            scores: N numbers, how sure the model is that the thing is there; its highest pixel where left out.
            ignore: (N, H, W) bool, True where a pixel does not count to the area marked. (The scores are the model's
                word about the whole image.)

        Raises:
            ValueError: lengths differ, or probabilities are outside [0, 1].
        """
        probabilities = torch.as_tensor(probabilities)
        present = [bool(flag) for flag in present]
        scores = probabilities.flatten(1).amax(dim=1).tolist() if scores is None else [float(s) for s in scores]
        if not len(probabilities) == len(present) == len(scores):
            raise ValueError(f"Got {len(probabilities)} masks, {len(present)} flags and {len(scores)} scores.")
        away = ~torch.tensor(present, dtype=torch.bool)
        if away.any():
            absent = probabilities[away]
            ignored = None if ignore is None else torch.as_tensor(ignore)[away]
            self._absent.update(absent, torch.zeros(absent.shape, dtype=torch.bool), ignore=ignored)
        self.scores += scores
        self.present += present

    def merge(self, other: "PresenceScores") -> "PresenceScores":
        """Take over another collection (another process's, say) and return self. The order does not matter."""
        self._absent.merge(other._absent)
        self.scores += other.scores
        self.present += other.present
        return self

    def to_arrays(self) -> Arrays:
        """Scores, flags and counts, to be sent to another process."""
        scores, present = np.array(self.scores, dtype=np.float64), np.array(self.present, dtype=bool)
        return {"scores": scores, "present": present, **under("absent", self._absent.to_arrays())}

    def filled(self, arrays: Mapping[str, np.ndarray]) -> "PresenceScores":
        """A collection at the same thresholds that holds what another process sent."""
        filled = PresenceScores(self._absent.thresholds)
        filled.scores, filled.present = arrays["scores"].tolist(), arrays["present"].tolist()
        filled._absent = self._absent.filled(below("absent", arrays))
        return filled

    def select(self, entries: Sequence[int]) -> "PresenceScores":
        """What was said about some of the things, by their numbers in order of arrival."""
        chosen = PresenceScores(self._absent.thresholds)
        chosen.scores = [self.scores[n] for n in entries]
        chosen.present = [self.present[n] for n in entries]
        absent = np.cumsum(~np.array(self.present, dtype=bool)) - 1  # entry -> its number among the absent
        chosen._absent = self._absent.select([absent[n] for n in entries if not self.present[n]])
        return chosen

    def compute(self, at: Sequence[float] = (0.3, 0.5)) -> dict[str, float]:
        """The numbers; NaN where there is nothing to count.

        - `auroc`: see `auroc`.
        - `false_area_T`: mean share of an image marked above threshold T for a thing that is not there.
        - `false_masks_T`: share of absent things for which any pixel passes T.
        - `present`, `absent`: how many of each.
        """
        result: dict[str, float] = {
            "present": sum(self.present),
            "absent": len(self.present) - sum(self.present),
            "auroc": auroc(self.scores, self.present),
        }
        counts = self._absent.counts()
        for threshold in at:
            k = self._absent.threshold_index(threshold)
            marked, total = counts["fp"][:, k], counts["fp"][:, k] + counts["tn"][:, k]
            empty = len(marked) == 0
            result[f"false_area_{threshold:g}"] = (
                float("nan") if empty else float(exact_mean(marked / total.clip(min=1)))
            )
            result[f"false_masks_{threshold:g}"] = float("nan") if empty else float((marked > 0).mean())
        return result
