"""Masks -> boxes, polygons, separate objects: the forms that annotation tools take. (RLE: `encode_rle`.)"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage

from clipseg_hf.processing.pixel_arrays import numbers_of

_STEPS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])  # right, down, left, up; (x, y)


def mask_to_box(mask: Any) -> list[int] | None:
    """(h, w) bool -> COCO's [x, y, width, height] in pixels, or None where the mask is empty."""
    mask = _as_bool(mask)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top]


def mask_runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """(h, w) bool -> (value, length) of each run of equal pixels, row by row."""
    flat = mask.ravel()
    starts = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]]) if flat.size else np.array([], dtype=np.int64)
    return list(zip(flat[starts].astype(int).tolist(), np.diff(starts, append=flat.size).tolist(), strict=True))


def label_objects(mask: Any) -> tuple[np.ndarray, int]:
    """Number the connected parts of a mask (pixels touch by their sides).

    Args:
        mask: (h, w) bool, array or tensor.

    Returns:
        (h, w) int64, 0 for background and 1 ... n for the parts in reading order; and n.
    """
    labels, count = ndimage.label(_as_bool(mask))
    return labels.astype(np.int64), count


def split_objects(mask: Any, min_area: int = 1) -> list[np.ndarray]:
    """The connected parts of a mask as masks of their own, the largest first.

    Args:
        mask: (h, w) bool, array or tensor.
        min_area: smaller parts are left out; in pixels.

    Returns:
        (h, w) bool arrays.
    """
    labels, count = label_objects(mask)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return [labels == part + 1 for part in np.argsort(-areas, kind="stable") if areas[part] >= min_area]


def mask_to_polygons(mask: Any) -> list[list[int]]:
    """The exact outlines of a mask, along the edges of its pixels, as COCO's polygons.

    Args:
        mask: (h, w) bool, array or tensor.

    Returns:
        one [x1, y1, x2, y2, ...] for each connected part (pixels touch by their sides). COCO's polygons know no holes:
        a hole is joined to its outline by a slit of no width, so that area and inside stay exact. [] where the mask is
        empty.
    """
    polygons = []
    for outline, *holes in _parts(_as_bool(mask), lambda ring: [ring]):
        for hole in holes:
            outline = _join(outline, hole)
        polygons.append(outline.ravel().tolist())
    return polygons


def mask_to_rings(mask: Any) -> list[list[np.ndarray]]:
    """The exact outlines of a mask, along the edges of its pixels, with holes of their own, as GeoJSON has polygons.

    Args:
        mask: (h, w) bool, array or tensor.

    Returns:
        for each connected part (pixels touch by their sides) its outline, clockwise on the screen, then its holes, the
        other way round: (n, 2) corners as (x, y), the first not repeated. No ring touches itself.
    """
    return _parts(_as_bool(mask), _untangled)


def _parts(mask: np.ndarray, split: Callable[[np.ndarray], list[np.ndarray]]) -> list[list[np.ndarray]]:
    """The outline and the holes of each connected part; `split` makes simpler rings of one that touches itself."""
    labels, count = label_objects(mask)
    outlines: list[np.ndarray] = [np.empty((0, 2), dtype=np.int64)] * count
    holes: list[list[np.ndarray]] = [[] for _ in range(count)]
    for traced in _trace(mask):
        part = _part_beside(traced, labels)
        for ring in split(traced):
            if _area(ring) > 0:  # clockwise on the screen; around holes it is the other way
                outlines[part] = ring
            else:
                holes[part].append(ring)
    return [[outline, *inner] for outline, inner in zip(outlines, holes, strict=True)]


def _untangled(ring: np.ndarray) -> list[np.ndarray]:
    """A ring cut in two wherever it comes by a corner again: a part that bites its own tail encloses a hole."""
    rings: list[np.ndarray] = []
    way: list[tuple[int, int]] = []
    for corner in map(tuple, ring.tolist()):
        if corner in way:
            start = way.index(corner)
            rings.append(np.array(way[start:]))
            del way[start:]
        way.append(corner)
    return [*rings, np.array(way)]


def _as_bool(mask: Any) -> np.ndarray:
    mask = numbers_of(mask)
    if mask.ndim != 2:
        raise ValueError(f"Expected one mask of shape (height, width), got shape {mask.shape}.")
    if mask.dtype != bool and ((mask != 0) & (mask != 1)).any():
        raise ValueError(f"Expected a mask of 0 and 1, got values up to {mask.max():g}: threshold it first (mask > t).")
    return mask.astype(bool)


def _trace(mask: np.ndarray) -> list[np.ndarray]:
    """Closed rings of corners (n, 2) as (x, y) around all boundaries, the object on the right hand."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])  # up, right, down, left
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])  # where the edge towards each neighbour starts
    edges: dict[tuple[int, int], list[int]] = {}
    for direction, neighbour in enumerate(neighbours):
        rows, columns = np.nonzero(inside & ~neighbour)
        for x, y in zip(
            (columns + corners[direction][0]).tolist(), (rows + corners[direction][1]).tolist(), strict=True
        ):
            edges.setdefault((x, y), []).append(direction)
    steps = _STEPS.tolist()
    rings = []
    while edges:
        x, y = next(iter(edges))
        direction, start = edges[(x, y)][0], (x, y)
        ring: list[tuple[int, int]] = []
        came, first = None, direction
        while True:
            leaving = edges.get((x, y))
            if leaving is None:  # back at the start, every edge is used
                break
            if came is not None:
                # where two parts touch by a corner, turn right: it stays with its own part
                direction = (came + 1) % 4 if (came + 1) % 4 in leaving else leaving[0]
            leaving.remove(direction)
            if not leaving:
                del edges[(x, y)]
            if direction != came:
                ring.append((x, y))
            x, y = x + steps[direction][0], y + steps[direction][1]
            came = direction
            if (x, y) == start and ((came + 1) % 4 not in edges.get(start, ())):
                break
        rings.append(np.array(ring[1:] if came == first else ring))  # the start may lie within an edge
    return rings


def _area(ring: np.ndarray) -> float:
    """Shoelace formula; positive for rings that run clockwise on the screen (y down)."""
    x, y = ring[:, 0], ring[:, 1]
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def _part_beside(ring: np.ndarray, labels: np.ndarray) -> int:
    """The part, counted from 0, whose pixel lies to the right of the ring's first edge."""
    (x, y), (step_x, step_y) = ring[0], np.sign(ring[1] - ring[0])
    column, row = x + min(step_x - step_y, 0), y + min(step_x + step_y, 0)
    return int(labels[row, column]) - 1


def _join(outline: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """One ring of an outline and a hole, by a slit there and back along the pixels' edges."""
    distances = np.abs(outline[:, None] - hole[None]).sum(axis=2)
    i, j = np.unravel_index(distances.argmin(), distances.shape)
    corner = np.array([[outline[i, 0], hole[j, 1]]])
    return np.concatenate((outline[: i + 1], corner, hole[j:], hole[: j + 1], corner, outline[i:]))
