"""CVAT's XML out ("CVAT for images 1.1")."""

import json
import shutil
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from clipseg_hf._output_files import write_whole
from clipseg_hf.labels.labelled import LabelledImage, LabelledObject, LabelWriter, corners, hex_colors
from clipseg_hf.processing.masks.outlines import mask_runs, mask_to_box, mask_to_polygons


class CvatWriter(LabelWriter):
    """`annotations.xml` to upload to a task, `labels.json` for the "Raw" tab of its labels, and `images/`."""

    name = "cvat"
    allowed = ("rle", "polygons")

    def __init__(self, *args):
        super().__init__(*args)
        self._images = tempfile.TemporaryFile("w+", encoding="utf-8", dir=self.folder)  # noqa: SIM115
        self._count = 0

    def add(self, image: LabelledImage, file: str) -> None:
        height, width = image.size
        attributes = {"id": str(self._count), "name": file, "width": str(width), "height": str(height)}
        element = ElementTree.Element("image", attributes)
        self._count += 1
        for thing in image.objects:
            self.number(thing.label)
            for tag, shape in _runs(thing) if self.outlines == "rle" else _polygons(thing):
                common = {"label": thing.label, "source": "auto", "occluded": "0"}
                ElementTree.SubElement(element, tag, {**common, **shape, "z_order": "0"})
        ElementTree.indent(element, level=1)
        self._images.write(f"  {ElementTree.tostring(element, encoding='unicode')}\n")

    def close(self) -> None:
        colors = hex_colors(list(self.numbers))
        meta = _meta(colors, self._count)  # known at the end, and wanted at the beginning
        ElementTree.indent(meta, level=1)
        head = f"<annotations>\n  <version>1.1</version>\n  {ElementTree.tostring(meta, encoding='unicode')}\n"

        def write(draft: Path) -> None:
            with draft.open("w", encoding="utf-8") as out:
                out.write(f"<?xml version='1.0' encoding='utf-8'?>\n{head}")
                self._images.seek(0)
                shutil.copyfileobj(self._images, out, 2**13)
                out.write("</annotations>")

        write_whole(self.folder / "annotations.xml", write)
        self._images.close()
        labels = [{"name": label, "color": color, "attributes": []} for label, color in colors]
        (self.folder / "labels.json").write_text(json.dumps(labels, ensure_ascii=False, indent=2), encoding="utf-8")


def _meta(colors: list[tuple[str, str]], images: int) -> ElementTree.Element:
    """What CVAT says of the task; others that read its files (Datumaro) take the labels from there."""
    meta = ElementTree.Element("meta")
    task = ElementTree.SubElement(meta, "task")
    ElementTree.SubElement(task, "size").text = str(images)
    ElementTree.SubElement(task, "mode").text = "annotation"
    labels = ElementTree.SubElement(task, "labels")
    for name, color in colors:
        label = ElementTree.SubElement(labels, "label")
        ElementTree.SubElement(label, "name").text = name
        ElementTree.SubElement(label, "color").text = color
        ElementTree.SubElement(label, "attributes")
    return meta


def _polygons(thing: LabelledObject) -> list[tuple[str, dict[str, str]]]:
    polygons = mask_to_polygons(thing.mask)
    return [("polygon", {"points": ";".join(f"{x:.2f},{y:.2f}" for x, y in corners(p))}) for p in polygons]


def _runs(thing: LabelledObject) -> list[tuple[str, dict[str, str]]]:
    box = mask_to_box(thing.mask)
    if box is None:
        return []
    left, top, width, height = box
    runs = mask_runs(thing.mask[top : top + height, left : left + width])
    lengths = [0] * runs[0][0] + [length for _, length in runs]  # the first is background's
    place = {"left": str(left), "top": str(top), "width": str(width), "height": str(height)}
    return [("mask", {"rle": ", ".join(map(str, lengths)), **place})]
