"""COCO's annotations: where those of each image stand in the file, and their `segmentation`, polygons or run lengths,
checked before the C code of pycocotools reads them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from clipseg_hf.data.phrasecut.polygons import FURTHEST_CORNER
from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.json_stream import Repeats, iterate_members
from clipseg_hf.data.sources.classes import clean_name
from clipseg_hf.processing.masks.rle import decode_rle, encode_rle

Place = tuple[int, int]  # from which byte to which


class CocoIndex(NamedTuple):
    """What an annotation file holds.

    Attributes:
        images: by id.
        places: of the annotations, by their image's id.
        categories: their names by id.
        crowds, others: how many annotations are of crowds, and how many are not.
    """

    images: dict[Any, dict[str, Any]]
    places: dict[Any, list[Place]]
    categories: dict[Any, str]
    crowds: int
    others: int


def index_annotations(path: Path, name: str, summary: BuildSummary) -> CocoIndex:
    """Walk once through the file.

    Args:
        path: Where it can be opened.
        name: How a user would look for it.

    Raises:
        ValueError: it is not valid JSON.
    """
    index, crowds = CocoIndex({}, {}, {}, 0, 0), 0
    reused: set = set()  # ids of different images
    with path.open("rb") as file, path.open("rb") as again:
        repeats = Repeats(again)
        for member, (entry, start, end) in iterate_members(file, path, ("images", "annotations", "categories")):
            where = f"byte {start} of {name}"
            missing = [key for key in ("id", "image_id")[: 1 + (member == "annotations")] if not _has_id(entry, key)]
            if missing:
                summary.note("malformed_entry", f"{where} (no {missing[0]})")
            elif member == "images":
                if file_of(index.images.setdefault(entry["id"], entry)) != file_of(entry):
                    reused.add(entry["id"])
            elif member == "categories":
                category = clean_name(str(entry.get("name", "")))
                known = index.categories.setdefault(entry["id"], category)
                if known != category:
                    summary.note("malformed_entry", f"category {entry['id']} ({known!r}, then {category!r})")
            elif (others := repeats.add(entry["id"], entry, (start, end))) is None:
                summary.note("duplicate_id", f"annotation {entry['id']}")
            else:
                if others:
                    summary.note("reused_id", f"annotation {entry['id']} of image {entry['image_id']}")
                index.places.setdefault(entry["image_id"], []).append((start, end))
                crowds += is_crowd(entry)
    for image_id in index.images.keys() & reused:
        summary.note("reused_image_id", f"image {image_id}")
        del index.images[image_id]
    for image_id in index.places.keys() - index.images.keys() - reused:
        for _ in index.places[image_id]:
            summary.note("unknown_image", f"an annotation of image {image_id}")
    for image_id, entry in index.images.items():
        if image_id not in index.places:
            summary.note("no_annotation", f"{file_of(entry) or 'no file'} (image {image_id})")
    return index._replace(crowds=crowds, others=sum(map(len, index.places.values())) - crowds)


def is_crowd(annotation: Mapping) -> bool:
    """Whether an annotation says that it covers many things at once."""
    return annotation.get("iscrowd") in (1, True)


def file_of(image: Mapping) -> Any:
    """What an image's entry says of its file. LVIS names none, only the address of COCO's image."""
    return image.get("file_name") or image.get("coco_url")


def _has_id(entry: Any, key: str) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get(key), (int, str))


def read_segmentation(segmentation: Any, height: int, width: int, where: str, summary: BuildSummary) -> dict | None:
    """Bring an annotation's `segmentation` into run lengths.

    Args:
        segmentation: A list of polygons [x1, y1, x2, y2, ...] (or one such without a list around it, or with corners
            as pairs [x, y]), or run lengths {"size", "counts"} with counts as a list
            or a string (as crowds have them).
        height, width: The image's size in pixels.
        where: How a user would look for the annotation.

    Returns:
        `{"size": [height, width], "counts": bytes or text}`, as pycocotools has it; None, and a note in the summary,
        where it cannot be read.
    """
    if isinstance(segmentation, dict):
        return _read_runs(segmentation, height, width, where, summary)
    if isinstance(segmentation, list) and segmentation:
        return _read_polygons(_as_polygons(segmentation), height, width, where, summary)
    summary.note(
        "malformed_entry", f"{where} (segmentation is {'empty' if segmentation == [] else str(segmentation)[:40]})"
    )
    return None


def unite_masks(masks: list[dict], height: int, width: int) -> dict:
    """The union of run lengths, with counts as text; of none of them it is empty."""
    from pycocotools import mask as coco

    nothing = coco.frPyObjects({"size": [height, width], "counts": [height * width]}, height, width)
    united = coco.merge(masks or [nothing])
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
        elif not all(abs(value) < FURTHEST_CORNER for value in polygon):  # nor is a corner that is no number
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
    if runs.get("size") != [height, width]:
        summary.note("mask_size_differs", f"{where} (run lengths of {runs.get('size')}, image [{height}, {width}])")
        return None
    try:
        mask = decode_rle(runs)  # pycocotools itself would read past the end of wrong counts
    except (ValueError, TypeError) as error:
        summary.note("malformed_entry", f"{where} ({error})")
        return None
    counts = runs["counts"]
    return {"size": [height, width], "counts": counts} if isinstance(counts, str) else encode_rle(mask)
