"""What one task of PhraseCut says, as an entry of a row's phrases."""

import math
from typing import Any

from clipseg_hf.data.flaws import BuildSummary
from clipseg_hf.data.masks import FURTHEST_CORNER, Polygon, fill_polygons
from clipseg_hf.data.rows import make_phrase
from clipseg_hf.processing.rle import encode_rle


def make_task_phrase(task: dict[str, Any], height: int, width: int, summary: BuildSummary) -> dict[str, Any] | None:
    """Make one entry of a row's `phrases` of one of PhraseCut's tasks, or note why there is none.

    Args:
        task: As in `refer_<split>.json`.
        height, width: The image's size in pixels.
    """
    where = f"task {task['task_id']}"
    try:
        phrase = " ".join(task["phrase"].split())
        structure = task.get("phrase_structure") or {}
        relations = [{"predicate": str(p), "object": str(o)} for p, o in structure.get("relation_descriptions", [])]
        boxes = [[float(x), float(y), float(w), float(h)] for x, y, w, h in task["instance_boxes"]]
        polygons = [[(float(x), float(y)) for x, y in polygon] for instance in task["Polygons"] for polygon in instance]
        attributes = [str(attribute) for attribute in structure.get("attributes", [])]
        name = str(structure.get("name") or phrase)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        summary.note("malformed_entry", f"{where} ({type(error).__name__}: {error})")
        return None
    if not phrase:
        summary.note("empty_phrase", where)
        return None
    drawable = [polygon for polygon in polygons if _is_drawable(polygon, height, width, where, summary)]
    mask = fill_polygons(drawable, height, width)
    if not mask.any():
        summary.note("empty_mask", where)
        return None
    return make_phrase(
        phrase,
        encode_rle(mask),
        phrase_id=str(task["task_id"]),
        name=name,
        attributes=attributes,
        relations=relations,
        boxes=boxes,
    )


def _is_drawable(polygon: Polygon, height: int, width: int, where: str, summary: BuildSummary) -> bool:
    if len(polygon) < 3:
        summary.note("short_polygon", where)
        return False
    if not all(math.isfinite(value) and abs(value) < FURTHEST_CORNER for corner in polygon for value in corner):
        summary.note("wild_polygon", where)
        return False
    xs, ys = zip(*polygon, strict=True)
    if max(xs) <= -1 or max(ys) <= -1 or min(xs) >= width or min(ys) >= height:
        summary.note("outside_polygon", where)
        return False
    return True
