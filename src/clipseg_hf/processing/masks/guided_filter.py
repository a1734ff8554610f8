"""Masks that follow the picture's edges without anything learned: the guided filter (He et al., ECCV 2010) on logits.

For checkpoints that have no refiner. In each window the filter takes the output for a straight line of the picture's
brightness, so what it gives has edges where the picture has them.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter


@dataclass(frozen=True)
class GuidedFilter:
    """Moves the borders of masks to the picture's edges, where there are such nearby.

    Attributes:
        radius: windows are 2 radius + 1 pixels wide, pixels of the logits.
        eps: variance of the brightness, which is in [0, 1], below which a window counts as flat, and logits are
            averaged.

    Raises:
        ValueError: a radius below 1, or an eps that is not above 0.
    """

    radius: int = 4
    eps: float = 1e-3

    def __post_init__(self) -> None:
        if self.radius < 1 or not self.eps > 0:
            raise ValueError(
                f"a guided filter has a radius of at least 1 and an eps above 0, got {self.radius} and {self.eps}."
            )

    def apply(self, logits: np.ndarray, image: Image.Image) -> np.ndarray:
        """The logits (..., H, W) of one picture of any size -> (..., H, W) float32 that follow its edges."""
        return self.filter(logits, brightness_of(image, (logits.shape[-2], logits.shape[-1])))

    def filter(self, logits: np.ndarray, guide: np.ndarray) -> np.ndarray:
        """The same by the brightness (H, W) of the picture.

        Raises:
            ValueError: shapes that do not belong together.
        """
        if logits.ndim < 2 or guide.shape != logits.shape[-2:]:
            raise ValueError(
                f"logits are (..., H, W) and their guide is (H, W), got {logits.shape} and {guide.shape}: resize the "
                "picture to the logits' size first, see brightness_of."
            )
        guide = guide.astype(np.float32, copy=False)
        inside = self._sums(np.ones_like(guide))  # what of each window is inside of the picture
        mean_guide = self._sums(guide) / inside
        variance = np.maximum(self._sums(guide * guide) / inside - mean_guide**2, 0)
        filtered = np.empty(logits.shape, dtype=np.float32)
        for place in np.ndindex(logits.shape[:-2]):  # one prompt at a time: its maps stay in the processor's cache
            own = np.asarray(logits[place], dtype=np.float32)
            mean = self._sums(own) / inside
            slope = (self._sums(own * guide) / inside - mean * mean_guide) / (variance + self.eps)
            shift = mean - slope * mean_guide
            filtered[place] = (self._sums(slope) * guide + self._sums(shift)) / inside
        return filtered

    def _sums(self, values: np.ndarray) -> np.ndarray:
        """The sum over each window, divided by the window's area; what is outside counts as zero."""
        return uniform_filter(values, 2 * self.radius + 1, mode="constant")


def brightness_of(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """A picture -> its brightness (H, W) float32 in [0, 1] at the size of logits, by television's weights."""
    luma = image.convert("L")
    if luma.size != (size[1], size[0]):
        luma = luma.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(luma, dtype=np.float32) / 255
