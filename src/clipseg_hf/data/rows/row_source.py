"""What every reader of a data set has in common, whatever its files look like."""

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import datasets
from PIL import Image, UnidentifiedImageError

from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.rows import ROW_FEATURES

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
IMAGES_PER_SHARD = 500

_ORIENTATION = 274  # the EXIF tag; from 5 on, the picture is to be turned by a quarter


class RowSource(ABC):
    """Files that rows can be read from, in shards that need nothing of one another.

    A source is made where a data set is asked for, and then sent to the processes that read it.

    Attributes:
        name: What kind of source it is, as the cache's folder says.
        features: What its rows look like.
        description: A sentence or two for the data set's info.
    """

    name: str = "rows"
    features: datasets.Features = ROW_FEATURES
    description: str = ""

    @property
    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """The names of the splits."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Hexadecimal digits that change with the files and with every option that changes the rows."""

    @abstractmethod
    def shards(self, split: str, summary: BuildSummary) -> list[Any]:
        """Divide a split into parts, each a value that can be sent to another process; note what is wrong already."""

    @abstractmethod
    def rows(self, split: str, shard: Any, summary: BuildSummary) -> Iterator[dict]:
        """Make the rows of one shard; note what is wrong."""


def measure_image(image: dict[str, str | bytes | None]) -> tuple[int, int] | None:
    """The (height, width) of an image file, upright, without decoding it; None where it cannot be opened as an image.

    Args:
        image: A path or the bytes, as `FileTree.image` gives them.
    """
    try:
        with Image.open(io.BytesIO(image["bytes"]) if image["bytes"] is not None else image["path"]) as picture:
            width, height = picture.size
            # Asking a PNG for it would decode the picture, unless it has been found already.
            exif = picture.getexif() if picture.format != "PNG" or "exif" in picture.info else {}
            return (width, height) if exif.get(_ORIENTATION, 1) >= 5 else (height, width)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError):
        return None


def check_image(
    image: dict[str, str | bytes | None], where: str, summary: BuildSummary, expected: tuple[int, int] | None = None
) -> tuple[int, int] | None:
    """The (height, width) of an image; None, and a note in the summary, where it cannot be used.

    Args:
        image: As `FileTree.image` gives it.
        where: How a user would look for it.
        expected: The size that its annotation says.
    """
    size = measure_image(image)
    if size is None:
        summary.note("unreadable_image", where)
    elif expected is not None and size != expected:
        sizes = "{1} x {0}, annotated {3} x {2}".format(*size, *expected)
        summary.note("image_size_differs", f"{where} ({sizes})")
        return None
    return size


def in_shards(images: Sequence) -> list[Sequence]:
    """Divide what is known of a split's images among shards."""
    return [images[start : start + IMAGES_PER_SHARD] for start in range(0, len(images), IMAGES_PER_SHARD)]


def is_image_name(name: str) -> bool:
    """Whether a file name ends like an image's."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def shorten(names, limit: int = 10) -> str:
    """List names for an error message, the first few of many; files at the top before those in folders."""
    names = sorted(names, key=lambda name: (str(name).count("/"), str(name)))
    if not names:
        return "nothing"
    more = f", ... ({len(names):,} in all)" if len(names) > limit else ""
    return ", ".join(map(str, names[:limit])) + more
