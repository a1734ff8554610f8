"""COCO's instance and stuff annotations, LVIS', and all that is written in their format."""

import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from clipseg_hf.data.phrasecut.polygons import FURTHEST_CORNER
from clipseg_hf.data.rows.file_trees import open_tree
from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.data.rows.flaws import NOT_AS_EXPECTED, BuildSummary
from clipseg_hf.data.rows.foreign_paths import FileFinder
from clipseg_hf.data.rows.frames import turn_phrase
from clipseg_hf.data.rows.json_stream import json_ends, read_element
from clipseg_hf.data.rows.row_source import RowSource, check_image, in_shards, is_image_name, shorten
from clipseg_hf.data.rows.rows import make_phrase, make_row
from clipseg_hf.data.sources.coco_annotations import index_annotations, is_crowd, read_segmentation, unite_masks
from clipseg_hf.data.sources.splits import by_official_order, split_in_name
from clipseg_hf.data.vocabulary.phrases import phrase_key
from clipseg_hf.processing.masks.rle import is_empty

LAYOUT = "annotations/instances_<split>.json and a folder of images (or say where with annotations= and images=)"
_NOT_MASKS = ("captions_*", "person_keypoints_*", "image_info_*", "panoptic_*")


class CocoImage(NamedTuple):
    """An image, and the bytes at which its annotations stand in the file."""

    image_id: int
    file: str
    size: tuple[int, int] | None  # None where the file does not say it
    annotations: list[tuple[int, int]]


class _Instance(NamedTuple):
    """An annotation, with the phrase and the run lengths that it means."""

    phrase: str
    mask: dict
    annotation: dict


