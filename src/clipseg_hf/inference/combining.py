"""The arithmetic of combined prompts."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from scipy.special import expit, logit

from clipseg_hf.inference.prompts import Combination, Prompt

HALF = 0.5  # the threshold of whatever was combined
_NARROWEST = 1e-6  # thresholds and probabilities of 0 and 1 have no finite logit
T = TypeVar("T")


def combine_logits(prompt: Combination, logits: Sequence[np.ndarray], thresholds: Sequence[float]) -> np.ndarray:
    """The logits of a combination, whose threshold is one half; see `Combination` for what the signs mean.

    Args:
        logits: (H, W) of each of `prompt.leaves()`.
        thresholds: of each, in [0, 1].

    Returns:
        (H, W).
    """
    bounds = _finite_logit(np.array(thresholds, dtype=np.float64))
    shifted = iter([one - float(bound) for one, bound in zip(logits, bounds, strict=True)])

    def combine(sign: str, parts: list[np.ndarray], factor: float) -> np.ndarray:
        if sign == "*":
            return _finite_logit(expit(parts[0]) * factor)
        if sign == "|":
            return np.max(parts, axis=0)
        return np.min([parts[0], *(-part if sign == "-" else part for part in parts[1:])], axis=0)

    return _fold(prompt, lambda _: next(shifted), combine)


def combine_presence(prompt: Combination, presence: Sequence[float]) -> float:
    """How sure it is that something of a combination is there: any of them, all of them, the first of "-".

    Args:
        presence: of each of `prompt.leaves()`, in [0, 1].
    """
    values = iter(presence)

    def combine(sign: str, parts: list[float], factor: float) -> float:
        return max(parts) if sign == "|" else min(parts) if sign == "&" else parts[0]

    return _fold(prompt, lambda _: next(values), combine)


def _finite_logit(probabilities: np.ndarray) -> np.ndarray:
    return logit(probabilities.clip(_NARROWEST, 1 - _NARROWEST))


def _fold(prompt: Prompt | Combination, leaf: Callable[[Prompt], T], combine: Callable[[str, list[T], float], T]) -> T:
    """From the ends to the root, leaves from left to right."""
    if isinstance(prompt, Prompt):
        return leaf(prompt)
    return combine(prompt.sign, [_fold(part, leaf, combine) for part in prompt.parts], prompt.factor)
