"""Which rows show the same picture, told by the bytes of its file.

Data sets with a row for each mask hold a picture in several rows, under other ids and often under other names. Nearly
all pictures differ in how many bytes they have and in the last of them, so that only the few that agree in both are
read as a whole.
"""

import os
from collections.abc import Iterator

import numpy as np
from PIL import Image

from clipseg_hf.data.rows.fingerprints import digest_bytes, digest_file
from clipseg_hf.data.rows.row_images import undecoded

_TAIL = 4096  # bytes; a JPEG's last pixels, the checksum of a PNG's


def number_pictures(rows, column: str = "image") -> np.ndarray:
    """Number the pictures of rows.

    Args:
        rows: see `rows.py`; a list of dictionaries will do. A picture that is missing is like no other.
        column: where the pictures are.

    Returns:
        (rows,) int64: of each row the first one that shows the same picture, itself where none did before.
    """
    rows = undecoded(rows)
    alike: dict = {}  # how a picture looks at a glance -> rows
    for row, glance in enumerate(_glances(rows, column)):
        alike.setdefault(("missing", row) if glance is None else glance, []).append(row)
    numbers = np.arange(len(rows))
    for group in alike.values():
        first: dict = {}
        for row in group if len(group) > 1 else ():
            numbers[row] = first.setdefault(_content(rows[row][column]), row)
    return numbers


def _glances(rows, column: str) -> Iterator:
    """Of each row's picture what is known without reading all of it; None where there is none."""
    if not hasattr(rows, "select_columns"):
        for number in range(len(rows)):
            yield _glance(rows[number].get(column))
        return
    for table in rows.select_columns([column]).with_format("arrow").iter(batch_size=100):
        for picture in table[column]:
            stored = picture["bytes"] if picture.is_valid and hasattr(picture, "keys") else None  # a struct
            if stored is not None and stored.is_valid:
                buffer = stored.as_buffer()  # not copied
                yield len(buffer), digest_bytes(buffer[max(0, len(buffer) - _TAIL) :])
            else:
                yield _glance(picture.as_py())


def _glance(image):
    if isinstance(image, dict):
        image = image.get("path") if image.get("bytes") is None else image["bytes"]
    if isinstance(image, bytes):
        return len(image), digest_bytes(image[-_TAIL:])
    if isinstance(image, (str, os.PathLike)) and os.path.isfile(image):
        with open(image, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            return size, digest_bytes(file.read())
    return _content(image)


def _content(image):
    """What is the same where the pictures are."""
    if isinstance(image, dict):
        image = image.get("path") if image.get("bytes") is None else image["bytes"]
    if isinstance(image, (str, os.PathLike)):
        return digest_file(image) if os.path.isfile(image) else ("elsewhere", str(image))
    if isinstance(image, Image.Image):
        try:
            return image.size, image.mode, digest_bytes(image.tobytes())
        except OSError:  # broken, which whoever needs it will say
            return id(image)
    if image is None or isinstance(image, bytes):
        return image and digest_bytes(image)
    pixels = np.asarray(image)
    return pixels.shape, str(pixels.dtype), digest_bytes(pixels.tobytes())