class CocoFiles(RowSource):
    """Annotations in COCO's format with their images.

    A phrase of a row is what several annotations of the image have in common: the `phrase` or `caption` that they
    bear themselves, else the name of their category. Its mask is the union of theirs. What a crowd (`iscrowd`) covers
    does not count for its phrase, as in COCO's own evaluation: it is neither the thing nor the background. In a file
    that has nothing but crowds they are a way of writing run lengths, and masks like all others.

    Args:
        path: A JSON file, or the folder that holds it. A folder may have a file per split, told by its name or folder
            ("instances_train2017.json", "valid/_annotations.coco.json").
        annotations: Which files, relative to `path`, where there are several for a split ("*/instances_*2017.json").
        images: The folder of the images, if not in `path` (for a JSON file: not beside it, nor, where its folder is
            called `annotations`, beside that).
        phrase_field: Which field of an annotation to take as its phrase.
        crowds: "ignore", or "mask" for files whose `iscrowd` says only that an annotation is in run lengths (CVAT's).
        unpack_dir: Where files of archives go that have to be unpacked.

    Raises:
        FileNotFoundError: there is no annotation file, or there are no images.
        ValueError: there are several annotation files for a split, or `crowds` is something else.
    """

    name = "coco"
    description = "Images with annotations in COCO's format."

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        annotations: str | None = None,
        images: str | os.PathLike | None = None,
        phrase_field: str | None = None,
        crowds: str = "ignore",
        unpack_dir: str | os.PathLike,
    ):
        if crowds not in ("ignore", "mask"):
            raise ValueError(f'crowds is "ignore" or "mask", got {crowds!r}.')
        path = Path(path).expanduser()
        root = path.parent if path.is_file() else path
        self.tree = open_tree(root, unpack_dir)
        self.image_tree = self.tree if images is None else open_tree(Path(root, images).expanduser(), unpack_dir)
        if images is None and root.absolute().name == "annotations" and not any(map(is_image_name, self.tree.names)):
            self.image_tree = open_tree(root.absolute().parent, unpack_dir)  # as COCO's own files are laid out
        self.phrase_field, self.crowds = phrase_field, crowds
        if path.is_file():
            self._files = {split_in_name(path.name) or "train": path.name}
        else:
            self._files = _choose_files(root, self.tree.names, annotations)
        self._categories: dict[str, dict[int, str]] = {}
        self._has_crowds: dict[str, bool] = {}  # split -> whether `iscrowd` tells some annotations from others
        names = [name for name in self.image_tree.names if is_image_name(name)]
        self._finder = FileFinder(names)
        if not names:
            raise FileNotFoundError(
                f"There are no images in {self.image_tree}. Found: {shorten(self.image_tree.names)}. "
                f"Expected {LAYOUT}; {_say_where(root)}."
            )

    @property
    def splits(self) -> tuple[str, ...]:
        return by_official_order(self._files)

    def fingerprint(self) -> str:
        trees = [part for tree in (self.tree, self.image_tree) for part in (str(tree), tree.fingerprint)]
        return digest(self.name, repr(self._files), str(self.phrase_field), self.crowds, *trees)

    def shards(self, split: str, summary: BuildSummary) -> list[list[CocoImage]]:
        """Walk once through the file, to know what belongs to which image."""
        name = self._files[split]
        index = index_annotations(self.tree.local_file(name), name, summary)
        places, self._categories[split] = index.places, index.categories
        self._has_crowds[split] = self.crowds == "ignore" and index.crowds > 0 and index.others > 0
        found = [self._find_image(entry, name, places[i], summary) for i, entry in index.images.items() if i in places]
        return in_shards([image for image in found if image is not None])

    def rows(self, split: str, shard: list[CocoImage], summary: BuildSummary) -> Iterator[dict]:
        with self.tree.local_file(self._files[split]).open("rb") as file:
            for item in shard:
                image = self.image_tree.image(item.file)
                frame = check_image(image, item.file, summary, item.size)
                if frame is None:
                    continue
                if item.size is None and frame.orientation != 1:
                    summary.note("unclear_frame", f"{item.file} (its annotation says no size)")
                size = item.size or frame.size
                orientation = 1 if size == frame.size else frame.orientation
                annotations = [read_element(file, *place) for place in item.annotations]
                phrases = self._make_phrases(annotations, item.image_id, size, split, summary)
                turned = [turn_phrase(phrase, orientation) for phrase in phrases]
                yield make_row(image, str(item.image_id), frame.size, turned)

    def _make_phrases(
        self,
        annotations: list[dict],
        image_id: int | str,
        size: tuple[int, int],
        split: str,
        summary: BuildSummary,
    ) -> list[dict]:
        categories = self._categories[split]
        groups: dict[str, list[_Instance]] = {}
        for annotation in annotations:
            where = f"annotation {annotation['id']} of image {image_id}"
            phrase = self._phrase_of(annotation, categories)
            if phrase is None:
                reason = f"no {self.phrase_field}" if self.phrase_field else f"category {annotation.get('category_id')}"
                summary.note("malformed_entry", f"{where} ({reason})")
            elif not phrase:
                summary.note("empty_phrase", where)
            elif mask := read_segmentation(annotation.get("segmentation"), *size, where, summary):
                groups.setdefault(phrase_key(phrase), []).append(_Instance(phrase, mask, annotation))
        phrases = []
        for number, group in enumerate(groups.values()):
            parts: tuple[list[_Instance], list[_Instance]] = ([], [])  # things, and crowds of them
            for instance in group:
                parts[self._has_crowds[split] and is_crowd(instance.annotation)].append(instance)
            summary.crowds += len(parts[1])
            mask, crowd = (unite_masks([instance.mask for instance in part], *size) for part in parts)
            ignore = None if is_empty(crowd["counts"]) else crowd
            first = group[0]
            if is_empty(mask["counts"]) and ignore is None:
                summary.note("empty_mask", f"{first.phrase!r} in image {image_id}")
                continue
            name = _category_of(first.annotation, categories)
            boxes = _boxes([instance.annotation for instance in parts[0]])
            phrase_id = f"{image_id}__{number}"
            phrases.append(make_phrase(first.phrase, mask, phrase_id=phrase_id, name=name, boxes=boxes, ignore=ignore))
        return phrases

    def _phrase_of(self, annotation: dict, categories: dict[int, str]) -> str | None:
        if self.phrase_field is not None:
            phrase = annotation.get(self.phrase_field)
        else:
            phrase = annotation.get("phrase", annotation.get("caption", _category_of(annotation, categories)))
        return " ".join(phrase.split()) if isinstance(phrase, str) else None

    def _find_image(
        self, entry: dict, annotation_file: str, places: list[tuple[int, int]], summary: BuildSummary
    ) -> CocoImage | None:
        try:
            # LVIS names no file, only the address of COCO's image.
            wanted = str(entry.get("file_name") or "/".join(entry["coco_url"].split("/")[-2:]))
            said = (entry.get("height"), entry.get("width"))
            size = (int(said[0]), int(said[1])) if all(said) else None
        except NOT_AS_EXPECTED as error:
            summary.note("malformed_entry", f"image {entry['id']} ({type(error).__name__}: {error})")
            return None
        beside = str(PurePosixPath(annotation_file).parent) if self.image_tree is self.tree else ""
        found = self._finder.find(wanted, beside)
        if not found.names:
            summary.note("missing_image", f"{wanted} (image {entry['id']})")
            return None
        best = max(_likeness(name, annotation_file) for name in found.names)
        chosen = [name for name in found.names if _likeness(name, annotation_file) == best]
        if len(chosen) > 1:
            raise ValueError(
                f"{annotation_file} asks for {wanted}, which could be {' or '.join(chosen[:3])} in {self.image_tree}: "
                "say which folder with images=."
            )
        if found.is_foreign:
            summary.note("foreign_path", f"{wanted}, taken for {chosen[0]}")
        return CocoImage(entry["id"], chosen[0], size, places)


