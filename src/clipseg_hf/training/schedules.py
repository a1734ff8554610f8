"""The learning rate as a function of the step, so that a resumed run needs no state for it."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class LearningRateSchedule:
    """From 0 to `peak` in `warmup_steps`, then down to `floor` along a cosine or a line, or not at all.

    The paper's: 1e-3 to 1e-4 along a cosine, without warm-up.

    Attributes:
        peak, floor: learning rates.
        shape: "cosine", "linear" or "constant".
        warmup_steps, max_steps: where the rate is highest, and where it is lowest.
    """

    peak: float
    floor: float
    shape: str
    warmup_steps: int
    max_steps: int

    def __call__(self, step: int) -> float:
        """Learning rate of optimizer step `step`, counted from 0."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / (self.warmup_steps + 1)
        if self.shape == "constant":
            return self.peak
        done = min((step - self.warmup_steps) / max(self.max_steps - self.warmup_steps, 1), 1.0)
        left = 1 - done if self.shape == "linear" else (1 + math.cos(math.pi * done)) / 2
        return self.floor + (self.peak - self.floor) * left
