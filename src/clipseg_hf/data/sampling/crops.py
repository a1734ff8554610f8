"""Windows of images: which part of an image is kept, and how it is brought to another size."""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image


class Window(NamedTuple):
    """A part of an image, in pixels: rows top ... top + height - 1, columns left ... left + width - 1."""

    top: int
    left: int
    height: int
    width: int

    def of(self, array: np.ndarray) -> np.ndarray:
        """The window's part of a (rows, columns, ...) array, as a view."""
        return array[self.top : self.top + self.height, self.left : self.left + self.width]


def window_size(height: int, width: int, aspect: tuple[int, int] = (1, 1)) -> tuple[int, int]:
    """(height, width) of the largest window of an aspect ratio (height, width) that fits into an image: for a square
    the shorter side twice."""
    scale = min(height / aspect[0], width / aspect[1])
    return max(1, min(height, round(scale * aspect[0]))), max(1, min(width, round(scale * aspect[1])))


def draw_window(
    masks: Sequence[np.ndarray], min_foreground: float, generator: torch.Generator, aspect: tuple[int, int] = (1, 1)
) -> Window:
    """Draw the window of an image that its masks ask for.

    A window suits a mask if it holds more of its foreground than `min_foreground` of the image's whole area; where no
    window does, if it holds as much as any does. Drawn are, with equal probability, those windows that suit the most
    masks. With one mask this is what the original's (at most 50) random tries come to in the limit, found directly: a
    window as large as can be slides along one axis only, so that its foreground is a difference of prefix sums.

    Args:
        masks: P >= 1 times (height, width) bool, the masks of one image.
        min_foreground: share of the image's area, the original's 0.05.
        aspect: (height, width) in any unit, the original's is square.
    """
    height, width = masks[0].shape
    rows, columns = window_size(height, width, aspect)
    slides_down = rows < height
    extent = rows if slides_down else columns
    profiles = [mask.view(np.uint8).sum(axis=int(slides_down), dtype=np.int32) for mask in masks]  # (height or width,)
    sums = np.cumsum([np.concatenate(([0], profile)) for profile in profiles], axis=1)
    foreground = sums[:, extent:] - sums[:, :-extent]  # (P, places)
    best = foreground.max(axis=1, keepdims=True)
    enough = min_foreground * height * width
    suited = np.where(best > enough, foreground > enough, foreground == best).sum(axis=0)  # (places,)
    candidates = np.flatnonzero(suited == suited.max())
    place = int(candidates[int(torch.randint(len(candidates), (), generator=generator))])
    return Window(place, 0, rows, columns) if slides_down else Window(0, place, rows, columns)


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) uint8 -> (*size, 3) uint8, bilinear with antialiasing: what Pillow does, in half its time. (In memory
    the planes lie one after the other, as they come and as they will be wanted.)"""
    pixels = torch.from_numpy(np.array(image, order="C")).permute(2, 0, 1)[None]  # (h, w, 3) -> (1, 3, h, w)
    if image.shape[:2] != tuple(size):
        pixels = torch.nn.functional.interpolate(pixels, size=tuple(size), mode="bilinear", antialias=True)
    return pixels[0].permute(1, 2, 0).numpy()  # (1, 3, H, W) -> (H, W, 3)


def resize_part(
    image: np.ndarray, size: tuple[int, int], window: Window, resample: int = Image.Resampling.BILINEAR
) -> np.ndarray:
    """What `window` shows of an image that is resized to `size`, for the price of the window and of what lies between
    it and the nearest corner.

    Args:
        image: (h, w, 3) uint8.
        size: (height, width) that the whole image would get.
        window: in pixels of the resized image.
        resample: Pillow's filter, bilinear or bicubic.

    Returns:
        (window.height, window.width, 3) uint8; in memory the planes lie one after the other.
    """
    kept, scales = [], []
    for begin, extent, target, source in zip(window[:2], window[2:], size, image.shape, strict=False):
        ratio = source / target
        reach = ceil(2 * max(ratio, 1)) + 1  # of the bicubic filter
        is_far = 2 * begin + extent > target  # nearer to the other border: looked at from there
        begin = target - begin - extent if is_far else begin
        end = min(ceil((begin + extent) * ratio) + reach, source)
        kept.append((slice(None, source - end - 1 if end < source else None, -1) if is_far else slice(end), begin))
        scales.append((1 + 1e-9) / ratio)  # a hair more, lest the last pixel be rounded away
    (rows, top), (columns, left) = kept
    pixels = torch.from_numpy(np.array(image[rows, columns], order="C")).permute(2, 0, 1)[None]  # (1, 3, h', w')
    if image.shape[:2] != tuple(size):
        mode = "bicubic" if resample == Image.Resampling.BICUBIC else "bilinear"
        pixels = torch.nn.functional.interpolate(pixels, scale_factor=scales, mode=mode, antialias=True)
    part = pixels[0, :, top : top + window.height, left : left + window.width]
    backwards = [axis for axis, span in ((1, rows), (2, columns)) if span.step]
    part = part.flip(backwards) if backwards else part.contiguous()
    return part.permute(1, 2, 0).numpy()  # (3, H, W) -> (H, W, 3)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w) bool -> (*size) bool, nearest neighbour by pixel centres. A mask that is not empty stays so: one that is
    too thin to be met marks the pixels that it touches."""
    if mask.shape == tuple(size):
        return mask
    resized = mask[_centres(size[0], mask.shape[0])][:, _centres(size[1], mask.shape[1])]
    if resized.any() or not mask.any():
        return resized
    pixels = torch.from_numpy(np.ascontiguousarray(mask, dtype=np.float32))[None]
    return torch.nn.functional.adaptive_max_pool2d(pixels, tuple(size))[0].numpy() > 0


def _centres(size: int, source: int) -> np.ndarray:
    """(size,) the source index under the centre of each target pixel."""
    return (2 * np.arange(size) + 1) * source // (2 * size)
