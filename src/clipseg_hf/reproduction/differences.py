"""Whether a variant differs from another: over seeds of the training, and over what it was measured on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student


@dataclass(frozen=True)
class Number:
    """A variant's number, in percent.

    Attributes:
        by_seed: of each training.
        draws: (B,) its mean over seeds on images (objects, classes) drawn with repeats; None where nothing was kept.
        units: how many there are to draw from.
    """

    by_seed: tuple[float, ...]
    draws: np.ndarray | None = None
    units: int = 0

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(np.mean(self.by_seed))

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds (of n - 1); None for a single one."""
        return float(np.std(self.by_seed, ddof=1)) if len(self.by_seed) > 1 else None


class Interval(NamedTuple):
    """A difference, and the ends of the interval that holds it with the confidence asked for."""

    difference: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether it leaves 0 out."""
        return not self.low <= 0 <= self.high


def difference_of(first: Number, second: Number, confidence: float = 0.95) -> Interval | None:
    """Second minus first.

    Two things could have come out otherwise: the luck of the seed, known from the seeds' differences, and the images
    at hand, known from a paired bootstrap over them. Their variances are added; the interval is Student's, with
    Welch's and Satterthwaite's degrees of freedom. With one seed only the images are accounted for.

    Returns:
        None where neither is known.

    Raises:
        ValueError: the two were trained with different numbers of seeds.
    """
    if len(first.by_seed) != len(second.by_seed):
        raise ValueError(f"Cannot pair {len(first.by_seed)} seeds with {len(second.by_seed)}.")
    deltas = np.subtract(second.by_seed, first.by_seed)
    parts: list[tuple[float, int]] = []  # variance of the mean, degrees of freedom
    if len(deltas) > 1:
        parts.append((float(deltas.var(ddof=1)) / len(deltas), len(deltas) - 1))
    if first.draws is not None and second.draws is not None:
        units = min(first.units, second.units)
        parts.append((float((second.draws - first.draws).var(ddof=1)), max(units - 1, 1)))
    if not parts:
        return None
    variance = sum(part for part, _ in parts)
    mean = float(deltas.mean())
    if variance == 0:
        return Interval(mean, mean, mean)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    reach = float(student.ppf((1 + confidence) / 2, freedom)) * variance**0.5
    return Interval(mean, mean - reach, mean + reach)


def mean_number(numbers: Sequence[Number]) -> Number:
    """Of several measurements with the same seeds (folds, say)."""
    draws = [number.draws for number in numbers if number.draws is not None]
    return Number(
        tuple(np.mean([number.by_seed for number in numbers], axis=0).tolist()),
        np.mean(draws, axis=0) if len(draws) == len(numbers) else None,
        sum(number.units for number in numbers),
    )
