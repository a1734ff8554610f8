"""Pictures -> pixel values, as `ViTImageProcessor` of transformers makes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from PIL import Image


@dataclass
class PlainImageProcessor:
    """Resizes, rescales and normalises; the fields are those of `ViTImageProcessor`, and their defaults, too."""

    size: Mapping[str, int] = field(default_factory=lambda: {"height": 224, "width": 224})
    resample: int = Image.Resampling.BILINEAR
    rescale_factor: float = 1 / 255
    image_mean: Sequence[float] = field(default_factory=lambda: [0.5, 0.5, 0.5])
    image_std: Sequence[float] = field(default_factory=lambda: [0.5, 0.5, 0.5])
    do_resize: bool = True
    do_rescale: bool = True
    do_normalize: bool = True
    do_center_crop: bool = False

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "PlainImageProcessor":
        """From what a file says of an image processor.

        Raises:
            ValueError: it crops, which is not done here.
        """
        names = {each.name for each in fields(cls)}
        processor = cls(**{name: value for name, value in stored.items() if name in names and value is not None})
        if processor.do_center_crop:
            raise ValueError(
                "This model's image processor crops its pictures (do_center_crop): that needs transformers."
            )
        return processor

    def __call__(self, images: list, **options: Any) -> dict[str, list[np.ndarray]]:
        """RGB pictures, or (3, h, w) numbers from 0 to 255 that keep their size -> (3, h, w) float32 each."""
        own = {name: value for name, value in options.items() if value is not None and hasattr(self, name)}
        return {"pixel_values": [replace(self, **own)._process(image) for image in images]}

    def _process(self, image: Image.Image | np.ndarray) -> np.ndarray:
        if isinstance(image, Image.Image):
            size = (self.size["width"], self.size["height"])
            if self.do_resize and image.size != size:
                image = image.resize(size, self.resample)
            image = np.asarray(image).transpose(2, 0, 1)  # (h, w, 3) -> (3, h, w)
        elif self.do_resize:
            raise ValueError("Numbers that are no 8-bit picture are not resized here: that needs transformers.")
        pixels = image.astype(np.float32)
        if self.do_rescale:
            pixels *= np.float32(self.rescale_factor)
        if self.do_normalize:
            mean, std = (np.array(each, dtype=np.float32)[:, None, None] for each in (self.image_mean, self.image_std))
            pixels = (pixels - mean) / std
        return pixels
