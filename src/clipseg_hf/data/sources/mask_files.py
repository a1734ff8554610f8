"""Masks of a data set's files, against the images they belong to: what cannot be used is a flaw."""

import numpy as np

from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.frames import Frame, turn
from clipseg_hf.data.rows.row_source import note_frame
from clipseg_hf.processing.images import ImageLike, measure_turned
from clipseg_hf.processing.masks.mask_files import Colors, load_map, read_mask
from clipseg_hf.processing.masks.rle import encode_rle


def check_map(
    file: ImageLike, where: str, image: str, frame: Frame, summary: BuildSummary, colors: Colors = "kept"
) -> np.ndarray | None:
    """The numbers of a mask, (height, width), or its colours, (height, width, 3); None, and a note, where it cannot be
    used.

    Args:
        file: A path or the bytes, as `FileTree.image` gives them.
        where, image: How a user would look for the mask, and for its image.
        frame: The image's. A mask of the image as it is stored is turned with it.
        colors: See `load_map`.
    """
    try:
        mask = load_map(file, colors=colors)
    except (OSError, ValueError):
        summary.note("unreadable_mask", where)
        return None
    size = mask.shape[:2]
    if frame.is_unclear and Frame(*measure_turned(file)).orientation != 1:
        return mask  # the mask says itself how it was to be turned
    if note_frame(frame, size, where, summary):
        return turn(mask, frame.orientation) if size != frame.size else mask
    expected = f"{image} {frame.size[1]} x {frame.size[0]}"
    summary.note("mask_size_differs", f"{where} ({size[1]} x {size[0]}, {expected})")
    return None


def check_binary_mask(file: ImageLike, where: str, image: str, frame: Frame, summary: BuildSummary) -> dict | None:
    """The run lengths of a phrase's mask, of which the brighter half is inside; None, and a note, where it cannot be
    used. Arguments as for `check_map`."""
    mask = check_map(file, where, image, frame, summary, colors="grey")
    if mask is None:
        return None
    inside = read_mask(mask, where, lenient=True) > 0
    if inside.any():
        return encode_rle(inside)
    summary.note("empty_mask", where)
    return None
