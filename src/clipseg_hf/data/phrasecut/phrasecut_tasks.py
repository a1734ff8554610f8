"""What one task of PhraseCut says, as an entry of a row's phrases."""

from typing import Any

import numpy as np

from clipseg_hf.data.phrasecut.polygons import FURTHEST_CORNER, encode_polygons
from clipseg_hf.data.rows.flaws import NOT_AS_EXPECTED, BuildSummary
from clipseg_hf.data.rows.rows import make_phrase


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
        polygons = [_corners(polygon) for instance in task["Polygons"] for polygon in instance]
        attributes = [str(attribute) for attribute in structure.get("attributes", [])]
        name = str(structure.get("name") or phrase)
        told_by = None if structure.get("type") is None else str(structure["type"])
    except NOT_AS_EXPECTED as error:
        summary.note("malformed_entry", f"{where} ({type(error).__name__}: {error})")
        return None
    if not phrase:
        summary.note("empty_phrase", where)
        return None
    drawable = [polygon for polygon in polygons if _is_drawable(polygon, height, width, where, summary)]
    mask = encode_polygons(drawable, height, width)
    if mask is None:
        summary.note("empty_mask", where)
        return None
    return make_phrase(
        phrase,
        mask,
        phrase_id=str(task["task_id"]),
        name=name,
        attributes=attributes,
        relations=relations,
        boxes=boxes,
        told_by=told_by,
    )


def _corners(polygon: list) -> np.ndarray:
    corners = np.array(polygon, dtype=np.float64)
    if corners.size and (corners.ndim != 2 or corners.shape[1] != 2):
        raise ValueError("a polygon is a list of [x, y]")
    return corners


def _is_drawable(polygon: np.ndarray, height: int, width: int, where: str, summary: BuildSummary) -> bool:
    """Whether a polygon, (N, 2) numbers x, y, can be drawn; else a note says why not."""
    if len(polygon) < 3:
        summary.note("short_polygon", where)
    elif not (np.abs(polygon) < FURTHEST_CORNER).all():  # nor is a corner that is no number
        summary.note("wild_polygon", where)
    elif (polygon.max(axis=0) <= -1).any() or (polygon.min(axis=0) >= (width, height)).any():
        summary.note("outside_polygon", where)
    else:
        return True
    return False
