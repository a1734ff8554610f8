"""PhraseCut's rule for turning polygons into a mask."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Polygon = Sequence[Sequence[float]]
"""The corners as [x, y] in pixels; the last is joined to the first."""

FURTHEST_CORNER = 1 << 20
"""A corner further out than this, in pixels, is an error of the file (and drawing a line to it would take long)."""


def fill_polygons(polygons: Sequence[Polygon], height: int, width: int) -> np.ndarray:
    """Draw the union of polygons.

    The corners are truncated to integers, which stand for the middle of a pixel. A pixel belongs to a polygon when its
    middle is inside by the even-odd rule, or when it is on the outline, a line of one pixel. What falls outside of the
    image is cut off. This is the rule of `polygons_to_mask` in the PhraseCut authors' `utils/data_transfer.py`, which
    leaves it to Pillow's `polygon(fill=1, outline=1)`. Pillow itself is not used for the inside, because what it draws
    there depends on its version: today's leaves out an outline of the fill's colour, and overshoots at flat corners.

    Args:
        polygons: Polygons of at least two corners, none further out than `FURTHEST_CORNER`.
        height, width: The image's size in pixels.

    Returns:
        (height, width) array of bool.
    """
    canvas = Image.new("L", (width, height))
    outline = ImageDraw.Draw(canvas)
    corners = [[(int(x), int(y)) for x, y in polygon] for polygon in polygons]
    for polygon in corners:
        outline.polygon(polygon, outline=1)
        outline.point(polygon, fill=1)  # a line from a pixel to itself draws nothing
    mask = np.array(canvas).view(bool)
    for polygon in corners:
        _fill_inside(mask, np.array(polygon))
    return mask


def _fill_inside(mask: np.ndarray, corners: np.ndarray) -> None:
    """Set the pixels of mask (height, width) whose middle is inside of the polygon, corners (N, 2) integers as x, y.

    Each edge crosses a row once, or not at all; from its crossing to the right, inside and outside change places.
    """
    height, width = mask.shape
    left, top = np.maximum(corners.min(axis=0), 0)
    right, bottom = np.minimum(corners.max(axis=0), (width, height))
    if left >= right or top >= bottom:
        return

    ends = np.concatenate((corners, np.roll(corners, -1, axis=0)), axis=1)  # (N, 4): x, y, next x, next y
    is_down = ends[:, 1] < ends[:, 3]
    x1, y1, x2, y2 = np.where(is_down[:, None], ends, ends[:, [2, 3, 0, 1]]).T
    first = np.maximum(y1, top)  # an edge crosses the rows first ... y2 - 1; a corner belongs to the edge below it
    rows = np.maximum(np.minimum(y2, bottom) - first, 0)

    edge = np.repeat(np.arange(len(corners)), rows)
    y = np.arange(len(edge)) - np.repeat(np.cumsum(rows) - rows, rows) + first[edge]
    x = x1[edge] - (x1[edge] - x2[edge]) * (y - y1[edge]) // (y2 - y1)[edge]  # the crossing, rounded up
    x = np.clip(x, left, right)

    box = (bottom - top, right - left + 1)
    crossings = np.bincount((y - top) * box[1] + x - left, minlength=box[0] * box[1]).reshape(box)
    inside = np.cumsum(crossings[:, :-1], axis=1, dtype=np.uint8) & 1
    mask[top:bottom, left:right] |= inside.view(bool)
