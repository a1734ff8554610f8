"""The thresholds that a checkpoint may bring along."""

from collections.abc import Mapping

# What `mask_thresholds` in a configuration may name: prompts of these kinds, and whether a thing is there at all.
THRESHOLD_KINDS = ("text", "image", "mixed", "presence")


def check_thresholds(given: Mapping[str, float] | None) -> None:
    """Refuse `mask_thresholds` of kinds that do not exist, or outside of [0, 1].

    Raises:
        ValueError: naming the kind.
    """
    if given is not None and not isinstance(given, Mapping):
        raise ValueError(f"mask_thresholds are numbers for some of {', '.join(THRESHOLD_KINDS)}, got {given!r}.")
    given = given or {}
    unknown = sorted(given.keys() - set(THRESHOLD_KINDS))
    if unknown:
        raise ValueError(f"mask_thresholds has no {', '.join(unknown)}; there are {', '.join(THRESHOLD_KINDS)}.")
    for kind, value in given.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise ValueError(f"The mask threshold for {kind} is a number in [0, 1], got {value!r}.")
