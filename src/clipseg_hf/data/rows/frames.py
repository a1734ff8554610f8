"""Annotations of images that their EXIF turns: made on the image as it is stored, they are turned with it."""

from typing import NamedTuple

import numpy as np

from clipseg_hf.processing.masks.rle import decode_rle, encode_rle


class Frame(NamedTuple):
    """How an image is stored and shown.

    Attributes:
        size: (height, width) as it is shown.
        orientation: EXIF's number, from 1 to 8; 1 is as it is stored, from 5 on height and width change places.
    """

    size: tuple[int, int]
    orientation: int = 1

    @property
    def stored(self) -> tuple[int, int]:
        """(height, width) as it is stored."""
        return self.size[::-1] if self.orientation >= 5 else self.size

    @property
    def is_unclear(self) -> bool:
        """Whether an annotation of its size may have been made on the image as it is stored just as well."""
        return self.orientation != 1 and self.stored == self.size


def turn(array: np.ndarray, orientation: int) -> np.ndarray:
    """An array (height, width, ...) as an image of that EXIF orientation is turned; a view."""
    return {
        1: lambda: array,
        2: lambda: array[:, ::-1],
        3: lambda: array[::-1, ::-1],
        4: lambda: array[::-1],
        5: lambda: array.swapaxes(0, 1),
        6: lambda: np.rot90(array, -1),
        7: lambda: array[::-1, ::-1].swapaxes(0, 1),
        8: lambda: np.rot90(array),
    }[orientation]()


def turn_phrase(entry: dict, orientation: int) -> dict:
    """An entry of a row's `phrases` that was made on the image as it is stored, for the image as it is shown."""
    if orientation == 1:
        return entry
    height, width = entry["mask"]["size"]
    boxes = [_turn_box(box, orientation, height, width) for box in entry["boxes"]]
    runs = {name: entry[name] for name in ("mask", "ignore") if entry.get(name) is not None}
    turned = {name: encode_rle(turn(decode_rle(coded), orientation)) for name, coded in runs.items()}
    return {**entry, "boxes": boxes, **turned}


def _turn_box(box: list[float], orientation: int, height: int, width: int) -> list[float]:
    left, top, across, down = box
    if orientation in (2, 3, 7, 8):
        left = width - left - across
    if orientation in (3, 4, 6, 7):
        top = height - top - down
    return [top, left, down, across] if orientation >= 5 else [left, top, across, down]
