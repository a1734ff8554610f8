"""LabelMe's JSON, a file for each image."""

import base64
import binascii
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageDraw

from clipseg_hf._text_files import parse_json, read_text
from clipseg_hf.data.rows.file_trees import open_tree
from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.json_stream import json_ends
from clipseg_hf.data.rows.row_source import in_shards, is_image_name, shorten
from clipseg_hf.data.sources.annotation_tools.shapes import AnnotatedImage, ImageFinder, Shape, ShapeFiles
from clipseg_hf.data.sources.coco_annotations import read_segmentation
from clipseg_hf.data.sources.splits import by_official_order, split_of_folder
from clipseg_hf.processing.masks.mask_files import load_map
from clipseg_hf.processing.masks.rle import encode_rle

LAYOUT = "<name>.json beside <name>.jpg"
_NO_OUTLINE = ("point", "points", "line", "linestrip", "oriented_rectangle")


class LabelMeFiles(ShapeFiles):
    """Images with a JSON file each, as LabelMe writes them.

    Polygons, rectangles, circles and masks are read; points and lines have no area. An image that is not there is
    taken from its JSON's `imageData`. Folders called train, val or test are splits.

    Args:
        path: The folder.
        images: The folder of the images, if not in `path`.
        unpack_dir: Where files of archives go that have to be unpacked.

    Raises:
        FileNotFoundError: there are no JSON files.
    """

    name = "labelme"
    description = "Images with annotations of LabelMe."

    def __init__(
        self, path: str | os.PathLike, *, images: str | os.PathLike | None = None, unpack_dir: str | os.PathLike
    ):
        self.tree = open_tree(path, unpack_dir)
        self.image_tree = self.tree if images is None else open_tree(Path(path, images).expanduser(), unpack_dir)
        self._splits: dict[str, list[str]] = {}
        for name in self.tree.names:
            if name.endswith(".json"):
                named = [split_of_folder(part) for part in PurePosixPath(name).parent.parts]
                self._splits.setdefault(next(filter(None, named), "train"), []).append(name)
        if not self._splits:
            raise FileNotFoundError(
                f"There is no JSON file in {self.tree}. Found: {shorten(self.tree.names)}. Expected {LAYOUT}."
            )
        self._has_images = any(map(is_image_name, self.image_tree.names))

    @property
    def splits(self) -> tuple[str, ...]:
        return by_official_order(self._splits)

    def fingerprint(self) -> str:
        trees = (self.tree, self.image_tree)
        return digest(self.name, *(part for tree in trees for part in (str(tree), tree.fingerprint)))

    def shards(self, split: str, summary: BuildSummary) -> list[list[str]]:
        stems = {PurePosixPath(name).stem for names in self._splits.values() for name in names}
        for name in self.image_tree.names:
            if is_image_name(name) and PurePosixPath(name).stem not in stems:
                named = [split_of_folder(part) for part in PurePosixPath(name).parent.parts]
                if next(filter(None, named), "train") == split:
                    summary.note("no_annotation", name)
        return in_shards(self._splits[split])

    def annotated(self, split: str, shard: list[str], summary: BuildSummary) -> Iterator[AnnotatedImage]:
        finder = ImageFinder(self.image_tree, LAYOUT) if self._has_images else None
        for name in shard:
            try:
                content = parse_json(read_text(self.tree.local_file(name)), name)
            except ValueError as error:  # not JSON, or not UTF-8
                summary.note("unreadable_annotation", f"{name} ({error})")
                continue
            if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
                summary.note("malformed_entry", f"{name} (no list `shapes`)")
                continue
            image = self._image(name, content, finder, summary)
            if image is not None:
                said = content.get("imageHeight"), content.get("imageWidth")
                size = said if all(isinstance(side, int) and side > 0 for side in said) else None
                yield AnnotatedImage(str(PurePosixPath(name).with_suffix("")), *image, size, content)

    def _image(
        self, name: str, content: dict, finder: ImageFinder | None, summary: BuildSummary
    ) -> tuple[dict, str] | None:
        """The image, and how to name it."""
        wanted = str(content.get("imagePath") or PurePosixPath(name).with_suffix(".jpg"))
        folder = str(PurePosixPath(name).parent) if self.image_tree is self.tree else ""
        embedded = _unpacked(content.get("imageData"))
        aside = summary if embedded is None else BuildSummary()  # what is embedded is not missing
        found = finder.find(wanted, folder, name, aside) if finder is not None else None
        if found is not None:
            return self.image_tree.image(found), found
        if embedded is not None:
            return {"path": None, "bytes": embedded}, f"imageData of {name}"
        if finder is None:
            summary.note("missing_image", f"{wanted} ({name})")
        return None

    def shapes(self, item: AnnotatedImage, size: tuple[int, int], summary: BuildSummary) -> Iterable[Shape]:
        for number, shape in enumerate(item.content["shapes"]):
            where = f"shape {number} of {item.where}"
            kind = shape.get("shape_type") or "polygon" if isinstance(shape, dict) else None
            if kind in _NO_OUTLINE:
                summary.note("no_outline", f"{where} ({kind})")
                continue
            try:
                mask = draw_shape(kind, shape["points"], shape.get("mask"), size, where, summary)
                label = self.label(shape)
            except (KeyError, TypeError, ValueError, OSError) as error:
                reason = f"no {error}" if isinstance(error, KeyError) else error
                summary.note("malformed_entry", f"{where} ({reason})")
                continue
            if mask is not None:
                yield Shape(label, mask)

    def label(self, shape: dict) -> str:
        """What a shape shows."""
        return str(shape["label"])


