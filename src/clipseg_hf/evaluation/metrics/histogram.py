"""Scores of pixels -> how many pass each threshold, in one pass, without a sort."""

from collections.abc import Sequence

import numpy as np
import torch

# The original's 49 thresholds: 0.02, 0.04, ..., 0.98.
DEFAULT_THRESHOLDS = tuple(k / 50 for k in range(1, 50))


class ThresholdHistogram:
    """Counts pixels between thresholds; "above" always means `score > threshold`, compared in float32.

    Args:
        thresholds: K increasing numbers in [0, 1).

    Raises:
        ValueError: the thresholds are none, not increasing, or outside [0, 1).
    """

    def __init__(self, thresholds: Sequence[float] = DEFAULT_THRESHOLDS):
        self.thresholds = torch.tensor(tuple(thresholds), dtype=torch.float32)
        if self.thresholds.ndim != 1 or not len(self.thresholds):
            raise ValueError(f"thresholds are a list of numbers, got {thresholds!r}.")
        if (self.thresholds.diff() <= 0).any() or self.thresholds[0] < 0 or self.thresholds[-1] >= 1:
            raise ValueError(f"thresholds must increase within [0, 1), got {tuple(thresholds)}.")
        self._steps = self._uniform_steps()

    def __call__(self, scores: torch.Tensor, targets: torch.Tensor, ignore: torch.Tensor | None = None) -> np.ndarray:
        """Count the pixels of one sample.

        Args:
            scores: float tensor of any shape, values in [0, 1].
            targets: bool tensor of that shape, True on the thing.
            ignore: bool tensor of that shape, True where a pixel does not count.

        Returns:
            (2, K + 1) int64: `[g, k]` is the number of pixels with target g whose score passes exactly k thresholds.
        """
        bins, groups = self._bin(scores.flatten().float())
        codes = torch.add(bins, targets.flatten().to(bins.dtype), alpha=groups)
        if ignore is not None:
            codes = torch.where(ignore.flatten(), torch.full_like(codes, 2 * groups), codes)
        counts = torch.bincount(codes, minlength=2 * groups + 1)[: 2 * groups].reshape(2, groups).cpu().numpy()
        if self._steps:  # a score of exactly 0 has a bin of its own; it passes as many thresholds as the next: none
            counts = np.concatenate([counts[:, :2].sum(axis=1, keepdims=True), counts[:, 2:]], axis=1)
        return counts

    def _bin(self, scores: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Number each score's bin; returns the numbers and how many bins there are."""
        if not self._steps:
            return torch.bucketize(scores, self.thresholds.to(scores.device)), len(self.thresholds) + 1
        groups = self._steps + 1
        small = torch.uint8 if 2 * groups < 256 else torch.int64
        return _count_steps_below(scores, self._steps, small), groups

    def _uniform_steps(self) -> int:
        """n where the thresholds are 1/n ... (n - 1)/n, which need no search; 0 for any others.

        Both ways are step functions of the score, so they agree everywhere if they agree at and just above each step.
        """
        steps = len(self.thresholds) + 1
        if not torch.equal(self.thresholds, (torch.arange(1, steps) / steps)):
            return 0
        edges = torch.cat([self.thresholds, self.thresholds.nextafter(torch.tensor(2.0)), torch.tensor([1.0])])
        passed = (_count_steps_below(edges, steps, torch.int64) - 1).clamp(min=0)
        return steps if torch.equal(passed, torch.bucketize(edges, self.thresholds)) else 0


def _count_steps_below(scores: torch.Tensor, steps: int, dtype: torch.dtype) -> torch.Tensor:
    """How many of 0/n, 1/n, ..., n/n lie below each score: a guess by multiplication, corrected by one comparison."""
    guess = (scores * steps).to(dtype)
    return guess + (scores > guess.to(torch.float32) / steps)
