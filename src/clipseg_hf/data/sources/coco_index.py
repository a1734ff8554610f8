"""Where the annotations of each image stand in a file in COCO's format, and what is wrong with their ids."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.json_stream import iterate_members
from clipseg_hf.data.rows.repeats import Repeats
from clipseg_hf.data.sources.classes import clean_name

Place = tuple[int, int]  # from which byte to which


class CocoIndex(NamedTuple):
    """The images by id, the places of the annotations by their image's id, the names of the categories by id."""

    images: dict[Any, dict[str, Any]]
    places: dict[Any, list[Place]]
    categories: dict[Any, str]


def index_annotations(path: Path, name: str, summary: BuildSummary) -> CocoIndex:
    """Walk once through the file.

    Args:
        path: Where it can be opened.
        name: How a user would look for it.

    Raises:
        ValueError: it is not valid JSON.
    """
    index = CocoIndex({}, {}, {})
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
    for image_id in index.images.keys() & reused:
        summary.note("reused_image_id", f"image {image_id}")
        del index.images[image_id]
    for image_id in index.places.keys() - index.images.keys() - reused:
        for _ in index.places[image_id]:
            summary.note("unknown_image", f"an annotation of image {image_id}")
    for image_id, entry in index.images.items():
        if image_id not in index.places:
            summary.note("no_annotation", f"{file_of(entry) or 'no file'} (image {image_id})")
    return index


def file_of(image: Mapping) -> Any:
    """What an image's entry says of its file. LVIS names none, only the address of COCO's image."""
    return image.get("file_name") or image.get("coco_url")


def _has_id(entry: Any, key: str) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get(key), (int, str))
