"""LabelMe's JSON out."""

import base64
import io
import json
from pathlib import Path

from PIL import Image

from clipseg_hf.labels.labelled import LabelledImage, LabelledObject, LabelWriter, corners
from clipseg_hf.processing.masks.outlines import mask_to_box, mask_to_polygons

_VERSION = "5.5.0"  # of the format


class LabelMeWriter(LabelWriter):
    """A `.json` beside each image: a polygon, or a mask, for each part of a thing; parts of one thing are a group."""

    name = "labelme"
    images = "."

    def add(self, image: LabelledImage, file: str) -> None:
        shapes: list[dict] = []
        for number, thing in enumerate(image.objects):
            found = _masks(thing) if self.outlines == "rle" else _polygons(thing)
            description = "" if thing.score is None else f"score {thing.score:.3f}"
            for shape in found:
                group = number if len(found) > 1 else None
                common = {"label": thing.label, "group_id": group, "description": description, "flags": {}}
                shapes.append({**common, "mask": None, **shape})
        height, width = image.size
        content = {"version": _VERSION, "flags": {}, "shapes": shapes, "imagePath": file, "imageData": None}
        content |= {"imageHeight": height, "imageWidth": width}
        text = json.dumps(content, ensure_ascii=False, indent=2)
        (self.folder / Path(file).with_suffix(".json")).write_text(text, encoding="utf-8")

    def close(self) -> None:
        """Nothing holds for all images."""


def _polygons(thing: LabelledObject) -> list[dict]:
    return [{"points": corners(polygon), "shape_type": "polygon"} for polygon in mask_to_polygons(thing.mask)]


def _masks(thing: LabelledObject) -> list[dict]:
    box = mask_to_box(thing.mask)
    if box is None:
        return []
    left, top, width, height = box
    data = io.BytesIO()
    Image.fromarray(thing.mask[top : top + height, left : left + width]).save(data, "PNG")
    points = [[left, top], [left + width - 1, top + height - 1]]
    return [{"points": points, "shape_type": "mask", "mask": base64.b64encode(data.getvalue()).decode("ascii")}]
