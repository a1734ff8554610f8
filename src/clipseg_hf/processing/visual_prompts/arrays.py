"""Visual prompts of one picture as an array, without torch: what `make_visual_prompt` makes, but for rounding."""

import numpy as np
from scipy import ndimage

from clipseg_hf.processing.visual_prompts.settings import LUMA, RED, Statistics, VisualPromptSettings

_RADIUS, _SIGMA = 7, 3.0  # of the blur, 15 x 15


def draw_visual_prompt(
    image: np.ndarray,
    mask: np.ndarray,
    size: tuple[int, int] | None,
    settings: VisualPromptSettings,
    image_mean: Statistics,
    image_std: Statistics,
) -> np.ndarray:
    """Make a visual prompt.

    Args:
        image: (3, H, W) float32, normalised.
        mask: (H, W) numbers in [0, 1], not all of them 0.
        size: (height, width) of the prompt; None keeps H x W and is for settings without a crop.
        settings: what is done.
        image_mean, image_std: with what the picture was normalised.

    Returns:
        (3, h, w) float32.
    """
    mean, deviation = (np.array(values, dtype=np.float32)[:, None, None] for values in (image_mean, image_std))
    luma, red = (np.array(values, dtype=np.float32)[:, None, None] for values in (LUMA, RED))
    if settings.highlight == "red":
        grey = ((image * deviation + mean).clip(0, 1) * luma).sum(0, keepdims=True)
        prompt = (grey * (red * mask + (1 - mask)) - mean) / deviation
    elif settings.highlight == "outline":
        inside = (mask != 0).astype(np.float32)
        line = ndimage.maximum_filter(inside, 2 * settings.outline_width + 1, mode="constant") - inside
        prompt = image * (1 - line) + (red - mean) / deviation * line
    else:
        rest = np.float32(settings.background) * (_blurred(image) if settings.blur else image)
        prompt = rest + mask * (image - rest)
    if settings.crop:
        if size is None:
            raise ValueError("Cropped visual prompts need a size: objects differ in theirs. Pass size=(h, w).")
        return _cut_out(prompt, mask, size, settings.context)
    if size is None or size == mask.shape:
        return prompt
    rows, columns = (_nearest(0, old, old, new) for old, new in zip(mask.shape, size, strict=True))
    return prompt[:, rows][:, :, columns]


def _blurred(image: np.ndarray) -> np.ndarray:
    """By a Gaussian; at the borders the picture is mirrored without repeating the edge pixel."""
    weights = np.exp(-(np.arange(-_RADIUS, _RADIUS + 1) ** 2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    for axis in (2, 1):
        image = ndimage.correlate1d(image, weights, axis, mode="mirror")
    return image


def _cut_out(image: np.ndarray, mask: np.ndarray, size: tuple[int, int], context: float) -> np.ndarray:
    """The box around the object, widened by `context` and padded with zeros to the shape of `size`."""
    boxes = []
    for axis, limit in ((1, mask.shape[0]), (0, mask.shape[1])):
        hits = np.flatnonzero(mask.any(axis=axis))
        first, last = int(hits[0]), int(hits[-1]) + 1
        more = context * (last - first)
        start, end = int(max(first - more, 0)), min(int(last + more), limit)
        boxes.append((start, end - start))
    (top, height), (left, width) = boxes
    # the smallest frame of the shape of `size` that the box fits in
    frame = max(height, -(-width * size[0] // size[1])), max(width, -(-height * size[1] // size[0]))
    rows, columns = _nearest(top, height, frame[0], size[0]), _nearest(left, width, frame[1], size[1])
    prompt = np.zeros((3, *size), dtype=np.float32)
    y, x = np.flatnonzero(rows >= 0), np.flatnonzero(columns >= 0)
    prompt[:, y[:, None], x] = image[:, rows[y][:, None], columns[x]]
    return prompt


def _nearest(start: int, length: int, frame: int, size: int) -> np.ndarray:
    """For each of `size` places of a frame around [start, start + length): the source index, or -1 where the frame is
    wider."""
    places = (np.arange(size, dtype=np.float32) * (np.float32(frame) / np.float32(size))).astype(np.int64)
    places = np.minimum(places, frame - 1) - (frame - length) // 2
    return np.where((places >= 0) & (places < length), start + places, -1)
