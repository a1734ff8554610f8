"""Lays out a folder of labels, with the images in it."""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from PIL import Image

from clipseg_hf._output_files import new_folder
from clipseg_hf.labels.coco import CocoWriter
from clipseg_hf.labels.cvat import CvatWriter
from clipseg_hf.labels.geojson import GeoJsonWriter
from clipseg_hf.labels.index_masks import IndexMaskWriter
from clipseg_hf.labels.label_studio import LabelStudioWriter
from clipseg_hf.labels.labelled import LabelledImage, LabelWriter, Outlines
from clipseg_hf.labels.labelme import LabelMeWriter
from clipseg_hf.labels.yolo import YoloWriter
from clipseg_hf.processing.images import load_image

WRITERS: dict[str, type[LabelWriter]] = {
    writer.name: writer
    for writer in (
        CocoWriter,
        YoloWriter,
        LabelMeWriter,
        LabelStudioWriter,
        CvatWriter,
        IndexMaskWriter,
        GeoJsonWriter,
    )
}
LABEL_FORMATS = tuple(WRITERS)
"""What `write_labels` writes."""


def write_labels(
    images: Iterable[LabelledImage],
    folder: str | os.PathLike,
    format: str = "coco",
    *,
    labels: Sequence[str] = (),
    outlines: Outlines | None = None,
    model: str | None = None,
    license: str | None = None,
    overwrite: bool = False,
) -> int:
    """Write images with their masks as a data set that the tools of a format read, and `load_segmentation_dataset`.

    Args:
        images: taken one after the other.
        folder: made if need be. The images are copied into it; two of one name are told apart by a number.
        format: one of `LABEL_FORMATS`. "coco", "yolo", "labelme"; "label_studio": predictions to import, with the
            configuration of their project; "cvat": its XML; "index_masks": one picture of numbers for each image, with
            a palette, in which the surer of two masks covers the other (of equal ones the smaller); "geojson": polygons
            in longitude and latitude, of pictures that are georeferenced.
        labels: names of classes in the order of their numbers; others are numbered as they come.
        outlines: "polygons", exact outlines along the pixels' edges, or "rle", run lengths (brush strokes in Label
            Studio, masks in CVAT and LabelMe); None for what the format's tools prefer.
        model: what found the masks.
        license: of the images.
        overwrite: write over what is there.

    Returns:
        How many images were written. Whatever fails in between, an image that cannot be read, say, leaves nothing in a
        new folder.

    Raises:
        FileExistsError: the folder is not empty, or a file.
        ValueError: no such format, or it has no such outlines; a mask is of another size than its image; an image is
            not georeferenced, for "geojson".
        ImportError: rasterio is missing, for "geojson".
    """
    if format not in WRITERS:
        raise ValueError(f"Labels are written as {', '.join(LABEL_FORMATS)}; got {format!r}.")
    folder = Path(folder)
    with nullcontext() if overwrite else new_folder(folder, "name a new folder, or overwrite what is in it"):
        writer = WRITERS[format](folder, labels, outlines, model, license)
        taken: set[str] = set()
        count = 0
        for image in images:
            wrong = [thing for thing in image.objects if thing.mask.shape != image.size]
            if wrong:
                found = " x ".join(map(str, wrong[0].mask.shape))
                raise ValueError(
                    f"The mask of {wrong[0].label!r} in {image.name} has {found} pixels (height x width), its image "
                    f"{image.size[0]} x {image.size[1]}."
                )
            file = _free_name(image, taken)
            _copy(image.image, folder / writer.images / file)
            writer.add(image, file)
            count += 1
        writer.close()
        return count


def _free_name(image: LabelledImage, taken: set[str]) -> str:
    """The image's name, with -2, -3, ... where its stem is taken: labels have the stem and another suffix."""
    path = Path(image.name)
    suffix = path.suffix.lower() if path.suffix and not isinstance(image.image, Image.Image) else ".png"
    stem, number = path.stem, 1
    while stem.casefold() in taken:
        number += 1
        stem = f"{path.stem}-{number}"
    taken.add(stem.casefold())
    return f"{stem}{suffix}"


def _copy(image: str | os.PathLike | Image.Image | Mapping, target: Path) -> None:
    if isinstance(image, Mapping):
        image = image.get("path") if image.get("bytes") is None else image
    if isinstance(image, Mapping):
        target.write_bytes(image["bytes"])
    elif isinstance(image, Image.Image):
        image.save(target)
    elif Path(image).is_file():
        if not target.exists() or not target.samefile(image):
            shutil.copyfile(image, target)
    else:
        load_image(image).save(target)
