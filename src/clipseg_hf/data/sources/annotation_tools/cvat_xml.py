"""CVAT's own XML ("CVAT for images"): polygons and masks."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np

from clipseg_hf.data.rows.file_trees import open_tree
from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.row_source import in_shards, shorten
from clipseg_hf.data.sources.annotation_tools.shapes import AnnotatedImage, ImageFinder, Shape, ShapeFiles
from clipseg_hf.data.sources.coco_annotations import read_segmentation
from clipseg_hf.data.sources.splits import by_official_order, split_in_name
from clipseg_hf.processing.masks.rle import encode_rle

LAYOUT = "annotations.xml and images/<name>.jpg"
_SHAPES = ("polygon", "mask", "box", "polyline", "points", "ellipse", "cuboid", "skeleton")


class CvatXmlFiles(ShapeFiles):
    """A file of CVAT's XML with its images: polygons and masks.

    An image's `subset` is its split; without one, it is "train".

    Args:
        path: The .xml file, or the folder that holds it.
        images: The folder of the images, if not in the same folder.
        unpack_dir: Where files of archives go that have to be unpacked.

    Raises:
        FileNotFoundError: there is no such file, or there are no images.
        ValueError: it is not valid XML.
    """

    name = "cvat_xml"
    description = "Images with CVAT's annotations in XML."

    def __init__(
        self, path: str | os.PathLike, *, images: str | os.PathLike | None = None, unpack_dir: str | os.PathLike
    ):
        path = Path(path).expanduser()
        root = path.parent if path.is_file() else path
        self.tree = open_tree(root, unpack_dir)
        self.image_tree = self.tree if images is None else open_tree(Path(root, images).expanduser(), unpack_dir)
        tops = [name for name in self.tree.names if "/" not in name]
        self._files = [path.name] if path.is_file() else [name for name in tops if name.endswith(".xml")]
        if not self._files:
            raise FileNotFoundError(f"There is no XML file in {root}. Found: {shorten(tops)}. Expected {LAYOUT}.")
        self._finder = ImageFinder(self.image_tree, LAYOUT)
        self._entries: dict[str, list[dict]] = {}
        for name in self._files:
            for entry in _read_images(self.tree.local_file(name)):
                subset = split_in_name(entry["subset"]) or entry["subset"] or "train"
                self._entries.setdefault("train" if subset == "default" else subset, []).append(entry)

    @property
    def splits(self) -> tuple[str, ...]:
        return by_official_order(self._entries)

    def fingerprint(self) -> str:
        trees = (self.tree, self.image_tree)
        return digest(self.name, repr(self._files), *(part for tree in trees for part in (str(tree), tree.fingerprint)))

    def shards(self, split: str, summary: BuildSummary) -> list[list[tuple[str, dict]]]:
        found = []
        for entry in self._entries[split]:
            name = self._finder.find(entry["name"], "", f"image {entry['id']}", summary)
            if name is not None and entry["shapes"]:
                found.append((name, entry))
            elif name is not None:
                summary.note("no_annotation", name)
        return in_shards(found)

    def annotated(self, split: str, shard: list[tuple[str, dict]], summary: BuildSummary) -> Iterator[AnnotatedImage]:
        for name, entry in shard:
            image_id = str(PurePosixPath(name).with_suffix(""))
            yield AnnotatedImage(image_id, self.image_tree.image(name), name, entry["size"], entry["shapes"])

    def shapes(self, item: AnnotatedImage, size: tuple[int, int], summary: BuildSummary) -> Iterable[Shape]:
        for number, (kind, values) in enumerate(item.content):
            where = f"{kind} {number} of {item.where}"
            try:
                if kind == "polygon":
                    corners = [float(value) for point in values["points"].split(";") for value in point.split(",")]
                    mask = read_segmentation([corners], *size, where, summary)
                elif kind == "mask":
                    mask = encode_rle(_read_runs(values, size))
                else:
                    summary.note("no_outline", where)
                    continue
                if mask is not None:
                    yield Shape(values["label"], mask)
            except (KeyError, ValueError) as error:
                reason = f"no {error}" if isinstance(error, KeyError) else error
                summary.note("malformed_entry", f"{where} ({reason})")


def _read_images(path: Path) -> Iterator[dict[str, Any]]:
    """What the file says of each image; the parsed tree is let go as it is read."""
    try:
        for _, element in ElementTree.iterparse(path):
            if element.tag != "image":
                continue
            said = element.get("height", ""), element.get("width", "")
            yield {
                "id": element.get("id", ""),
                "name": element.get("name", ""),
                "subset": element.get("subset", ""),
                "size": (int(said[0]), int(said[1])) if all(side.isdecimal() for side in said) else None,
                "shapes": [(shape.tag, dict(shape.attrib)) for shape in element if shape.tag in _SHAPES],
            }
            element.clear()
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is not valid XML: {error}.") from None


def _read_runs(values: dict[str, str], size: tuple[int, int]) -> np.ndarray:
    """A mask's runs, background first, row by row in its box -> (height, width) bool."""
    left, top, width, height = (int(float(values[name])) for name in ("left", "top", "width", "height"))
    runs = [int(run) for run in values["rle"].split(",")]
    if min(runs) < 0 or sum(runs) != width * height:
        raise ValueError(f"runs of {sum(runs)} pixels in a box of {width} x {height}")
    if min(left, top) < 0 or left + width > size[1] or top + height > size[0]:
        raise ValueError(f"a box of {width} x {height} at {left}, {top} in an image of {size[1]} x {size[0]}")
    mask = np.zeros(size, dtype=bool)
    part = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    mask[top : top + height, left : left + width] = part
    return mask


def is_cvat_xml(path: Path) -> bool:
    """Whether a folder has, or a file is, XML with annotations of images as CVAT writes them."""
    files = [path] if path.is_file() else sorted(path.glob("*.xml"))
    return any(file.suffix == ".xml" and file.is_file() and b"<annotations>" in _begin(file) for file in files)


def _begin(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(1 << 12)
