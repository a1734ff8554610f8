"""What a row means by one of its phrases, wherever it is asked: all that the row marks with it.

Some data have an entry for each thing (two dogs, a mask each). The phrase is true of all of them, so whoever trains,
validates or evaluates asks it once and takes the union.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from clipseg_hf.data.vocabulary.phrases import phrase_key
from clipseg_hf.processing.masks.rle import decode_rle, encode_rle


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
    masks = [decode_rle(entry["mask"]) for entry in _same(entries, number)]
    if len({mask.shape for mask in masks}) > 1:
        raise ValueError(f"the masks of {entries[number]['phrase']!r} differ in size: {[m.shape for m in masks]}.")
    return masks[0] if len(masks) == 1 else np.logical_or.reduce(masks)


def united_entry(entries: Sequence[Mapping], number: int) -> Mapping:
    """One of a row's `phrases` with the boxes and the mask of all that have its phrase."""
    same = _same(entries, number)
    if len(same) == 1:
        return same[0]
    boxes = [box for entry in same for box in entry["boxes"]]
    return {**entries[number], "boxes": boxes, "mask": encode_rle(phrase_mask(entries, number))}


def _same(entries: Sequence[Mapping], number: int) -> list[Mapping]:
    key = phrase_key(entries[number]["phrase"])
    return [entry for entry in entries if phrase_key(entry["phrase"]) == key]
