"""A row's image as pixels, decoded no larger than it will be used."""

import io
import os

import numpy as np
from PIL import Image, ImageOps

_EXIF_ORIENTATION = 0x0112


def undecoded(rows):
    """The same rows with images left as bytes or paths, where they are a `datasets.Dataset`: decoding is then ours."""
    if not hasattr(rows, "cast_column"):
        return rows
    import datasets

    rows = rows.with_format(None)
    images = [name for name, feature in rows.features.items() if isinstance(feature, datasets.Image)]
    for name in images:
        rows = rows.cast_column(name, datasets.Image(decode=False))
    return rows


def decode_image(image, at_least: tuple[int, int] | None = None) -> tuple[np.ndarray, tuple[int, int]]:
    """Decode an image, upright, in RGB.

    Args:
        image: a PIL image, a path, the file's bytes, or `{"bytes", "path"}` as `datasets` keeps it.
        at_least: (height, width). A JPEG of 2, 4 or 8 times that or more is decoded at 1/2, 1/4 or 1/8 of its size,
            which is several times faster. None decodes all of it.

    Returns:
        pixels (h, w, 3) uint8, and the (height, width) of the whole image.

    Raises:
        OSError: the file is missing, cut off or no image.
        TypeError: `image` is none of the above.
    """
    picture = _open(image)
    orientation = picture.getexif().get(_EXIF_ORIENTATION, 1)
    sideways = orientation >= 5
    height, width = picture.size if sideways else picture.size[::-1]
    if at_least is not None and picture.format == "JPEG":
        shrink = max((n for n in (2, 4, 8) if height >= n * at_least[0] and width >= n * at_least[1]), default=1)
        if shrink > 1:
            picture.draft(None, (picture.width // shrink, picture.height // shrink))
    if orientation != 1:
        picture = ImageOps.exif_transpose(picture)
    return np.asarray(_rgb(picture)), (height, width)


def _open(image) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, dict):
        image = image["bytes"] if image.get("bytes") is not None else image["path"]
    if isinstance(image, bytes):
        return Image.open(io.BytesIO(image))
    if isinstance(image, (str, os.PathLike)):
        return Image.open(image)
    raise TypeError(f"An image is a PIL image, a path or a file's bytes; got {type(image).__name__}.")


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB":
        return picture
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    if picture.mode.startswith(("I", "F")):  # 16 bits and more: to the range of 8
        pixels = np.asarray(picture, dtype=np.float32)
        scale = 255 / 65535 if pixels.max(initial=0) > 255 else 1
        return Image.fromarray(np.clip(pixels * scale, 0, 255).astype(np.uint8)).convert("RGB")
    return picture.convert("RGB")
