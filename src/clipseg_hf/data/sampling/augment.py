"""Random changes of an image at the model's size; both are off by default, as in the original."""

import numpy as np
import torch

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R 601, as Pillow's grey


def jitter_colors(image: np.ndarray, strength: float, generator: torch.Generator) -> np.ndarray:
    """Change brightness, contrast and saturation, each by a factor from U[1 - strength, 1 + strength].

    Args:
        image: (H, W, 3) uint8.
        strength: in [0, 1].

    Returns:
        (H, W, 3) uint8.
    """
    brightness, contrast, saturation = (1 + strength * (2 * torch.rand(3, generator=generator) - 1)).tolist()
    pixels = image.astype(np.float32)
    grey = (pixels @ _LUMA)[..., None]  # (H, W, 1)
    pixels = saturation * pixels + (1 - saturation) * grey
    pixels = brightness * (contrast * pixels + (1 - contrast) * grey.mean())
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def flip(array: np.ndarray, axis: int) -> np.ndarray:
    """Mirror an array along an axis, as a copy."""
    return np.ascontiguousarray(np.flip(array, axis))
