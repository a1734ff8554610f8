"""FiftyOne's own export (`FiftyOneDataset`), as the data sets on the Hub have it that were pushed from FiftyOne."""

import base64
import binascii
import io
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from clipseg_hf.data.rows.file_trees import open_tree
from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.json_stream import iterate_members, json_ends, read_element
from clipseg_hf.data.rows.row_source import in_shards, shorten
from clipseg_hf.data.sources.annotation_tools.shapes import AnnotatedImage, ImageFinder, Shape, ShapeFiles
from clipseg_hf.data.sources.coco_annotations import read_segmentation
from clipseg_hf.data.sources.splits import by_official_order, split_of_folder
from clipseg_hf.processing.masks.mask_files import load_map
from clipseg_hf.processing.masks.rle import encode_rle

LAYOUT = "samples.json of FiftyOne's export and data/<name>.jpg"
_LISTS = {"Detections": "detections", "Polylines": "polylines"}
_LARGEST = 1 << 30  # bytes that a mask may unpack to

Place = tuple[int, int]


class FiftyOneFiles(ShapeFiles):
    """An export of FiftyOne: instance masks of `Detections`, and closed `Polylines`.

    Tags called train, val or test are splits.

    Args:
        path: The folder with `samples.json`.
        field: Which field of the samples; by default the first one, as they come, that holds one of these.
        unpack_dir: Where files of archives go that have to be unpacked.

    Raises:
        FileNotFoundError: there is no `samples.json`, or there are no images.
        ValueError: no sample has such a field; says which there are.
    """

    name = "fiftyone"
    description = "Images with labels of FiftyOne."

    def __init__(self, path: str | os.PathLike, *, field: str | None = None, unpack_dir: str | os.PathLike):
        self.tree = open_tree(path, unpack_dir)
        if "samples.json" not in self.tree.names:
            raise FileNotFoundError(
                f"There is no samples.json in {self.tree}. Found: {shorten(self.tree.names)}. Expected {LAYOUT}."
            )
        self._finder = ImageFinder(self.tree, LAYOUT)
        self._splits: dict[str, list[tuple[str, Place]]] = {}
        self.field = self._read_samples(field)

    @property
    def splits(self) -> tuple[str, ...]:
        return by_official_order(self._splits)

    def fingerprint(self) -> str:
        return digest(self.name, self.field, str(self.tree), self.tree.fingerprint)

    def shards(self, split: str, summary: BuildSummary) -> list[list[tuple[str, Place]]]:
        found = []
        for wanted, place in self._splits[split]:
            name = self._finder.find(wanted, "", "samples.json", summary)
            if name is not None:
                found.append((name, place))
        return in_shards(found)

    def annotated(self, split: str, shard: list[tuple[str, Place]], summary: BuildSummary) -> Iterator[AnnotatedImage]:
        with self.tree.local_file("samples.json").open("rb") as file:
            for name, place in shard:
                sample = read_element(file, *place)
                image_id = str(PurePosixPath(name).with_suffix(""))
                content = _labels_of(sample.get(self.field))
                yield AnnotatedImage(image_id, self.tree.image(name), name, _size_of(sample), content)

    def shapes(self, item: AnnotatedImage, size: tuple[int, int], summary: BuildSummary) -> Iterable[Shape]:
        for number, label in enumerate(item.content):
            where = f"label {number} of {item.where}"
            try:
                if "points" in label:
                    mask = self._read_polyline(label, size, where, summary)
                elif (part := self._instance_of(label, where, summary)) is not None:
                    mask = encode_rle(_in_its_box(part, label["bounding_box"], size))
                elif label.get("mask_path"):
                    continue
                else:
                    summary.note("no_outline", where)
                    continue
                if mask is not None:
                    yield Shape(str(label["label"]), mask)
            except (KeyError, TypeError, ValueError, AttributeError, OSError, zlib.error) as error:
                reason = f"no {error}" if isinstance(error, KeyError) else error
                summary.note("malformed_entry", f"{where} ({reason})")

    def _read_polyline(self, label: dict, size: tuple[int, int], where: str, summary: BuildSummary) -> dict | None:
        if not (label.get("closed") or label.get("filled")):
            summary.note("no_outline", where)
            return None
        height, width = size
        polygons = [[side for x, y in points for side in (x * width, y * height)] for points in label["points"]]
        return read_segmentation(polygons, height, width, where, summary)

    def _instance_of(self, label: dict, where: str, summary: BuildSummary) -> np.ndarray | None:
        """A detection's mask, as large as its box or of another size; None where it has none, or its file is not
        there."""
        if label.get("mask") is not None:
            return unpack_mask(label["mask"])
        if not label.get("mask_path"):
            return None
        found = self._finder.find(label["mask_path"], "", where, BuildSummary())
        if found is None:
            summary.note("missing_mask", f"{label['mask_path']} ({where})")
            return None
        return load_map(self.tree.image(found), found, colors="grey") > 0

    def _read_samples(self, field: str | None) -> str:
        """Walk once through the samples, to know their images, splits and fields; -> the field with labels."""
        path, fields = self.tree.local_file("samples.json"), {}
        with path.open("rb") as file:
            for _, (sample, start, end) in iterate_members(file, path, ("samples",)):
                if not isinstance(sample, dict) or not isinstance(sample.get("filepath"), str):
                    raise ValueError(
                        f"{path}, byte {start}: expected a sample with a filepath, found {str(sample)[:60]}."
                    )
                tags = sample.get("tags") or ()
                split = next(filter(None, (split_of_folder(str(tag)) for tag in tags)), "train")
                self._splits.setdefault(split, []).append((sample["filepath"], (start, end)))
                for name, value in sample.items():
                    fields.setdefault(name, bool(_labels_of(value)))
                    fields[name] |= bool(_labels_of(value))
        usable = [name for name, is_usable in fields.items() if is_usable]
        chosen = field or next(iter(usable), None)
        if chosen not in usable:
            asked = f"{field!r} holds" if field else "No field holds"
            raise ValueError(
                f"{path}: {asked} {'no ' if field else ''}Detections or Polylines. Fields with some: "
                f"{', '.join(usable) or 'none'}; all: {', '.join(fields)}."
            )
        return chosen


