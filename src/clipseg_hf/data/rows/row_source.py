"""What every reader of a data set has in common, whatever its files look like."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import datasets

from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.frames import Frame
from clipseg_hf.data.rows.rows import ROW_FEATURES
from clipseg_hf.processing.images import measure_turned

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
IMAGES_PER_SHARD = 500
SPLIT_NAME = re.compile(r"\w+(\.\w+)*")
"""The names of splits that `datasets` takes, all of it: they become names of files."""


class RowSource(ABC):
    """Files that rows can be read from, in shards that need nothing of one another.

    A source is made where a data set is asked for, and then sent to the processes that read it.

    Attributes:
        name: What kind of source it is, as the cache's folder says.
        features: What its rows look like.
        description: A sentence or two for the data set's info.
        where: What a user calls its place, for errors.
    """

    name: str = "rows"
    features: datasets.Features = ROW_FEATURES
    description: str = ""
    where: str = "the data"

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


def check_image(
    image: dict[str, str | bytes | None], where: str, summary: BuildSummary, expected: tuple[int, int] | None = None
) -> Frame | None:
    """The frame of an image; None, and a note in the summary, where it cannot be used.

    Args:
        image: As `FileTree.image` gives it.
        where: How a user would look for it.
        expected: The (height, width) that its annotation says. If that is the frame's `stored` and not its `size`,
            the annotation is to be turned by the frame's `orientation`; a note says so.
    """
    try:
        frame = Frame(*measure_turned(image))
    except (OSError, ValueError):
        summary.note("unreadable_image", where)
        return None
    if expected is None or note_frame(frame, expected, where, summary):
        return frame
    sizes = "{1} x {0}, annotated {3} x {2}".format(*frame.size, *expected)
    summary.note("image_size_differs", f"{where} ({sizes})")
    return None


def note_frame(frame: Frame, annotated: tuple[int, int], where: str, summary: BuildSummary) -> bool:
    """Whether an annotation of this (height, width) fits an image; a note says whether it has to be turned with it."""
    if annotated == frame.size:
        if frame.is_unclear:
            summary.note("unclear_frame", where)
        return True
    if annotated == frame.stored:
        summary.note("stored_frame", where)
        return True
    return False


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
