"""A row's image as pixels, decoded no larger than it will be used."""

import io
import os

import numpy as np
from PIL import Image

from clipseg_hf.processing.images import load_image

_EXIF_ORIENTATION = 0x0112


def undecoded(rows):
    """The same rows with images left as bytes or paths, where they are a `datasets.Dataset`: decoding is then ours."""
    if not hasattr(rows, "cast_column"):
        return rows
    import datasets

    rows = rows.with_format(None)
    for name in [name for name, feature in rows.features.items() if isinstance(feature, datasets.Image)]:
        rows = rows.cast_column(name, datasets.Image(decode=False))
    return rows


def decode_image(image, at_least: tuple[int, int] | None = None) -> tuple[np.ndarray, tuple[int, int]]:
    """Decode an image, upright, in RGB.

    Args:
        image: a path, a file's bytes, `{"bytes", "path"}` as `datasets` keeps them, or a PIL image.
        at_least: (height, width). A JPEG file of 2, 4 or 8 times that or more is decoded at 1/2, 1/4 or 1/8 of its
            size, which is several times faster. None decodes all of it.

    Returns:
        pixels (h, w, 3) uint8, and the (height, width) of the whole image.

    Raises:
        OSError, ValueError: the file is missing, cut off or no image.
        TypeError: `image` is none of the above.
    """
    if isinstance(image, dict):
        image = image["bytes"] if image.get("bytes") is not None else image["path"]
    if isinstance(image, (bytes, str, os.PathLike)):
        image = Image.open(io.BytesIO(image) if isinstance(image, bytes) else image)
        if image.format == "JPEG":
            return _decode_jpeg(image, at_least)
    picture = load_image(image)
    return np.asarray(picture), (picture.height, picture.width)


def _decode_jpeg(picture: Image.Image, at_least: tuple[int, int] | None) -> tuple[np.ndarray, tuple[int, int]]:
    orientation = picture.getexif().get(_EXIF_ORIENTATION, 1)
    height, width = picture.size if orientation >= 5 else picture.size[::-1]  # 5 to 8 lie on their side
    if at_least is not None:
        shrink = max((n for n in (2, 4, 8) if height >= n * at_least[0] and width >= n * at_least[1]), default=1)
        if shrink > 1:
            picture.draft(None, (picture.width // shrink, picture.height // shrink))
    if orientation != 1 or picture.mode != "RGB":
        picture = load_image(picture)
    return np.asarray(picture), (height, width)
