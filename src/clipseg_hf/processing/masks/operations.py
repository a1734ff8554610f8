"""What is done to masks before they are used: holes filled, specks dropped, grown, shrunk, turned round, softened."""

from dataclasses import dataclass, fields
from numbers import Real

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class MaskOperations:
    """Operations on a mask, carried out in this order; 0 leaves one out.

    Sizes of 1 or more are pixels of the image, those below 1 a share of it.

    Attributes:
        fill_holes: background that the object encloses is filled up to this area.
        min_area: connected parts (pixels touch by their sides) below this area are dropped.
        erode: how far the border moves inwards, in pixels; the edge of the image is no border.
        dilate: how far it moves outwards then, in pixels, so that both of one size drop thin parts and keep the rest.
        invert: take what is outside.
        feather: width of the soft border in pixels, the deviation of a Gaussian; for masks that are saved or laid over
            something, see `soften`. Boolean masks stay as they are.

    Raises:
        TypeError: something that is no number.
        ValueError: a number below 0.
    """

    fill_holes: float = 0
    min_area: float = 0
    erode: float = 0
    dilate: float = 0
    invert: bool = False
    feather: float = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not isinstance(getattr(self, field.name), (Real, np.bool_)):
                raise TypeError(f"{field.name} is a number, got {getattr(self, field.name)!r}.")
            if not 0 <= getattr(self, field.name) < float("inf"):
                raise ValueError(f"{field.name} is a size of 0 or more, got {getattr(self, field.name)}.")

    def apply(self, mask: np.ndarray) -> np.ndarray:
        """(h, w) bool -> (h, w) bool."""
        if self.fill_holes:
            holes = ndimage.binary_fill_holes(mask) & ~mask
            mask = mask | (holes & ~_keep_parts(holes, self._pixels(self.fill_holes, mask) + 1))
        if self.min_area:
            mask = _keep_parts(mask, self._pixels(self.min_area, mask))
        if self.erode:
            mask = ~_grown(~mask, self.erode)
        if self.dilate:
            mask = _grown(mask, self.dilate)
        return ~mask if self.invert else mask

    def soften(self, mask: np.ndarray) -> np.ndarray:
        """(h, w) bool -> (h, w) float32 in [0, 1], how much of each pixel is in the mask."""
        soft = mask.astype(np.float32)
        return ndimage.gaussian_filter(soft, self.feather, mode="nearest").clip(0, 1) if self.feather else soft

    @staticmethod
    def _pixels(size: float, mask: np.ndarray) -> float:
        return size if size >= 1 else size * mask.size


def _grown(mask: np.ndarray, radius: float) -> np.ndarray:
    """What lies within a radius: by distances, so that a large one takes no longer."""
    if not mask.any():  # there is no distance to nothing
        return mask
    return ndimage.distance_transform_edt(~mask) <= radius


def _keep_parts(mask: np.ndarray, min_area: float) -> np.ndarray:
    labels, _ = ndimage.label(mask)
    is_large = np.bincount(labels.ravel()) >= min_area
    is_large[0] = False
    return is_large[labels]