def draw_shape(
    kind: str | None, points: list, bitmap: str | None, size: tuple[int, int], where: str, summary: BuildSummary
) -> dict | None:
    """The run lengths of one of LabelMe's shapes; None, and a note, where a polygon cannot be read.

    Polygons and rectangles are filled by COCO's rule, whose corners are between pixels as LabelMe's are; circles and
    masks as LabelMe does it.

    Raises:
        TypeError, ValueError, OSError: the shape is not as it should be.
    """
    if kind == "polygon" or (kind == "rectangle" and len(points) > 2):
        return read_segmentation([[value for point in points for value in point]], *size, where, summary)
    if kind not in ("rectangle", "circle", "mask"):
        raise ValueError(f"shape_type {kind!r}; known are polygon, rectangle, circle and mask")
    if len(points) != 2:
        raise ValueError(f"a {kind} has 2 points, found {len(points)}")
    (x1, y1), (x2, y2) = np.asarray(points, dtype=float).tolist()
    if kind == "rectangle":
        return read_segmentation([[x1, y1, x2, y1, x2, y2, x1, y2]], *size, where, summary)
    canvas = Image.new("1", size[::-1])
    if kind == "circle":
        radius = float(np.hypot(x2 - x1, y2 - y1))
        ImageDraw.Draw(canvas).ellipse((x1 - radius, y1 - radius, x1 + radius, y1 + radius), fill=1)
        return encode_rle(np.asarray(canvas))
    part = load_map({"path": None, "bytes": base64.b64decode(bitmap or "", validate=True)}, "its mask", colors="grey")
    canvas.paste(Image.fromarray(part > 0), (int(x1), int(y1)))
    return encode_rle(np.asarray(canvas))


def is_labelme(path: Path, keys: tuple[bytes, ...] = (b'"shapes"', b'"imagePath"')) -> bool:
    """Whether one of the first JSON files of a folder, or of a folder in it, looks like LabelMe's."""
    for pattern in ("*.json", "*/*.json"):
        for file in sorted(path.glob(pattern))[:5]:
            begins, ends = json_ends(file)
            if begins == b"{" and all(key in ends for key in keys):
                return True
    return False


def _unpacked(data: object) -> bytes | None:
    """The picture in `imageData`; None where there is none."""
    if not isinstance(data, str):
        return None
    try:
        picture = base64.b64decode(data, validate=True)
        Image.open(io.BytesIO(picture))
    except (binascii.Error, OSError):
        return None
    return picture
