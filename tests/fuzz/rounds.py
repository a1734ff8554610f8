"""How long and how often: rounds of Hypothesis, each with a seed of its own, until the time is up."""

import os
import time
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

SECONDS = float(os.environ.get("CLIPSEG_FUZZ_SECONDS", "60"))
"""For all readers together: 60 in `make test-slow`, 3600 in `make fuzz`."""

FIRST_SEED = int(os.environ.get("CLIPSEG_FUZZ_SEED", "0"))
READERS = 9
TIMEOUT = SECONDS + 1200  # what a failure takes to be made small
_CASES = 40  # of a round

_ROUND = settings(
    max_examples=_CASES,
    deadline=None,
    database=None,
    derandomize=False,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


def fuzz(cases: SearchStrategy, try_case: Callable[[object], None], share: float = 1) -> int:
    """Try cases until this reader's share of the time is up; a failure names its round's seed.

    Args:
        cases: what draws them.
        try_case: what has to hold of each.
        share: of the time of one reader, for what is one of several tests of a reader.

    Returns:
        how many were tried.
    """
    tried, number = 0, FIRST_SEED
    end = time.monotonic() + SECONDS / READERS * share

    def count(case: object) -> None:
        nonlocal tried
        tried += 1
        try_case(case)

    while time.monotonic() < end:
        try:
            seed(number)(_ROUND(given(cases)(count)))()
        except BaseException as error:
            error.add_note(f"Again with CLIPSEG_FUZZ_SEED={number}.")
            raise
        number += 1
    print(f"{tried} cases, seeds {FIRST_SEED} to {number - 1}")
    return tried
