"""Logits -> probabilities, masks, presence and label maps of one image, as `postprocessing` makes them of tensors."""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image
from scipy.special import expit

from clipseg_hf.processing.thresholds import PRESENCE_SHARE

BAND_PIXELS = 1 << 23  # handled at once


def presence_scores(logits: np.ndarray, share: float = PRESENCE_SHARE) -> list[float]:
    """How sure the model is that each prompt's thing is in the image; see `postprocessing.presence_scores`.

    Args:
        logits: (N, H, W).
        share: of the pixels that count.
    """
    pixels = np.asarray(logits, dtype=np.float32).reshape(len(logits), -1)
    highest = max(1, round(share * pixels.shape[1]))
    return expit(np.partition(pixels, -highest, axis=1)[:, -highest:].mean(axis=1)).tolist()


def resize_probabilities(logits: np.ndarray, size: tuple[int, int], rows: tuple[int, int] | None = None) -> np.ndarray:
    """Logits (H, W) -> probabilities (h, w) float32, bilinear by pixel centres, smoothed where they shrink; of the rows
    from the first to before the last alone, where they are given."""
    return resize_map(expit(np.asarray(logits, dtype=np.float32)), size, rows).clip(0, 1)


def resize_map(values: np.ndarray, size: tuple[int, int], rows: tuple[int, int] | None = None) -> np.ndarray:
    """Numbers (H, W) float32 -> (h, w), or some rows of these, bilinear by pixel centres."""
    (height, width), (top, bottom) = size, rows or (0, size[0])
    if values.shape == (height, width):
        return values[top:bottom]
    scale = values.shape[0] / height
    box = (0, top * scale, values.shape[1], min(bottom * scale, values.shape[0]))
    return np.asarray(Image.fromarray(values).resize((width, bottom - top), Image.Resampling.BILINEAR, box))


def probability_bands(logits: np.ndarray, size: tuple[int, int]) -> Iterator[tuple[slice, np.ndarray]]:
    """As `resize_probabilities`, a band of rows at a time, so that a large picture's are never in memory at once.

    Yields:
        which rows, and their probabilities.
    """
    for rows in _bands(size):
        yield rows, resize_probabilities(logits, size, (rows.start, rows.stop))


def find_mask(logits: np.ndarray, size: tuple[int, int], threshold: float) -> tuple[np.ndarray, float]:
    """Logits (H, W) -> the mask (h, w) bool, and the mean probability inside of it, 0 where it is empty."""
    mask, total = np.empty(size, dtype=bool), 0.0
    for rows, probabilities in probability_bands(logits, size):
        mask[rows] = probabilities > threshold
        total += float(probabilities[mask[rows]].sum(dtype=np.float64))
    return mask, total / max(1, int(mask.sum()))


def means_inside(logits: np.ndarray, masks: Sequence[np.ndarray]) -> list[float]:
    """The mean probability inside of each of some masks (h, w) bool, by logits (H, W); 0 where one is empty."""
    counts, totals = [int(mask.sum()) for mask in masks], [0.0] * len(masks)
    if any(counts):
        for rows, some in probability_bands(logits, (masks[0].shape[0], masks[0].shape[1])):
            for number, mask in enumerate(masks):
                totals[number] += float(some[mask[rows]].sum(dtype=np.float64))
    return [total / max(1, count) for total, count in zip(totals, counts, strict=True)]


def label_pixels(logits: np.ndarray, size: tuple[int, int], thresholds: Sequence[float]) -> np.ndarray:
    """Logits (N, H, W) -> (h, w), of bytes where N fits, else of 16 or 32 bits: the number, counted from 1, of the most
    probable prompt above its threshold, 0 where there is none."""
    label_map = np.zeros(size, dtype=np.min_scalar_type(len(thresholds)))
    for rows in _bands(size):
        best = np.zeros(label_map[rows].shape, dtype=np.float32)
        for number, (one, threshold) in enumerate(zip(logits, thresholds, strict=True)):
            probabilities = resize_probabilities(one, size, (rows.start, rows.stop))
            wins = (probabilities > threshold) & (probabilities > best)
            best[wins], label_map[rows][wins] = probabilities[wins], number + 1
    return label_map


def _bands(size: tuple[int, int]) -> Iterator[slice]:
    """The rows of a picture, some at a time."""
    step = max(1, BAND_PIXELS // size[1])
    for top in range(0, size[0], step):
        yield slice(top, min(size[0], top + step))
