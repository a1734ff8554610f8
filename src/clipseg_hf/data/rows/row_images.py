"""A row's image as pixels, decoded no larger than it will be used; and what tells that it has changed."""

import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from clipseg_hf.data.rows.fingerprints import digest, digest_bytes
from clipseg_hf.data.rows.rows import only_columns
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


def fingerprint_images(rows) -> np.ndarray:
    """For each row 64 bits that change with its picture, (rows,) uint64.

    Bytes and pictures in memory are told by their content. Files are told by path, size and time of change, as `make`
    does: reading PhraseCut's 8 GB takes minutes, asking for their times a second. So a file that was only touched
    counts as changed, and one that was replaced by another of the same size and time does not.
    """
    rows = undecoded(only_columns(rows, "image"))
    return np.array([int(_fingerprint(rows[n]["image"]), 16) for n in range(len(rows))], dtype=np.uint64)


def _fingerprint(image: ImageLike) -> str:
    if isinstance(image, dict):
        image = image["path"] if image.get("bytes") is None else image["bytes"]
    if isinstance(image, bytes):
        return digest_bytes(image)
    if isinstance(image, (str, os.PathLike)):
        with suppress(OSError):
            stat = Path(image).stat()
            return digest(str(image), str(stat.st_size), str(stat.st_mtime_ns))
        return digest(str(image))  # a URL; or a file that is not there
    with suppress(OSError, ValueError, TypeError):
        pixels, size = decode_image(image)
        return digest_bytes(pixels.tobytes(), str(size))
    return digest("unreadable")
