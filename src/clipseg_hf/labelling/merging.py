"""The shards of a run, put together in the formats of annotation tools."""

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clipseg_hf.inference.labelling import labelled
from clipseg_hf.labelling.pictures import Pictures
from clipseg_hf.labelling.shards import read_rows
from clipseg_hf.labels import LabelledImage, write_labels
from clipseg_hf.labels.labelled import suffix_of


def merge(
    folder: Path,
    pictures: Pictures,
    format: str,
    labels: list[str],
    *,
    min_presence: float | None = None,
    model: str | None = None,
    license: str | None = None,
) -> Path:
    """Write the labels of a complete run, in the order of its pictures, into a folder that appears as a whole.

    Args:
        folder: of the run.
        format: see `write_labels`; it is also the name of the folder, in that of the run. One that is there is
            replaced.
        labels: of the prompts, in the order of their numbers.
        min_presence, model, license: see `labelled` and `write_labels`.

    Returns:
        The folder.
    """
    target, draft, old = folder / format, folder / f".{format}.draft", folder / f".{format}.old"
    for left in (draft, old):  # by a run that was cut off
        shutil.rmtree(left, ignore_errors=True)
    images = _labelled_images(folder, pictures, min_presence)
    write_labels(images, draft, format, labels=labels, model=model, license=license)
    if target.exists():
        os.replace(target, old)
    os.replace(draft, target)
    shutil.rmtree(old, ignore_errors=True)
    return target


def _labelled_images(folder: Path, pictures: Pictures, min_presence: float | None) -> Iterator[LabelledImage]:
    for number, (name, rows) in enumerate(itertools.groupby(read_rows(folder), key=lambda row: row["image"])):
        found = list(rows)
        if found[0]["error"] is not None:
            continue
        image = pictures.image(number)
        suffix = suffix_of(image) if isinstance(image, dict) else ""  # a file's is in its name
        yield labelled(_as_found(found), name.replace("/", "_") + suffix, image, min_presence=min_presence)


def _as_found(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A picture's rows -> what `Segmentation.to_dict(objects=True)` says."""
    size = {"height": rows[0]["height"], "width": rows[0]["width"]}
    shape = list(size.values())
    prompts = [
        row
        | {
            "prompt": row["label"],
            "objects": [part | {"rle": {"size": shape, "counts": part["rle"]}} for part in row["objects"]],
        }
        for row in rows
    ]
    return size | {"prompts": prompts}
