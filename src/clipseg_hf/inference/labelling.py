"""What the prompts found, as labels that annotation tools read."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np

from clipseg_hf._counted import counted
from clipseg_hf.inference.results import Segmentation
from clipseg_hf.labels import LabelledImage, LabelledObject, write_labels
from clipseg_hf.labels.labelled import suffix_of
from clipseg_hf.processing.masks.outlines import split_objects
from clipseg_hf.processing.masks.rle import decode_rle


def labelled(
    found: Segmentation | Mapping[str, Any], name: str, image: Any = None, *, min_presence: float | None = None
) -> LabelledImage:
    """What was found in an image, each connected part of a mask as a thing of its own.

    Args:
        found: a result; or what its `to_dict(objects=True)` says, or what a JSON file of `clipseg-hf segment` holds.
        name: what to call the image, such as "street.jpg".
        image: path or URL of the image; left out, the result's own picture.
        min_presence: things that are less present are left out, in [0, 1]; None: those that `is_present` calls absent.
    """
    if isinstance(found, Segmentation):
        image = found.image if image is None else image
        found = found.to_dict(objects=True)
    things = [
        LabelledObject(entry["prompt"], mask, score)
        for entry in found["prompts"]
        if (entry["is_present"] if min_presence is None else entry["presence"] >= min_presence)
        for mask, score in _parts(entry)
    ]
    return LabelledImage(name, image, (found["height"], found["width"]), things)


def _parts(entry: Mapping[str, Any]) -> Iterator[tuple[np.ndarray, float]]:
    """The masks and scores of the parts; where the record does not list them, all have the score of the whole."""
    if "objects" in entry:
        yield from ((decode_rle(part["rle"]), part["score"]) for part in entry["objects"])
    else:
        yield from ((mask, entry["score"]) for mask in split_objects(decode_rle(entry["rle"])))


def write_found(
    records: Iterable[Path],
    folder: Path,
    formats: Sequence[str],
    labels: Sequence[str],
    *,
    model: str | None = None,
    license: str | None = None,
    pictures: Mapping[str, Callable[[], Any]] = {},
) -> Iterator[str]:
    """Write labels of what `ResultWriter` wrote as JSON, with `objects`; a folder for each format.

    Args:
        pictures: what reads an image by its name in the JSON, where that is no path.

    Yields:
        A line for each format: what was written, and where.
    """
    records = list(records)
    for format in formats:
        images = (_labelled_file(path, pictures) for path in records)
        out = folder / format
        count = write_labels(images, out, format, labels=labels, model=model, license=license, overwrite=True)
        yield f"Labels of {counted(count, 'image')} as {format} are in {out}."


def _labelled_file(path: Path, pictures: Mapping[str, Callable[[], Any]]) -> LabelledImage:
    record = json.loads(path.read_text(encoding="utf-8"))
    image = record["image"]
    name = Path(urlparse(image).path if "://" in image else image).name
    name = "image.png" if image.startswith("data:") else name
    picture = pictures[image]() if image in pictures else image
    if isinstance(picture, Mapping) and not Path(name).suffix:  # a row of a data set
        name += suffix_of(picture)
    return labelled(record, name, picture)
