"""Masks as COCO run-length codes, the form that tables, JSON files and other tools keep them in."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

MOST_PIXELS = 1 << 29
"""Of a mask that is decoded: a code of ten characters can claim any number of them."""


def encode_rle(mask: Any) -> dict:
    """Code one binary mask as COCO's compressed RLE.

    Args:
        mask: (height, width) array or tensor, bool or numbers that are 0 or 1.

    Returns:
        `{"size": [height, width], "counts": str}`, ready for JSON.

    Raises:
        ValueError: the mask does not have two axes, or holds values other than 0 and 1.
    """
    from pycocotools import mask as coco

    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise ValueError(f"encode_rle takes one mask of shape (height, width), got shape {mask.shape}.")
    if mask.dtype != bool:
        wrong = mask[(mask != 0) & (mask != 1)]
        if wrong.size:
            raise ValueError(f"encode_rle takes a mask of 0 and 1, found {wrong[0]}: threshold it first (mask > t).")
    coded = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(mask.shape), "counts": cast(bytes, coded["counts"]).decode("ascii")}


def decode_rle(rle: Mapping) -> np.ndarray:
    """Bring back the mask of a COCO RLE.

    Args:
        rle: `{"size": [height, width], "counts": ...}`; counts compressed (str or bytes) or a list of run lengths.

    Returns:
        (height, width) array of bool.

    Raises:
        ValueError: a key is missing, the runs do not fill height x width, or that is beyond `MOST_PIXELS`.
            (pycocotools checks only whether they are too long, and otherwise returns whatever lay in memory.)
    """
    if not isinstance(rle, Mapping) or not {"size", "counts"} <= rle.keys():
        found = f"keys {sorted(rle)}" if isinstance(rle, Mapping) else f"a {type(rle).__name__}"
        raise ValueError(f"An RLE is a dict with 'size' and 'counts', got {found}.")
    counts = rle["counts"]
    try:
        height, width = (int(n) for n in rle["size"])
        runs = None if isinstance(counts, (str, bytes)) else np.asarray(counts, dtype=np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"An RLE's size and counts are whole numbers (or counts a COCO string): {error}.") from error
    if min(height, width) < 0 or height * width > MOST_PIXELS:
        raise ValueError(f"An RLE's size is [height, width] of at most {MOST_PIXELS:,} pixels, got {height} x {width}.")
    runs = _decompress(counts) if runs is None else runs
    if runs.ndim != 1:
        raise ValueError(f"An RLE's counts are one list of run lengths, got an array of shape {runs.shape}.")
    total = runs.sum(dtype=np.float64)  # as int64, a sum of huge runs may come round to any number
    if total != height * width or (runs < 0).any():
        raise ValueError(
            f"The RLE's runs cover {total:.0f} pixels, but its size, {height} x {width}, has {height * width}: "
            "is the string cut off, or does it belong to another image?"
        )
    values = np.arange(len(runs)) % 2 == 1  # runs alternate, background first
    return np.ascontiguousarray(np.repeat(values, runs).reshape(width, height).T)  # COCO counts down the columns


def is_empty(counts: str) -> bool:
    """Whether the counts of a COCO RLE, as text, are those of a mask without a pixel: a single number, of which every
    character but the last says that more of it follows."""
    return len(counts) < 13 and all((ord(character) - 48) & 32 for character in counts[:-1])


def _decompress(counts: str | bytes) -> np.ndarray:
    """COCO's string of 6-bit characters -> run lengths. Each holds 5 bits and a flag that more follow, little end
    first, two's complement; from the fourth run on the difference to the run two before is what is written."""
    text = counts.encode("utf-8") if isinstance(counts, str) else counts
    codes = np.frombuffer(text, dtype=np.uint8).astype(np.int64) - 48
    if codes.size == 0:
        return codes
    is_last = (codes & 32) == 0
    if (codes < 0).any() or (codes > 63).any() or not is_last[-1]:
        raise ValueError(f"The RLE's counts {counts[:20]!r}... are not a COCO string: is it cut off?")
    ends = np.flatnonzero(is_last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    place = 5 * (np.arange(codes.size) - np.repeat(starts, ends - starts + 1))
    if place.max() > 55:  # a run of 2**55 pixels; shifts beyond would overflow
        raise ValueError(f"The RLE's counts {counts[:20]!r}... are not a COCO string: a number never ends.")
    runs = np.add.reduceat((codes & 31) << place, starts)
    negative = (codes[ends] & 16) != 0
    runs -= negative * (np.int64(1) << (place[ends] + 5))
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs
