"""PhraseCut's rule for turning polygons into a mask."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

FURTHEST_CORNER = 1 << 20
"""A corner further out than this, in pixels, is an error of the file (and drawing a line to it would take long)."""


def fill_polygons(polygons: Sequence, height: int, width: int) -> np.ndarray:
    """Draw the union of polygons.

    The corners are truncated to integers, which stand for the middle of a pixel. A pixel belongs to a polygon when its
    middle is inside by the even-odd rule, or when it is on the outline, a line of one pixel. What falls outside of the
    image is cut off. This is the rule of `polygons_to_mask` in the PhraseCut authors' `utils/data_transfer.py`, which
    leaves it to Pillow's `polygon(fill=1, outline=1)`. Pillow itself is not used for the inside, because what it draws
    there depends on its version: today's leaves out an outline of the fill's colour, and overshoots at flat corners.

    Args:
        polygons: Of each the corners, (N, 2) numbers x, y in pixels; at least two, none further out than
            `FURTHEST_CORNER`. The last is joined to the first.
        height, width: The image's size in pixels.

    Returns:
        (height, width) array of bool.
    """
    mask = np.zeros((height, width), dtype=bool)
    part, left, top = _draw(polygons, height, width)
    mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    return mask


def encode_polygons(polygons: Sequence, height: int, width: int) -> dict | None:
    """The run lengths of `fill_polygons`, found without making the mask of the whole image.

    Returns:
        `{"size": [height, width], "counts": str}`; None where nothing of the polygons is in the image.
    """
    from pycocotools import mask as coco

    part, left, top = _draw(polygons, height, width)
    framed = np.zeros((part.shape[1], part.shape[0] + 2), dtype=bool)  # column by column, each between two blanks
    framed[:, 1:-1] = part.T
    changes = np.flatnonzero(framed.reshape(-1)[1:] != framed.reshape(-1)[:-1])  # by turns where a run starts and ends
    if not len(changes):
        return None
    columns, rows = np.divmod(changes, framed.shape[1])
    ends = (columns + left) * height + rows + top  # counted down the columns of the image
    goes_on = np.flatnonzero(ends[1:] == ends[:-1])  # where a column is full to its foot, and the next from its head
    ends = np.delete(ends, np.append(goes_on, goes_on + 1))
    counts = np.diff(ends, prepend=0, append=height * width)
    runs = {"size": [height, width], "counts": counts[: len(counts) - (counts[-1] == 0)].tolist()}
    return {"size": [height, width], "counts": coco.frPyObjects(runs, height, width)["counts"].decode("ascii")}


def _draw(polygons: Sequence, height: int, width: int) -> tuple[np.ndarray, int, int]:
    """The mask of that part of the image where the polygons are, and the x and y where this part begins."""
    polygons = [np.asarray(polygon, dtype=np.float64).astype(np.int64) for polygon in polygons]  # towards zero
    if not polygons:
        return np.zeros((0, 0), dtype=bool), 0, 0
    left, top = np.maximum(np.min([polygon.min(axis=0) for polygon in polygons], axis=0), 0).tolist()
    right, bottom = np.max([polygon.max(axis=0) for polygon in polygons], axis=0).tolist()
    right, bottom = min(right + 1, width), min(bottom + 1, height)
    if left >= right or top >= bottom:
        return np.zeros((0, 0), dtype=bool), 0, 0
    polygons = [polygon - (left, top) for polygon in polygons]
    canvas = Image.new("L", (right - left, bottom - top))
    outline = ImageDraw.Draw(canvas)
    for polygon in polygons:
        corners = polygon.ravel().tolist()
        outline.polygon(corners, outline=1)
        outline.point(corners, fill=1)  # a line from a pixel to itself draws nothing
    mask = np.array(canvas).view(bool)
    for polygon in polygons:
        _fill_inside(mask, polygon)
    return mask, left, top


def _fill_inside(mask: np.ndarray, corners: np.ndarray) -> None:
    """Set the pixels of mask (height, width) whose middle is inside of the polygon, corners (N, 2) integers as x, y.

    Each edge crosses a row once, or not at all; from its crossing to the right, inside and outside change places.
    """
    height, width = mask.shape
    x1, y1 = corners.T
    x2, y2 = np.append(corners[1:], corners[:1], axis=0).T
    is_up = y1 > y2
    x1, y1, x2, y2 = np.where(is_up, (x2, y2, x1, y1), (x1, y1, x2, y2))
    first = np.maximum(y1, 0)  # an edge crosses the rows first ... y2 - 1; a corner belongs to the edge below it
    rows = np.maximum(np.minimum(y2, height) - first, 0)

    edge = np.repeat(np.arange(len(corners)), rows)
    y = np.arange(len(edge)) - np.repeat(np.cumsum(rows) - rows, rows) + first[edge]
    x = x1[edge] - (x1[edge] - x2[edge]) * (y - y1[edge]) // (y2 - y1)[edge]  # the crossing, rounded up
    x = np.clip(x, 0, width)

    crossings = np.bincount(y * (width + 1) + x, minlength=height * (width + 1)).astype(np.uint8)
    inside = np.cumsum(crossings.reshape(height, width + 1)[:, :-1], axis=1, dtype=np.uint8) & 1
    mask |= inside.view(bool)
