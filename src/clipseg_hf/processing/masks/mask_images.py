"""Segmentation maps -> labels at the model's size: one mask for each prompt, or one index map for each image."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from clipseg_hf.processing.images import load_map


def make_labels(
    maps: Sequence,
    counts: Sequence[int],
    original_sizes: Sequence[tuple[int, int]],
    target_sizes: Sequence[tuple[int, int]],
    ignore_index: int | None = None,
) -> list[np.ndarray]:
    """Bring segmentation maps to labels, one for each prompt.

    Args:
        maps: either one mask for each prompt - bool, 0/1, 0/255 or float in [0, 1] -, or one index map for each
            image, in which 0 is none of the prompts and k the k-th prompt of this image, counted from 1 (so that a
            0/1 mask is the index map of one prompt). As many maps as prompts are masks.
        counts: number of prompts of each image.
        original_sizes: (height, width) of each image; its maps have this size.
        target_sizes: (height, width) that each image is brought to.
        ignore_index: the number that marks pixels which do not count; kept in the labels.

    Returns:
        N arrays (h, w) float32 with values in [0, 1], and `ignore_index`; resized by nearest neighbour.

    Raises:
        ValueError: number, size or values of the maps do not fit; the message names the map.
    """
    owners = [image for image, count in enumerate(counts) for _ in range(count)]
    if len(maps) == len(owners):
        are_masks, images = True, owners
    elif len(maps) == len(counts):
        are_masks, images = False, list(range(len(counts)))
    else:
        raise ValueError(
            f"{len(maps)} segmentation_maps fit neither the {len(owners)} prompts (one mask for each) nor the "
            f"{len(counts)} images (one index map for each)."
        )
    labels = []
    for number, (given, image) in enumerate(zip(maps, images, strict=True)):
        name = f"segmentation_maps[{number}]"
        values = load_map(given, name)
        if values.shape != tuple(original_sizes[image]):
            raise ValueError(
                f"{name} is {values.shape[0]} x {values.shape[1]} pixels (height x width), but its image is "
                f"{original_sizes[image][0]} x {original_sizes[image][1]} after its EXIF rotation: they have to agree."
            )
        if are_masks:
            found = [read_mask(values, name, ignore_index)]
        else:
            found = split_index_map(values, counts[image], name, ignore_index)
        labels += [resize_map(mask, target_sizes[image]) for mask in found]
    return labels


def read_mask(values: np.ndarray, name: str, ignore_index: int | None = None) -> np.ndarray:
    """One mask of bool, 0/1, 0/255, 0/65535 or float in [0, 1] -> (h, w) float32 in [0, 1], and `ignore_index` where it
    was. Of a mask whose edges are blurred (by JPEG or anti-aliasing), the brighter half.

    Raises:
        ValueError: other values; or 0/255 where 255 is also to be ignored.
    """
    if values.dtype == bool:
        return values.astype(np.float32)
    ignored = np.zeros(values.shape, dtype=bool) if ignore_index is None else values == ignore_index
    counted = values[~ignored]
    if ignore_index == 255 and ignored.any() and not counted.any():
        raise ValueError(
            f"{name} holds only 0 and 255, and ignore_index is 255: a 0/255 mask would lose its object. Pass "
            "mask > 127, or mark what to ignore by another number."
        )
    top = 1
    if np.issubdtype(values.dtype, np.floating):
        is_valid = bool(((counted >= 0) & (counted <= 1)).all())
    else:
        top = next((top for top in (65535, 255) if (counted == top).any()), 1)
        is_valid = bool(((counted == 0) | (counted == top)).all())
        if not is_valid and ignore_index is None and is_blurred_mask(values):
            return brighter_half(values).astype(np.float32)
    if not is_valid:
        raise ValueError(
            f"{name} holds {_some(counted)}, expected a mask of bool, 0/1, 0/255 or float in [0, 1]"
            + (f", or {ignore_index} to ignore. " if ignore_index is not None else ". ")
            + "Compare it (mask > 127) if it is grey; for an index map give one for each image, its prompts counted "
            "from 1, and ignore_index for pixels that do not count."
        )
    mask = values.astype(np.float32) / top
    mask[ignored] = ignore_index
    return mask


def brighter_half(values: np.ndarray) -> np.ndarray:
    """Numbers of a mask, from 0 upwards -> (h, w) bool: those above half of the highest; of 0 and 1, the ones."""
    top = values.max(initial=0)
    return values > (top / 2 if top > 1 else 0)


def is_blurred_mask(values: np.ndarray) -> bool:
    """Whether integers of 8 or 16 bits are clearly black and white with shades between, and no index map: nearly all
    are close to an end, and some near the bright end are not at it (the numbers of classes are small, 255 apart)."""
    shares = values / (255 if values.max(initial=0) <= 255 else 65535)
    between = (shares > 0.25) & (shares < 0.75)
    near_white = (shares > 0.5) & (shares < 1)
    return bool(shares.min() >= 0 and shares.max() > 0.75 and near_white.any() and between.mean() < 0.1)


def split_index_map(values: np.ndarray, count: int, name: str, ignore_index: int | None = None) -> list[np.ndarray]:
    """An index map -> one mask for each of `count` prompts, (h, w) float32 of 0, 1 and `ignore_index`.

    Raises:
        ValueError: a number that is no prompt.
    """
    if values.dtype == bool and count == 1:
        values = values.astype(np.uint8)
    if values.dtype == bool:
        raise ValueError(f"{name} is a bool mask, but its image has {count} prompts: give one mask for each of them.")
    ignored = np.zeros(values.shape, dtype=bool) if ignore_index is None else values == ignore_index
    unknown = values[~ignored & ~np.isin(values, np.arange(count + 1))]
    if unknown.size:
        hint = (
            "is it a 0/255 mask? Then give one for each prompt; or ignore_index=255, if 255 marks what does not count."
            if (unknown == 255).all()
            else "give ignore_index for pixels that do not count."
        )
        raise ValueError(
            f"{name} holds {_some(unknown)}, but its image has {count} prompts, counted from 1 (0 is none): {hint}"
        )
    masks = [(values == prompt).astype(np.float32) for prompt in range(1, count + 1)]
    for mask in masks:
        mask[ignored] = ignore_index
    return masks


def resize_map(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w) float32 -> (height, width) by nearest neighbour, aligned with the picture's pixel centres."""
    if values.shape == tuple(size):
        return values
    height, width = size
    return np.array(Image.fromarray(values).resize((width, height), Image.Resampling.NEAREST))


def _some(values: np.ndarray) -> str:
    distinct = np.unique(values)
    shown = ", ".join(f"{value:g}" for value in distinct[:5])
    return f"{shown}, ... ({len(distinct)} different values)" if len(distinct) > 5 else shown