def _category_of(annotation: dict, categories: dict[int, str]) -> str | None:
    number = annotation.get("category_id")
    return categories.get(number) if isinstance(number, (int, str)) else None


def _choose_files(root: Path, names: tuple[str, ...], pattern: str | None) -> dict[str, str]:
    """The annotation file of each split."""
    found = [name for name in names if name.endswith(".json") and (fnmatch(name, pattern) if pattern else True)]
    if pattern is None:
        found = [n for n in found if not any(fnmatch(PurePosixPath(n).name, other) for other in _NOT_MASKS)]
        instances = [n for n in found if PurePosixPath(n).name.startswith("instances_")]
        found = instances or [n for n in found if is_coco(root / n)]
    if not found:
        which = f" that is called {pattern}" if pattern else ""
        raise FileNotFoundError(
            f"There is no COCO annotation file{which} in {root}. Found: {shorten(names)}. Expected {LAYOUT}."
        )
    files: dict[str, str] = {}
    for name in found:
        split = split_in_name(name) or "train"
        if split in files:
            raise ValueError(
                f"There are several annotation files for {split} in {root}: {files[split]} and {name}. "
                "Say which with annotations=, a name or pattern like 'annotations/instances_*2017.json'."
            )
        files[split] = name
    return files


def is_coco(path: Path) -> bool:
    """Whether a JSON file looks like COCO's: an object with one of its lists near the beginning or the end."""
    begins, ends = json_ends(path)
    return begins == b"{" and any(key in ends for key in (b'"annotations"', b'"images"', b'"categories"'))


def _say_where(root: Path) -> str:
    """The option for the first folder of images beside `root`, if there is one."""
    for folder in sorted(entry for entry in root.absolute().parent.iterdir() if entry.is_dir()):
        if any(is_image_name(entry.name) for entry in folder.iterdir()):
            return f'here images="../{folder.name}" (on the command line: --option images=../{folder.name})'
    return "on the command line: --option images=FOLDER"


def _likeness(name: str, annotation_file: str) -> int:
    """How many of an image's folders are named in the annotation file's name."""
    return sum(part in annotation_file for part in PurePosixPath(name).parent.parts)


def _boxes(annotations: list[dict]) -> list[list[float]] | None:
    """The instances' boxes, None unless all have one that makes sense."""
    boxes = [annotation.get("bbox") for annotation in annotations]
    for box in boxes:
        if not isinstance(box, list) or len(box) != 4:
            return None
        if not all(isinstance(value, (int, float)) and abs(value) < FURTHEST_CORNER for value in box):
            return None
    return [[float(value) for value in box] for box in boxes]
