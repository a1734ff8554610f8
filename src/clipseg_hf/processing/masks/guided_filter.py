"""Masks that follow the picture's edges without anything learned: the guided filter (He et al., ECCV 2010) on logits.

For checkpoints that have no refiner. In each window the filter takes the output for a linear function of the picture's
colour, so what it gives has edges where the picture has them. As in the fast guided filter (He and Sun, 2015), the
functions are found on a shrunk picture and applied to the whole one.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter

from clipseg_hf.processing.plain.probabilities import resize_map

SHRINK = 4  # the functions are found at a quarter of the size, which costs less and gives masks no worse


@dataclass(frozen=True)
class GuidedFilter:
    """Moves the borders of masks to the picture's edges, where there are such nearby.

    Attributes:
        radius: windows are 2 radius + 1 pixels wide, pixels of the logits. How far a border may move.
        eps: variance of the colours, which are in [0, 1], below which a window counts as flat, and logits are averaged.
        limit: logits beyond it count as settled and are drawn in to it, so that what is far below does not swallow what
            is little above.

    Raises:
        ValueError: a radius below 2, or an eps or a limit that is not above 0.
    """

    radius: int = 8
    eps: float = 1e-3
    limit: float = 4.0

    def __post_init__(self) -> None:
        if self.radius < SHRINK or not self.eps > 0 or not self.limit > 0:
            raise ValueError(
                f"a guided filter has a radius of at least {SHRINK}, and an eps and a limit above 0; got "
                f"{self.radius}, {self.eps} and {self.limit}."
            )

    def apply(self, logits: np.ndarray, image: Image.Image) -> np.ndarray:
        """The logits (..., H, W) of one picture of any size -> (..., H, W) float32 that follow its edges."""
        size = (logits.shape[-1], logits.shape[-2])
        picture = image.convert("RGB")
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.BILINEAR)
        return self.filter(logits, np.asarray(picture, dtype=np.float32) / 255)

    def filter(self, logits: np.ndarray, guide: np.ndarray) -> np.ndarray:
        """The same by the picture's colours (H, W, 3) in [0, 1].

        Raises:
            ValueError: shapes that do not belong together.
        """
        if logits.ndim < 2 or guide.shape != (*logits.shape[-2:], 3):
            raise ValueError(
                f"logits are (..., H, W) and their guide is (H, W, 3), got {logits.shape} and {guide.shape}: `apply` "
                "takes a picture of any size."
            )
        guide = np.moveaxis(guide.astype(np.float32, copy=False), 2, 0)  # (3, H, W)
        lines = _Lines(guide, round(self.radius / SHRINK), self.eps)
        filtered = np.empty(logits.shape, dtype=np.float32)
        for place in np.ndindex(logits.shape[:-2]):  # one prompt at a time: its maps stay in the processor's cache
            own = np.asarray(logits[place], dtype=np.float32)
            slopes, shift = lines(self.limit * np.tanh(own / self.limit))
            filtered[place] = np.einsum("chw,chw->hw", slopes, guide) + shift
        return filtered


class _Lines:
    """For each pixel the linear function of its colour that fits the maps around it, found on a shrunk guide."""

    def __init__(self, guide: np.ndarray, radius: int, eps: float):
        self.size, self.width = guide.shape[1:], 2 * radius + 1
        self.small = tuple(-(-side // SHRINK) for side in self.size)
        self.guide = np.stack([resize_map(channel, self.small) for channel in guide])
        self.inside = self._sum(np.ones(self.small, dtype=np.float32))  # what of each window is inside of the picture
        self.mean = self._average(self.guide)
        squares = self._average(self.guide[:, None] * self.guide)  # (3, 3, h, w)
        covariance = np.moveaxis(squares - self.mean[:, None] * self.mean, (0, 1), (2, 3))
        inverse = np.linalg.inv(covariance + eps * np.eye(3, dtype=np.float32))  # (h, w, 3, 3)
        self.inverse = np.ascontiguousarray(np.moveaxis(inverse, (2, 3), (0, 1)))

    def __call__(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(H, W) -> slopes (3, H, W) and shift (H, W), averaged over the windows that a pixel is in."""
        small = resize_map(values, self.small)
        mean = self._average(small)
        slopes = np.einsum("ijhw,jhw->ihw", self.inverse, self._average(self.guide * small) - self.mean * mean)
        shift = mean - np.einsum("chw,chw->hw", slopes, self.mean)
        *slopes, shift = (resize_map(one, self.size) for one in self._average(np.stack([*slopes, shift])))
        return np.stack(slopes), shift

    def _average(self, maps: np.ndarray) -> np.ndarray:
        return self._sum(maps) / self.inside

    def _sum(self, maps: np.ndarray) -> np.ndarray:
        """Over each window, divided by its area; what is outside counts as zero."""
        return uniform_filter(maps, self.width, mode="constant", axes=(-2, -1))
