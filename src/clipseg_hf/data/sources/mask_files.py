"""Reads masks that come as pictures: one value or colour per class, or one picture per phrase."""

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image, UnidentifiedImageError

from clipseg_hf.processing.masks.mask_images import brighter_half

LOSSLESS_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")


def read_index_mask(image: Mapping | Image.Image) -> np.ndarray | None:
    """Read a mask of one value per pixel.

    Args:
        image: A path or bytes as `FileTree.image` gives them, or a picture. A palette's colours do not matter, its
            indices do.

    Returns:
        (height, width) array of int32: the index or grey value; of a colour picture `color_value`. None where it
        cannot be read.
    """
    picture = _open(image)
    if picture is None:
        return None
    if picture.mode in ("RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"):
        red, green, blue = np.moveaxis(np.asarray(picture.convert("RGB"), dtype=np.int32), -1, 0)
        return (red << 16) | (green << 8) | blue
    if picture.mode in ("LA", "La", "PA"):
        picture = picture.getchannel(0)
    return np.asarray(picture).astype(np.int32)


def read_binary_mask(image: Mapping | Image.Image) -> np.ndarray | None:
    """Read a mask of inside and outside: 0 and 1, 0 and 255, or shades, of which the brighter half is inside.

    Returns:
        (height, width) array of bool; None where it cannot be read.
    """
    picture = _open(image)
    if picture is None:
        return None
    if picture.mode == "P":
        values = np.asarray(picture)
        return values > 0  # index 0 is the background, whatever its colour
    values = np.asarray(picture if picture.mode in ("1", "L", "I", "F", "I;16") else picture.convert("L"))
    return brighter_half(values)


def color_value(color: tuple[int, int, int]) -> int:
    """The number that stands for a colour in `read_index_mask`."""
    red, green, blue = (int(part) for part in color)
    return (red << 16) | (green << 8) | blue


def _open(image: Mapping | Image.Image) -> Image.Image | None:
    if isinstance(image, Image.Image):
        return image
    try:
        picture = Image.open(io.BytesIO(image["bytes"]) if image["bytes"] is not None else image["path"])
        picture.load()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError):
        return None
    return picture
