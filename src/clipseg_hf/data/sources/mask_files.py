"""Masks of a data set's files, against the images they belong to: what cannot be used is a flaw."""

import numpy as np

from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.processing.images import ImageLike
from clipseg_hf.processing.masks.mask_files import Colors, load_map, read_mask
from clipseg_hf.processing.masks.rle import encode_rle


def check_map(
    file: ImageLike, where: str, image: str, size: tuple[int, int], summary: BuildSummary, colors: Colors = "kept"
) -> np.ndarray | None:
    """The numbers of a mask, (height, width), or its colours, (height, width, 3); None, and a note, where it cannot be
    used.

    Args:
        file: A path or the bytes, as `FileTree.image` gives them.
        where, image: How a user would look for the mask, and for its image.
        size: (height, width) of the image.
        colors: See `load_map`.
    """
    try:
        mask = load_map(file, colors=colors)
    except (OSError, ValueError):
        summary.note("unreadable_mask", where)
        return None
    if mask.shape[:2] != size:
        summary.note("mask_size_differs", f"{where} ({mask.shape[1]} x {mask.shape[0]}, {image} {size[1]} x {size[0]})")
        return None
    return mask


def check_binary_mask(
    file: ImageLike, where: str, image: str, size: tuple[int, int], summary: BuildSummary
) -> dict | None:
    """The run lengths of a phrase's mask, of which the brighter half is inside; None, and a note, where it cannot be
    used. Arguments as for `check_map`."""
    mask = check_map(file, where, image, size, summary, colors="grey")
    if mask is None:
        return None
    inside = read_mask(mask, where, lenient=True) > 0
    if inside.any():
        return encode_rle(inside)
    summary.note("empty_mask", where)
    return None
