"""A row's image as pixels, decoded no larger than it will be used."""

import numpy as np

from clipseg_hf.processing.images import ImageLike, read_image


def undecoded(rows):
    """The same rows with images left as bytes or paths, where they are a `datasets.Dataset`: decoding is then ours."""
    if not hasattr(rows, "cast_column"):
        return rows
    import datasets

    rows = rows.with_format(None)
    for name in [name for name, feature in rows.features.items() if isinstance(feature, datasets.Image)]:
        rows = rows.cast_column(name, datasets.Image(decode=False))
    return rows


def decode_image(image: ImageLike, at_least: tuple[int, int] | None = None) -> tuple[np.ndarray, tuple[int, int]]:
    """The pixels of an image, (h, w, 3) uint8, and the (height, width) of the whole image: `read_image` as arrays."""
    picture, size = read_image(image, at_least=at_least)
    return np.asarray(picture), size
