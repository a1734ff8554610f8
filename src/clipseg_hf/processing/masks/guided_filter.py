"""Masks that follow the picture's edges without anything learned: the guided filter (He et al., ECCV 2010) on logits.

For checkpoints that have no refiner. In each window the filter takes the output for a straight line of the picture's
brightness, so what it gives has edges where the picture has them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from clipseg_hf._counted import counted

LUMA = (0.299, 0.587, 0.114)


def guided_filter(logits: Tensor, guides: Tensor, radius: int = 4, eps: float = 1e-3) -> Tensor:
    """Logits that follow the edges of pictures.

    Args:
        logits: (N, H, W).
        guides: (N, H, W), brightness in [0, 1] of the picture behind each.
        radius: windows are 2 radius + 1 pixels wide.
        eps: variance of the brightness below which a window counts as flat, and logits are averaged.

    Returns:
        (N, H, W) float32.

    Raises:
        ValueError: shapes that differ, a radius below 1 or an eps that is not above 0.
    """
    if logits.ndim != 3 or guides.shape != logits.shape:
        raise ValueError(
            f"logits and guides are both (N, H, W), got {tuple(logits.shape)} and {tuple(guides.shape)}: resize the "
            "pictures to the logits' size first, see brightness_of."
        )
    if radius < 1 or eps <= 0:
        raise ValueError(f"a guided filter has a radius of at least 1 and an eps above 0, got {radius} and {eps}.")
    logits, guides = logits.float(), guides.float()
    mean_logits, mean_guides, product, square = (
        _box(maps, radius) for maps in (logits, guides, logits * guides, guides * guides)
    )
    slope = (product - mean_logits * mean_guides) / ((square - mean_guides**2).clamp(min=0) + eps)
    shift = mean_logits - slope * mean_guides
    return _box(slope, radius) * guides + _box(shift, radius)


def guide_logits(
    logits: Tensor, prompt_to_image: Sequence[int] | Tensor | None, guides: Sequence[Image.Image], **options: Any
) -> Tensor:
    """`guided_filter` of the logits of N prompts by the RGB pictures that they ask about.

    Args:
        logits: (N, H, W), or (H, W).
        prompt_to_image: (N,); left out: one prompt for each picture, or all of a single one.
        guides: the pictures, of any size.
        options: of `guided_filter`.

    Raises:
        ValueError: there is no picture for some prompt.
    """
    if logits.ndim == 2:
        return guide_logits(logits[None], prompt_to_image, guides, **options)[0]
    if prompt_to_image is None:
        owners = [0] * len(logits) if len(guides) == 1 else list(range(len(logits)))
    else:
        owners = [int(image) for image in prompt_to_image]
    if owners and max(owners) >= len(guides):
        raise ValueError(
            f"guides hold {counted(len(guides), 'picture')} for prompts about {max(owners) + 1}: give the picture of "
            "each image, in the order in which the model saw them."
        )
    arrays = [torch.from_numpy(np.array(guide)).to(logits.device) for guide in guides]
    brightness = [brightness_of(array, (logits.shape[1], logits.shape[2])) for array in arrays]
    if not owners:
        return logits.float()
    return guided_filter(logits, torch.stack([brightness[owner] for owner in owners]), **options)


def brightness_of(image: Tensor, size: tuple[int, int]) -> Tensor:
    """A picture (h, w, 3) uint8 -> its brightness (H, W) float32 in [0, 1], at the size of logits."""
    luma = (image.float() / 255) @ torch.tensor(LUMA, device=image.device)
    return F.interpolate(luma[None, None], tuple(size), mode="bilinear", antialias=True)[0, 0].clamp(0, 1)


def _box(maps: Tensor, radius: int) -> Tensor:
    """The mean over each window, of what of it is inside."""
    maps = maps[:, None]
    for kernel, padding in (((2 * radius + 1, 1), (radius, 0)), ((1, 2 * radius + 1), (0, radius))):
        maps = F.avg_pool2d(maps, kernel, stride=1, padding=padding, count_include_pad=False)
    return maps[:, 0]
