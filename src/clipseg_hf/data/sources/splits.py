"""How data sets name their splits."""

import re

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""The names that folders and files have, and what they are called here."""

_WORD = re.compile(rf"(?<![a-z])({'|'.join(sorted(SPLIT_NAMES, key=len, reverse=True))})(?![a-z])")


def split_of_folder(name: str) -> str | None:
    """The split that a folder's name stands for, or None."""
    return SPLIT_NAMES.get(name.lower())


def split_in_name(name: str) -> str | None:
    """The split that is named somewhere in a file's path ("instances_train2017.json"), the last if several are."""
    found = _WORD.findall(name.lower())
    return SPLIT_NAMES[found[-1]] if found else None


def by_official_order(splits) -> tuple[str, ...]:
    """Train, val and test first."""
    order = {"train": 0, "val": 1, "test": 2}
    return tuple(sorted(splits, key=lambda split: (order.get(split, 3), split)))
