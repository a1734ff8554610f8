"""An image with labelled masks: what all formats are written from."""

import io
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from PIL import Image

from clipseg_hf.data.rows.row_images import undecoded
from clipseg_hf.drawing.overlay import palette
from clipseg_hf.processing.masks.outlines import split_objects
from clipseg_hf.processing.masks.rle import decode_rle

Outlines = Literal["polygons", "rle"]


@dataclass(frozen=True)
class LabelledObject:
    """One thing: what it is called, its mask (height, width) bool, and how sure that is, in [0, 1], if it is known."""

    label: str
    mask: np.ndarray
    score: float | None = None


@dataclass(frozen=True)
class LabelledImage:
    """An image and the things in it.

    Attributes:
        name: what to call it, such as "street.jpg"; folders are left away, and a picture in memory is a .png.
        image: a path or URL, a picture, or `{"path", "bytes"}` as `datasets` has it.
        size: (height, width) in pixels, as it is shown.
        objects: in any order; masks may overlap.
    """

    name: str
    image: str | os.PathLike | Image.Image | Mapping
    size: tuple[int, int]
    objects: Sequence[LabelledObject]


class LabelWriter(ABC):
    """Writes one format into a folder, image by image.

    Args:
        folder: where; made if need be.
        labels: the names of classes in the order of their numbers; others are numbered as they come.
        outlines: "polygons" along the pixels' edges, or "rle", run lengths; None for what the format's tools prefer.
        model: what found the masks, where a format says that.
        license: of the images, where a format says that.

    Attributes:
        allowed: what `outlines` may be, what is preferred first.
        images: where the images go, relative to the folder.

    Raises:
        ValueError: the format has no such outlines.
    """

    name: ClassVar[str]
    allowed: ClassVar[tuple[Outlines, ...]] = ("polygons", "rle")
    images: ClassVar[str] = "images"

    def __init__(
        self, folder: Path, labels: Sequence[str], outlines: Outlines | None, model: str | None, license: str | None
    ):
        if outlines is not None and outlines not in self.allowed:
            raise ValueError(f"{self.name} has outlines={' or '.join(map(repr, self.allowed))}, got {outlines!r}.")
        self.folder, self.outlines = folder, outlines or self.allowed[0]
        (folder / self.images).mkdir(parents=True, exist_ok=True)
        self.model, self.license = model, license
        self.numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}

    def number(self, label: str) -> int:
        """The label's number, counted from 0."""
        return self.numbers.setdefault(label, len(self.numbers))

    @abstractmethod
    def add(self, image: LabelledImage, file: str) -> None:
        """Write an image, whose file has this name in the folder of images."""

    @abstractmethod
    def close(self) -> None:
        """Write what holds for all images."""


def labelled_rows(rows, objects: bool = True) -> Iterator[LabelledImage]:
    """The images of a data set's rows.

    Args:
        rows: see `clipseg_hf.data`.
        objects: connected parts of a mask are things of their own.
    """
    for row in undecoded(rows):
        image = row["image"]
        yield LabelledImage(
            f"{row['image_id'].replace('/', '_')}{suffix_of(image)}",
            image,
            (row["height"], row["width"]),
            [
                LabelledObject(entry["phrase"], part)
                for entry in row["phrases"]
                for mask in [decode_rle(entry["mask"])]
                for part in (split_objects(mask) if objects else [mask])
            ],
        )


def hex_colors(labels: Sequence[str]) -> list[tuple[str, str]]:
    """Each label with a colour, "#rrggbb"."""
    colors = palette(len(labels))
    return [(label, "#{:02x}{:02x}{:02x}".format(*color)) for label, color in zip(labels, colors, strict=True)]


def corners(polygon: Sequence[int]) -> list[list[int]]:
    """[x1, y1, x2, y2, ...] -> [[x1, y1], [x2, y2], ...]"""
    return [list(pair) for pair in zip(polygon[::2], polygon[1::2], strict=True)]


def suffix_of(image) -> str:
    """That of the file of a row's image: of its name, or of what its bytes are."""
    if not isinstance(image, Mapping):
        return ".png"
    if path := image.get("path"):
        return Path(path).suffix
    with Image.open(io.BytesIO(image["bytes"])) as opened:
        return {"JPEG": ".jpg"}.get(opened.format or "", f".{(opened.format or 'png').lower()}")
