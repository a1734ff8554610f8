"""Probabilities above which something counts; a checkpoint brings its own along."""

from collections.abc import Mapping, Sequence
from typing import Any

from clipseg_hf._counted import counted
from clipseg_hf.modeling.thresholds import THRESHOLD_KINDS, check_thresholds

PAPER_THRESHOLD = 0.3  # paper, section 4: fixed for PhraseCut
PROMPT_KINDS = THRESHOLD_KINDS[:3]
PRESENCE_SHARE = 0.01  # of the pixels that speak for presence


def read_thresholds(given: Mapping[str, float] | None, base: Mapping[str, float] | None = None) -> dict[str, float]:
    """`mask_thresholds` -> one for each of text, image, mixed and presence; for what is left out base's, else 0.3.

    Raises:
        ValueError: a kind that does not exist, or a threshold outside [0, 1].
    """
    check_thresholds(given)
    known = {**dict.fromkeys(THRESHOLD_KINDS, PAPER_THRESHOLD), **(base or {}), **(given or {})}
    return {kind: float(known[kind]) for kind in THRESHOLD_KINDS}


def thresholds_for(
    kinds: str | Sequence[str] | None, prompts: int, mask_thresholds: Mapping[str, float]
) -> list[float]:
    """The threshold of each of `prompts` prompts.

    Args:
        kinds: "text", "image" or "mixed", one for all or one for each; None is text.
        prompts: their number.
        mask_thresholds: of the checkpoint, one for each kind.

    Raises:
        ValueError: another kind, or another number of them.
    """
    kinds = [kinds or "text"] * prompts if kinds is None or isinstance(kinds, str) else list(kinds)
    if len(kinds) != prompts or not set(kinds) <= set(PROMPT_KINDS):
        raise ValueError(
            f"prompt_kinds are {', '.join(PROMPT_KINDS)}, one for each of {counted(prompts, 'prompt')}; got {kinds}."
        )
    return [mask_thresholds[kind] for kind in kinds]


def threshold_of_each(thresholds: Any, prompts: int) -> list[float]:
    """One threshold, or one for each prompt -> as many as there are prompts.

    Raises:
        ValueError: another number of them, or one outside of [0, 1].
    """
    if hasattr(thresholds, "tolist"):  # an array or tensor, with or without axes
        thresholds = thresholds.tolist()
    values = [float(thresholds)] * prompts if isinstance(thresholds, (int, float)) else [float(t) for t in thresholds]
    if len(values) != prompts:
        raise ValueError(
            f"{counted(len(values), 'threshold')} for {counted(prompts, 'prompt')}: give one, or one for each."
        )
    if not all(0 <= value <= 1 for value in values):
        raise ValueError(f"A threshold is a probability in [0, 1], got {values}.")
    return values
