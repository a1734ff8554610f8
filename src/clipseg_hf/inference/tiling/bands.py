"""Pictures that are read a band of rows at a time: those in memory, and windows of TIFF files on disk."""

import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from clipseg_hf.processing.images import ImageLike, explaining, load_image, open_image

OVERVIEW_PIXELS = 1 << 23  # of the shrunk picture; several times what any model takes, at 24 MB
_BAND_PIXELS = 1 << 24  # read at once to shrink a file
_TIFF_SUFFIXES = (".tif", ".tiff")
_ORIENTATION = 0x0112


class Bands:
    """A picture of h x w pixels, RGB and upright, in memory.

    Attributes:
        image: the picture.
    """

    def __init__(self, image: Image.Image):
        self.image = image

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.image.height, self.image.width

    def read(self, top: int, bottom: int) -> Image.Image:
        """The rows from `top` to before `bottom`."""
        return self.image.crop((0, top, self.image.width, bottom))

    @cached_property
    def overview(self) -> Image.Image:
        """The whole picture, shrunk by the mean of blocks where it has more than `OVERVIEW_PIXELS`."""
        factor = self._factor
        return self.image if factor == 1 else self.image.reduce(factor)

    @property
    def _factor(self) -> int:
        return max(1, math.isqrt(self.size[0] * self.size[1] // OVERVIEW_PIXELS))


class FileBands(Bands):
    """Windows of a TIFF file by rasterio (GDAL): strips and tiles are decoded as they are asked for.

    Attributes:
        image: the file, which Pillow reads when its pixels are first asked for.

    Raises:
        UnreadableImageError: the file is damaged; all of it was read once when it is told.
    """

    def __init__(self, path: str | os.PathLike, image: Image.Image, name: str):
        super().__init__(image)
        self.path, self.name = Path(path), name
        _ = self.overview  # reads every row, so that a broken file is told before it is asked

    def read(self, top: int, bottom: int) -> Image.Image:
        """The rows from `top` to before `bottom`."""
        with _opened(self.path, self.name) as file:
            pixels = file.read(window=((top, bottom), (0, self.image.width)))
        return load_image(np.moveaxis(pixels, 0, -1), self.name, "channels_last")

    @cached_property
    def overview(self) -> Image.Image:
        """As that of a picture in memory, shrunk band by band."""
        (height, width), factor = self.size, self._factor
        rows = factor * max(1, _BAND_PIXELS // (width * factor))
        whole = Image.new("RGB", (-(-width // factor), -(-height // factor)))
        for top in range(0, height, rows):
            band = self.read(top, min(height, top + rows))
            whole.paste(band.reduce(factor), (0, top // factor))
        return whole


def open_bands(image: ImageLike, name: str = "image") -> Bands:
    """A picture to read bands of: windows of a file where it is a TIFF of grey or RGB bytes in strips or tiles, stands
    upright, and rasterio is installed; else the whole, in memory. It takes and raises what `load_image` does."""
    if isinstance(image, Bands):
        return image
    if isinstance(image, (str, os.PathLike)) and str(image).lower().endswith(_TIFF_SUFFIXES) and find_spec("rasterio"):
        opened, called = open_image(image, name)
        if _reads_windows(opened, image, called):
            return FileBands(image, opened, called)
    return Bands(load_image(image, name))


def _reads_windows(image: Image.Image, path: str | os.PathLike, name: str) -> bool:
    is_usual = image.format == "TIFF" and image.mode in ("L", "RGB") and getattr(image, "n_frames", 1) == 1
    if not is_usual or image.getexif().get(_ORIENTATION, 1) != 1:
        return False
    with _opened(path, name) as file:
        is_plain = set(file.dtypes) == {"uint8"} and file.count == len(image.getbands())
        return is_plain and all(rows * columns <= OVERVIEW_PIXELS for rows, columns in file.block_shapes)


@contextmanager
def _opened(path: str | os.PathLike, name: str) -> Iterator[Any]:
    import rasterio

    with explaining(name), warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # a scan lies nowhere on earth
        with rasterio.open(path, driver="GTiff") as file:
            yield file
