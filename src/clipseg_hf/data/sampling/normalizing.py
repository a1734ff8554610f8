"""Pixels as the model takes them, quickly."""

from typing import Any

import numpy as np
import torch


class Normalizer:
    """Rescales and normalises pixels as an image processor of transformers does, in a tenth of its time: fused to one
    product and one difference, so that the last bits are not the same.

    Args:
        image_processor: says by what, and whether at all.

    Attributes:
        mean: (3, 1, 1) float32, the pixel that becomes 0.
    """

    def __init__(self, image_processor: Any) -> None:
        factor = image_processor.rescale_factor if image_processor.do_rescale else 1
        mean = image_processor.image_mean if image_processor.do_normalize else (0, 0, 0)
        std = image_processor.image_std if image_processor.do_normalize else (1, 1, 1)
        std = torch.tensor(std, dtype=torch.float32).view(3, 1, 1)
        mean = torch.tensor(mean, dtype=torch.float32).view(3, 1, 1)
        self.mean = mean / factor
        self._scale = factor / std
        self._shift = mean / std

    def __call__(self, image: np.ndarray, out: torch.Tensor | None = None) -> torch.Tensor:
        """(h, w, 3) uint8 -> (3, h, w) float32, into `out` if given."""
        planes = torch.from_numpy(image).permute(2, 0, 1)  # (h, w, 3) -> (3, h, w)
        out = torch.empty(planes.shape) if out is None else out
        return out.copy_(planes).mul_(self._scale).sub_(self._shift)  # faster than casting on the way
