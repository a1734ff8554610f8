"""YOLO's segmentation labels: `data.yaml`, and for each image a text file with a polygon a line."""

import math
import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from clipseg_hf._text_files import parse_yaml, read_text
from clipseg_hf.data.rows.file_trees import open_tree
from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.data.rows.flaws import NOT_AS_EXPECTED, BuildSummary
from clipseg_hf.data.rows.foreign_paths import FileFinder
from clipseg_hf.data.rows.row_source import in_shards, shorten
from clipseg_hf.data.sources.annotation_tools.shapes import AnnotatedImage, ImageFinder, Shape, ShapeFiles
from clipseg_hf.data.sources.coco_annotations import read_segmentation
from clipseg_hf.data.sources.splits import SPLIT_NAMES, by_official_order, split_of_folder

LAYOUT = "data.yaml with names, images/<name>.jpg and labels/<name>.txt"
CLASS_FILES = ("classes.txt", "obj.names")  # of tools that write no data.yaml
_NAMES = re.compile(r"^[\"']?names[\"']?\s*:", re.MULTILINE)
_FURTHEST = 2.0  # a polygon may reach over the border; a corner this far out is not a share of the image's size


class YoloFiles(ShapeFiles):
    """Images with labels as YOLO's segmentation takes them.

    `data.yaml` names the classes and the images of each split: folders, or text files that list images. The labels of
    `images/train/a.jpg` are in `labels/train/a.txt`, else beside it. A line is the number of a class and the corners
    of a polygon as shares of the image's width and height, as it is shown. Without `data.yaml`, classes are taken from
    `classes.txt`, and folders called train, val or test are splits.

    Args:
        path: The folder, or the .yaml file in it.
        unpack_dir: Where files of archives go that have to be unpacked.

    Raises:
        FileNotFoundError: there are no classes or no images.
        ValueError: `data.yaml` cannot be read, or does not name its classes.
    """

    name = "yolo"
    description = "Images with labels of YOLO's segmentation."

    def __init__(self, path: str | os.PathLike, *, unpack_dir: str | os.PathLike):
        path = Path(path).expanduser()
        is_yaml = path.suffix in (".yaml", ".yml") and path.is_file()
        self.tree = open_tree(path.parent if is_yaml else path, unpack_dir)
        self._images = ImageFinder(self.tree, LAYOUT)
        self._files = frozenset(self.tree.names)
        self.settings, self.classes = self._read_classes(path.name if is_yaml else None)
        self._missing: dict[str, list[str]] = {}  # split -> what its images were to be
        self._splits = self._by_settings() or self._by_folder()

    @property
    def splits(self) -> tuple[str, ...]:
        return by_official_order(self._splits)

    def fingerprint(self) -> str:
        return digest(self.name, str(self.settings), str(self.tree), self.tree.fingerprint)

    def shards(self, split: str, summary: BuildSummary) -> list[list[str]]:
        for place in self._missing.get(split, ()):
            summary.note("missing_image", f"{place} ({self.settings})")
        images = self._splits[split]
        labelled = []
        for image in images:
            if label_of(image) in self._files:
                labelled.append(image)
            else:
                summary.note("no_annotation", image)
        labels = {label_of(image) for image in self._images.names}
        folders = {posixpath.dirname(label_of(image)) for image in images}
        for name in self.tree.names:
            is_label = name.endswith(".txt") and "labels" in PurePosixPath(name).parts
            if is_label and posixpath.dirname(name) in folders and name not in labels:
                summary.note("missing_image", f"that of {name}")
        return in_shards(labelled)

    def annotated(self, split: str, shard: list[str], summary: BuildSummary) -> Iterator[AnnotatedImage]:
        for name in shard:
            image_id = str(PurePosixPath(name).with_suffix(""))
            yield AnnotatedImage(image_id, self.tree.image(name), name, None, label_of(name))

    def shapes(self, item: AnnotatedImage, size: tuple[int, int], summary: BuildSummary) -> Iterable[Shape]:
        height, width = size
        try:
            lines = read_text(self.tree.local_file(item.content)).split("\n")
        except ValueError as error:
            summary.note("unreadable_annotation", f"{item.content} ({error})")
            return
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{item.content}, line {number}"
            try:
                index, *shares = map(float, line.split())
            except ValueError:
                summary.note("malformed_entry", f"{where} (expected numbers, found {line.strip()[:40]})")
                continue
            if len(shares) == 4:
                summary.note("no_outline", where)
            elif len(shares) % 2:
                summary.note("malformed_entry", f"{where} (a class and pairs x y, found {len(shares) + 1} numbers)")
            elif index not in self.classes:
                summary.note("unknown_label", f"{where}: class {index:g}")
            elif outside := [value for value in shares if math.isfinite(value) and not -1 <= value <= _FURTHEST]:
                found = f"expected shares of the image's size from 0 to 1, found {outside[0]:g}"
                summary.note("malformed_entry", f"{where} ({found})")
            else:
                corners = [value * (width, height)[place % 2] for place, value in enumerate(shares)]
                if mask := read_segmentation([corners], height, width, where, summary):
                    yield Shape(self.classes[int(index)], mask)

    def _read_classes(self, chosen: str | None) -> tuple[str, dict[int, str]]:
        """The file that names the classes, and these by number; the splits stay in `self._places`."""
        self._places: dict[str, list[str]] = {}
        tops = [name for name in self.tree.names if "/" not in name]
        for name in [chosen] if chosen else [name for name in tops if name.endswith((".yaml", ".yml"))]:
            text = read_text(self.tree.local_file(name))
            if not _NAMES.search(text):
                continue
            try:
                settings = parse_yaml(text, name)
                names = settings["names"]
                names = dict(names if isinstance(names, dict) else enumerate(names))
                classes = {int(index): str(label) for index, label in names.items()}
            except NOT_AS_EXPECTED as error:
                raise ValueError(f"{self.tree}/{name} has no list `names` of classes: {error}.") from None
            for key, split in SPLIT_NAMES.items():
                if given := settings.get(key):
                    self._places.setdefault(split, []).extend(given if isinstance(given, list) else [given])
            return name, classes
        for name in CLASS_FILES:
            if chosen is None and name in tops:
                return name, dict(enumerate(read_text(self.tree.local_file(name)).strip().split("\n")))
        raise FileNotFoundError(
            f"What do the labels' numbers mean? There is no data.yaml with `names:`, {' or '.join(CLASS_FILES)} in "
            f"{self.tree}. Found: {shorten(tops)}. Expected {LAYOUT}."
        )

    def _by_settings(self) -> dict[str, list[str]]:
        """The images of each split that `data.yaml` names."""
        folders = FileFinder({str(folder) for name in self._images.names for folder in PurePosixPath(name).parents})
        splits: dict[str, list[str]] = {}
        for split, places in self._places.items():
            images: dict[str, None] = {}
            for place in map(str, places):
                found = self._list_images(place) if place.endswith(".txt") else self._images_in(place, folders)
                if not found:
                    self._missing.setdefault(split, []).append(place)
                images |= dict.fromkeys(found)
            splits[split] = list(images)
        if splits and not any(splits.values()):
            places = ", ".join(place for missing in self._missing.values() for place in missing)
            raise FileNotFoundError(
                f"{self.tree}/{self.settings} says that images are in {places}; there are none. "
                f"Found: {shorten(self._images.names)}."
            )
        return splits

    def _images_in(self, place: str, folders: FileFinder) -> list[str]:
        if posixpath.normpath(place) == ".":
            return self._images.names
        found = folders.find(place).names
        return [name for name in self._images.names if len(found) == 1 and name.startswith(f"{found[0]}/")]

    def _list_images(self, place: str) -> list[str]:
        lists = FileFinder(name for name in self.tree.names if name.endswith(".txt")).find(place).names
        if len(lists) != 1:
            return []
        images, found = FileFinder(self._images.names), []
        for line in read_text(self.tree.local_file(lists[0])).split("\n"):
            names = images.find(line.strip(), posixpath.dirname(lists[0])).names if line.strip() else []
            found += names if len(names) == 1 else []
        return found

    def _by_folder(self) -> dict[str, list[str]]:
        splits: dict[str, list[str]] = {}
        for name in self._images.names:
            named = [split_of_folder(part) for part in PurePosixPath(name).parent.parts]
            splits.setdefault(next(filter(None, named), "train"), []).append(name)
        return splits


def label_of(image: str) -> str:
    """Where an image's labels are: the last folder `images` of its path is called `labels` there."""
    *folders, file = PurePosixPath(image).with_suffix(".txt").parts
    if "images" in folders:
        place = len(folders) - 1 - folders[::-1].index("images")
        folders[place] = "labels"
    return "/".join([*folders, file])


def is_yolo(path: Path) -> bool:
    """Whether a folder has a .yaml file with `names:`, or classes and a folder of labels."""
    settings = [file for pattern in ("*.yaml", "*.yml") for file in path.glob(pattern) if file.is_file()]
    if any(_NAMES.search(_begin(file)) for file in settings):
        return True
    has_classes = any((path / name).is_file() for name in CLASS_FILES)
    return has_classes and any(next(path.glob(pattern), None) for pattern in ("labels/*.txt", "labels/*/*.txt"))


def _begin(file: Path) -> str:
    with file.open("rb") as opened:
        return opened.read(1 << 16).replace(b"\0", b"").decode("utf-8", errors="ignore")
