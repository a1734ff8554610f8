"""Segmentation maps -> labels at the model's size: one mask for each prompt, or one index map for each image."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from clipseg_hf.processing.masks.mask_files import load_map, read_mask, some_of


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
            f"{name} holds {some_of(unknown)}, but its image has {count} prompts, counted from 1 (0 is none): {hint}"
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
