"""YOLO's segmentation labels out."""

from pathlib import Path

import yaml

from clipseg_hf.labels.labelled import LabelledImage, LabelWriter
from clipseg_hf.processing.masks.outlines import mask_to_polygons

_HEAD = "# Ultralytics wants a `val:` besides: set some images aside for it.\n"


class YoloWriter(LabelWriter):
    """`data.yaml`, `images/` and `labels/`: a line with the number of the class and a polygon for each thing."""

    name = "yolo"
    allowed = ("polygons",)

    def add(self, image: LabelledImage, file: str) -> None:
        height, width = image.size
        lines = []
        for thing in image.objects:
            for polygon in mask_to_polygons(thing.mask):
                shares = [value / (height if place % 2 else width) for place, value in enumerate(polygon)]
                lines.append(" ".join([str(self.number(thing.label)), *(f"{share:.8g}" for share in shares)]) + "\n")
        labels = self.folder / "labels"
        labels.mkdir(exist_ok=True)
        (labels / Path(file).with_suffix(".txt")).write_text("".join(lines), encoding="utf-8")

    def close(self) -> None:
        settings = {"path": ".", "train": "images", "names": {number: label for label, number in self.numbers.items()}}
        text = _HEAD + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
        (self.folder / "data.yaml").write_text(text, encoding="utf-8")
