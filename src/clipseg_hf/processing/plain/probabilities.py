"""Logits -> probabilities, masks, presence and label maps of one image, as `postprocessing` makes them of tensors."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy.special import expit

from clipseg_hf.processing.thresholds import PRESENCE_SHARE


def presence_scores(logits: np.ndarray, share: float = PRESENCE_SHARE) -> list[float]:
    """How sure the model is that each prompt's thing is in the image; see `postprocessing.presence_scores`.

    Args:
        logits: (N, H, W).
        share: of the pixels that count.
    """
    pixels = np.asarray(logits, dtype=np.float32).reshape(len(logits), -1)
    highest = max(1, round(share * pixels.shape[1]))
    return expit(np.partition(pixels, -highest, axis=1)[:, -highest:].mean(axis=1)).tolist()


def resize_probabilities(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Logits (H, W) -> probabilities (h, w) float32, bilinear by pixel centres, smoothed where they shrink."""
    probabilities = expit(np.asarray(logits, dtype=np.float32))
    if probabilities.shape == tuple(size):
        return probabilities
    picture = Image.fromarray(probabilities).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(picture).clip(0, 1)


def find_mask(logits: np.ndarray, size: tuple[int, int], threshold: float) -> tuple[np.ndarray, float]:
    """Logits (H, W) -> the mask (h, w) bool, and the mean probability inside of it, 0 where it is empty."""
    probabilities = resize_probabilities(logits, size)
    mask = probabilities > threshold
    return mask, float(probabilities[mask].mean()) if mask.any() else 0.0


def label_pixels(logits: np.ndarray, size: tuple[int, int], thresholds: Sequence[float]) -> np.ndarray:
    """Logits (N, H, W) -> (h, w) int64: the number, counted from 1, of the most probable prompt above its threshold, 0
    where there is none."""
    best, label_map = np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.int64)
    for number, (one, threshold) in enumerate(zip(logits, thresholds, strict=True)):
        probabilities = resize_probabilities(one, size)
        wins = (probabilities > threshold) & (probabilities > best)
        best[wins], label_map[wins] = probabilities[wins], number + 1
    return label_map
