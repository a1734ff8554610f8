"""What a row means by one of its phrases, wherever it is asked: all that the row marks with it, and what counts for it.

Some data have an entry for each thing (two dogs, a mask each). The phrase is true of all of them, so whoever trains,
validates or evaluates asks it once and takes the union.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from clipseg_hf.data.vocabulary.phrases import phrase_key
from clipseg_hf.processing.masks.rle import decode_rle, encode_rle

IGNORED_LABEL = 255
"""The label of pixels that do not count, in training samples and batches."""


class Truth(NamedTuple):
    """The pixels of one question about an image.

    Attributes:
        mask: (h, w) bool, where the thing is; None where none of the row's phrases was asked for.
        ignored: (h, w) bool, pixels that do not count, none of them in the mask; None where all do.
    """

    mask: np.ndarray | None
    ignored: np.ndarray | None


def truth_of(entries: Sequence[Mapping], numbers: Sequence[int]) -> Truth:
    """What is true of a row's image.

    Args:
        entries: the row's `phrases`.
        numbers: those that are asked for as one, each with all entries that have its phrase: their masks are united,
            and so is what does not count for them. None for a phrase that the row does not have: there a pixel counts
            unless it counts for no phrase of the row, as in a border between things.

    Raises:
        ValueError: run lengths are broken, or of different sizes.
    """
    asked = [entry for number in numbers for entry in same_entries(entries, number)]
    masks = [decode_rle(entry["mask"]) for entry in asked]
    coded = [_ignored_runs(entry) for entry in asked or entries]
    known = [decode_rle(runs) for runs in coded if runs is not None]
    sizes = [array.shape for array in (*masks, *known)]
    if len(set(sizes)) > 1:
        phrases = ", ".join(repr(entries[number]["phrase"]) for number in numbers) or "its phrases"
        raise ValueError(f"the masks (and ignore) of {phrases} differ in size: {sizes}.")
    mask = None if not masks else masks[0] if len(masks) == 1 else np.logical_or.reduce(masks)
    if not known or (mask is None and len(known) < len(entries)):
        return Truth(mask, None)
    return Truth(mask, np.logical_and.reduce(known) if mask is None else np.logical_or.reduce(known) & ~mask)


def different_phrases(entries: Sequence[Mapping]) -> list[int]:
    """The numbers of a row's `phrases` without repeats: of each phrase the first entry, in their order."""
    first: dict[str, int] = {}
    for number, entry in enumerate(entries):
        first.setdefault(phrase_key(entry["phrase"]), number)
    return list(first.values())


def phrase_mask(entries: Sequence[Mapping], number: int) -> np.ndarray:
    """(h, w) bool: all that a row marks with the phrase of one of its entries.

    Raises:
        ValueError: a mask cannot be decoded, or the masks differ in size.
    """
    return truth_of(entries, [number]).mask


def united_entry(entries: Sequence[Mapping], number: int) -> Mapping:
    """One of a row's `phrases` with the boxes, the mask and what does not count of all that have its phrase."""
    same = same_entries(entries, number)
    if len(same) == 1:
        return same[0]
    boxes = [box for entry in same for box in entry["boxes"]]
    mask, ignored = (None if part is None else encode_rle(part) for part in truth_of(entries, [number]))
    return {**entries[number], "boxes": boxes, "mask": mask, "ignore": ignored}


def same_entries(entries: Sequence[Mapping], number: int) -> list[Mapping]:
    """All entries of a row that have the phrase of one of them."""
    key = phrase_key(entries[number]["phrase"])
    return [entry for entry in entries if phrase_key(entry["phrase"]) == key]


def _ignored_runs(entry: Mapping) -> Mapping | None:
    """A phrase's pixels that do not count, None where there are none; rows that were made before there was such a field
    lack it."""
    runs = entry.get("ignore")
    return None if runs is None or runs["counts"] is None else runs