def _in_its_box(part: np.ndarray, box: list[float], size: tuple[int, int]) -> np.ndarray:
    """A mask in a box [x, y, width, height], shares of the image's (height, width) -> (height, width) bool."""
    height, width = size
    x, y, across, down = box
    left, right = (round(value * width) for value in (x, x + across))
    top, bottom = (round(value * height) for value in (y, y + down))
    canvas = Image.new("1", (width, height))
    if right > left and bottom > top and part.size:
        scaled = Image.fromarray(part).resize((right - left, bottom - top), Image.Resampling.NEAREST)
        canvas.paste(scaled, (left, top))
    return np.asarray(canvas)


def unpack_mask(mask: Any) -> np.ndarray:
    """FiftyOne's mask, a `.npy` file in zlib in base64 -> (h, w) bool.

    Raises:
        ValueError: it is none, or holds objects, which are not unpickled.
    """
    text = mask.get("$binary", {}).get("base64") if isinstance(mask, dict) else mask
    if not isinstance(text, str):
        raise ValueError(f"a mask is text in base64, found {str(mask)[:40]}")
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(base64.b64decode(text, validate=True), _LARGEST)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"a mask that cannot be unpacked: {error}") from None
    values = np.load(io.BytesIO(content), allow_pickle=False)
    if values.ndim != 2:
        raise ValueError(f"a mask has two axes, found shape {values.shape}")
    return values > 0


def is_fiftyone(path: Path) -> bool:
    """Whether a folder is an export of FiftyOne."""
    samples = path / "samples.json"
    if not samples.is_file():
        return False
    begins, ends = json_ends(samples)
    return begins == b"{" and b'"samples"' in ends and b'"filepath"' in ends


def _labels_of(value: Any) -> list[dict]:
    """The labels in a field's value; none where it is not of a kind that has outlines."""
    kind = value.get("_cls") if isinstance(value, dict) else None
    labels = value.get(_LISTS[kind]) if kind in _LISTS else [value] if kind in ("Detection", "Polyline") else None
    return [label for label in labels or () if isinstance(label, dict)]


def _size_of(sample: dict) -> tuple[int, int] | None:
    """(height, width) where the sample's metadata say it."""
    said = sample.get("metadata")
    sides = (said.get("height"), said.get("width")) if isinstance(said, dict) else (None, None)
    return sides if all(isinstance(side, int) and side > 0 for side in sides) else None
