"""COCO's annotations out."""

import datetime
import json
from pathlib import Path

from clipseg_hf._output_files import write_whole
from clipseg_hf._version import __version__
from clipseg_hf.labels.labelled import LabelledImage, LabelWriter
from clipseg_hf.labels.spooled_list import SpooledList
from clipseg_hf.processing.masks.outlines import mask_to_box, mask_to_polygons
from clipseg_hf.processing.masks.rle import encode_rle


class CocoWriter(LabelWriter):
    """`annotations/instances_default.json` with an entry for each thing, and `images/`."""

    name = "coco"

    def __init__(self, *args):
        super().__init__(*args)
        self._images, self._annotations = SpooledList(self.folder), SpooledList(self.folder)

    def add(self, image: LabelledImage, file: str) -> None:
        image_id = len(self._images) + 1
        height, width = image.size
        self._images.append({"id": image_id, "file_name": file, "height": height, "width": width, "license": 1})
        for thing in image.objects:
            box = mask_to_box(thing.mask)
            if box is None:
                continue
            runs = self.outlines == "rle"
            entry = {
                "id": len(self._annotations) + 1,
                "image_id": image_id,
                "category_id": self.number(thing.label) + 1,
                "segmentation": encode_rle(thing.mask) if runs else mask_to_polygons(thing.mask),
                "area": int(thing.mask.sum()),
                "bbox": box,
                "iscrowd": 0,
            }
            self._annotations.append(entry if thing.score is None else {**entry, "score": round(thing.score, 6)})

    def close(self) -> None:
        today = datetime.date.today()
        content = {
            "info": {
                "description": f"Masks found by {self.model}" if self.model else "Masks",
                "url": "",
                "version": __version__,
                "year": today.year,
                "contributor": "clipseg-hf",
                "date_created": today.isoformat(),
            },
            "licenses": [{"id": 1, "name": self.license or "unknown", "url": ""}],
            "categories": [
                {"id": number + 1, "name": label, "supercategory": ""} for label, number in self.numbers.items()
            ],
        }
        (self.folder / "annotations").mkdir(exist_ok=True)

        def write(draft: Path) -> None:
            with draft.open("w", encoding="utf-8") as out:
                out.write(json.dumps(content, ensure_ascii=False)[:-1])
                for name, entries in (("images", self._images), ("annotations", self._annotations)):
                    out.write(f', "{name}": ')
                    entries.write_to(out)
                out.write("}")

        write_whole(self.folder / "annotations" / "instances_default.json", write)
