"""COCO's `segmentation`: polygons or run lengths, checked before the C code of pycocotools reads them."""

import math
from typing import Any

from clipseg_hf.data.phrasecut.polygons import FURTHEST_CORNER
from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.processing.masks.rle import decode_rle


def read_segmentation(segmentation: Any, height: int, width: int, where: str, summary: BuildSummary) -> dict | None:
    """Bring an annotation's `segmentation` into run lengths.

    Args:
        segmentation: A list of polygons [x1, y1, x2, y2, ...] (or one such without a list around it, or with corners
            as pairs [x, y]), or run lengths {"size", "counts"} with counts as a list
            or a string (as crowds have them).
        height, width: The image's size in pixels.
        where: How a user would look for the annotation.

    Returns:
        `{"size": [height, width], "counts": bytes}`, as pycocotools has it; None, and a note in the summary, where it
        cannot be read.
    """
    if isinstance(segmentation, dict):
        return _read_runs(segmentation, height, width, where, summary)
    if isinstance(segmentation, list) and segmentation:
        return _read_polygons(_as_polygons(segmentation), height, width, where, summary)
    summary.note("malformed_entry", f"{where} (segmentation is {'empty' if segmentation == [] else segmentation})")
    return None


def unite_masks(masks: list[dict]) -> dict | None:
    """The union of run lengths, with counts as text; None where it is empty."""
    from pycocotools import mask as coco

    united = coco.merge(masks)
    if not coco.area(united):
        return None
    return {"size": [int(value) for value in united["size"]], "counts": united["counts"].decode("ascii")}


def _read_polygons(polygons: list, height: int, width: int, where: str, summary: BuildSummary) -> dict | None:
    from pycocotools import mask as coco

    drawable = []
    malformed = [polygon for polygon in polygons if not _is_flat(polygon) or len(polygon) % 2]
    if malformed:
        found = (
            f"{len(malformed)} of {len(polygons)} is not" if len(polygons) > 1 else f"found {str(malformed[0])[:40]}"
        )
        summary.note("malformed_entry", f"{where} (a polygon is a list of numbers x1, y1, x2, y2, ...; {found})")
    for polygon in (polygon for polygon in polygons if polygon not in malformed):
        if len(polygon) < 6:
            summary.note("short_polygon", where)
        elif not all(math.isfinite(value) and abs(value) < FURTHEST_CORNER for value in polygon):
            summary.note("wild_polygon", where)
        else:
            drawable.append(polygon)
    return coco.merge(coco.frPyObjects(drawable, height, width)) if drawable else None


def _as_polygons(segmentation: list) -> list:
    """The list of polygons that is meant: a polygon may stand alone, and its corners may be pairs."""
    if _is_flat(segmentation) or _is_of_pairs(segmentation):
        segmentation = [segmentation]
    return [[value for pair in p for value in pair] if _is_of_pairs(p) else p for p in segmentation]


def _is_flat(polygon) -> bool:
    return isinstance(polygon, list) and all(isinstance(value, (int, float)) for value in polygon)


def _is_of_pairs(polygon) -> bool:
    return isinstance(polygon, list) and len(polygon) > 2 and all(_is_flat(p) and len(p) == 2 for p in polygon)


def _read_runs(runs: dict, height: int, width: int, where: str, summary: BuildSummary) -> dict | None:
    from pycocotools import mask as coco

    if runs.get("size") != [height, width]:
        summary.note("mask_size_differs", f"{where} (run lengths of {runs.get('size')}, image [{height}, {width}])")
        return None
    try:
        decode_rle(runs)  # pycocotools itself would read past the end of wrong counts
    except (ValueError, TypeError) as error:
        summary.note("malformed_entry", f"{where} ({error})")
        return None
    counts = runs["counts"]
    if isinstance(counts, list):
        return coco.frPyObjects(runs, height, width)
    return {"size": [height, width], "counts": counts.encode("ascii") if isinstance(counts, str) else counts}
