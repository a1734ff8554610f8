"""RefCOCO, RefCOCO+, RefCOCOg: expressions for COCO's annotations."""

import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from clipseg_hf._text_files import short_repr
from clipseg_hf.data.rows.file_trees import open_tree
from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.frames import turn_phrase
from clipseg_hf.data.rows.json_stream import iterate_list, iterate_members, read_element
from clipseg_hf.data.rows.row_source import SPLIT_NAME, RowSource, check_image, in_shards, shorten
from clipseg_hf.data.rows.rows import make_phrase, make_row
from clipseg_hf.data.sources.annotation_tools.shapes import ImageFinder
from clipseg_hf.data.sources.classes import clean_name
from clipseg_hf.data.sources.coco_annotations import read_segmentation, unite_masks
from clipseg_hf.data.sources.splits import by_official_order
from clipseg_hf.data.vocabulary.phrases import phrase_key
from clipseg_hf.processing.masks.rle import is_empty

LAYOUT = "refs(unc).json, instances.json and images (or say where with images=)"
_REFS = re.compile(r"refs\((\w+)\)\.(json|p)")
_PREFERRED = ("unc", "umd", "google")  # what results are told on, for RefCOCO and RefCOCO+, and for RefCOCOg


class Reference(NamedTuple):
    """Expressions for one annotation."""

    ref_id: str
    image_id: Any
    annotation_id: Any
    sentences: list[str]


class ReferredImage(NamedTuple):
    """An image, the references in it, and the bytes at which their annotations stand in the file."""

    image_id: Any
    file: str
    size: tuple[int, int] | None
    references: list[tuple[Reference, tuple[int, int]]]


class RefCocoFiles(RowSource):
    """A folder of RefCOCO, RefCOCO+ or RefCOCOg as `refer` has it, with its `refs(...)` as JSON.

    The phrases of a row are the expressions of its image, each with the mask of the annotation that it refers to; an
    expression that was given for several means all of them, as everywhere in rows.

    Args:
        path: Holds `refs(unc).json` (or `umd`, `google`) and `instances.json`.
        images: The folder of COCO's images, if not in `path`.
        split_by: Whose splits: "unc", "umd" or "google"; by default the first of these that is there.
        unpack_dir: Where files of archives go that have to be unpacked.

    Raises:
        FileNotFoundError: a part is not there.
        ValueError: the expressions are there as a pickle alone, which is not read; says how to convert it.
    """

    name = "refcoco"
    description = "RefCOCO and its kin: expressions for things in COCO's images."

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        images: str | os.PathLike | None = None,
        split_by: str | None = None,
        unpack_dir: str | os.PathLike,
    ):
        self.tree = open_tree(path, unpack_dir)
        tops = [name for name in self.tree.names if "/" not in name]
        found: dict[str, set[str]] = {}
        for name in tops:
            if match := _REFS.fullmatch(name):
                found.setdefault(match[1], set()).add(match[2])
        order = [name for name in (*_PREFERRED, *sorted(found)) if name in found]
        wanted = split_by or next((name for name in order if "json" in found[name]), next(iter(order), None))
        if wanted not in found or "instances.json" not in tops:
            which = f"refs({split_by}).json" if split_by else "refs(...).json"
            missing = which if wanted not in found else "instances.json"
            raise FileNotFoundError(f"There is no {missing} in {self.tree}. Found: {shorten(tops)}. Expected {LAYOUT}.")
        if "json" not in found[wanted]:
            raise ValueError(
                f"{self.tree}/refs({wanted}).p is a pickle: to read it is to run whatever code it holds, so it is not "
                "read. Where you trust it, write it as JSON, once, in its folder:\n"
                f"  {convert_command(wanted)}"
            )
        self._refs = f"refs({wanted}).json"
        self.image_tree = self.tree if images is None else open_tree(Path(path, images).expanduser(), unpack_dir)
        self._finder = ImageFinder(self.image_tree, LAYOUT)
        self._categories: dict[Any, str] = {}

    @property
    def splits(self) -> tuple[str, ...]:
        return by_official_order(self._references)

    def fingerprint(self) -> str:
        trees = (self.tree, self.image_tree)
        return digest(self.name, self._refs, *(part for tree in trees for part in (str(tree), tree.fingerprint)))

    @cached_property
    def _references(self) -> dict[str, list[Reference | str]]:
        """By split; what is no reference is told by where it stands."""
        path, splits = self.tree.local_file(self._refs), {}
        with path.open("rb") as file:
            for entry, start, _ in iterate_list(file, path):
                split, reference = _read_reference(entry, f"byte {start} of {self._refs}")
                splits.setdefault(split, []).append(reference)
        return splits

    def shards(self, split: str, summary: BuildSummary) -> list[list[ReferredImage]]:
        """Walk once through the annotations, to know where those that are referred to stand."""
        by_annotation: dict[Any, list[Reference]] = {}
        for reference in self._references[split]:
            if isinstance(reference, str):
                summary.note("malformed_entry", reference)
            else:
                by_annotation.setdefault(reference.annotation_id, []).append(reference)
        images: dict[Any, dict] = {}
        places: dict[Any, tuple[int, int]] = {}
        path = self.tree.local_file("instances.json")
        with path.open("rb") as file:
            for member, (entry, start, end) in iterate_members(file, path, ("images", "annotations", "categories")):
                number = entry.get("id") if isinstance(entry, dict) else None
                if not isinstance(number, (int, str)):
                    continue
                if member == "images":
                    images[number] = entry
                elif member == "categories":
                    self._categories[number] = clean_name(str(entry.get("name", "")))
                elif number in by_annotation:
                    places[number] = (start, end)
        groups: dict[Any, list[tuple[Reference, tuple[int, int]]]] = {}
        for number, references in by_annotation.items():
            for reference in references:
                if number in places:
                    groups.setdefault(reference.image_id, []).append((reference, places[number]))
                else:
                    summary.note("malformed_entry", f"ref {reference.ref_id} (annotation {number} is not there)")
        found = []
        for image_id, group in groups.items():
            entry = images.get(image_id)
            if entry is None:
                for reference, _ in group:
                    summary.note("unknown_image", f"ref {reference.ref_id} of image {image_id}")
                continue
            file_name = str(entry.get("file_name", ""))
            name = self._finder.find(file_name, "", f"image {image_id}", summary)
            if name is not None:
                said = entry.get("height"), entry.get("width")
                found.append(ReferredImage(image_id, name, said if all(said) else None, group))
        return in_shards(found)

    def rows(self, split: str, shard: list[ReferredImage], summary: BuildSummary) -> Iterator[dict]:
        with self.tree.local_file("instances.json").open("rb") as file:
            for item in shard:
                image = self.image_tree.image(item.file)
                frame = check_image(image, item.file, summary, item.size)
                if frame is None:
                    continue
                size = item.size or frame.size
                phrases: list[dict] = []
                for reference, place in item.references:
                    phrases += self._make_phrases(reference, read_element(file, *place), size, summary)
                orientation = 1 if size == frame.size else frame.orientation
                turned = [turn_phrase(phrase, orientation) for phrase in phrases]
                yield make_row(image, str(item.image_id), frame.size, turned)

    def _make_phrases(
        self, reference: Reference, annotation: dict, size: tuple[int, int], summary: BuildSummary
    ) -> list[dict]:
        where = f"annotation {reference.annotation_id} of ref {reference.ref_id}"
        mask = read_segmentation(annotation.get("segmentation"), *size, where, summary)
        if mask is None:
            return []
        mask = unite_masks([mask], *size)
        if is_empty(mask["counts"]):
            summary.note("empty_mask", where)
            return []
        category = annotation.get("category_id")
        name = self._categories.get(category) if isinstance(category, (int, str)) else None
        different = {phrase_key(sentence): sentence for sentence in reversed(reference.sentences)}
        phrases = []
        for number, sentence in enumerate(reversed(different.values())):
            if sentence:
                phrase_id = f"{reference.ref_id}__{number}"
                phrases.append(make_phrase(sentence, mask, phrase_id=phrase_id, name=name))
            else:
                summary.note("empty_phrase", f"ref {reference.ref_id}")
        return phrases


def is_refcoco(path: Path) -> bool:
    """Whether a folder holds references of RefCOCO, be it as a pickle."""
    return any(_REFS.fullmatch(file.name) for file in path.glob("refs(*"))


def convert_command(split_by: str) -> str:
    """What writes a pickle of references as JSON."""
    source, target = (f"refs({split_by}).{suffix}" for suffix in ("p", "json"))
    return (
        "python -c \"import json, pickle; json.dump(pickle.load(open('" + source + "', 'rb')), "
        "open('" + target + "', 'w'))\""
    )


def _read_reference(entry: Any, where: str) -> tuple[str, Reference | str]:
    """The split and the reference; or what is wrong with it, with the split that it would be in, "train" for none."""
    split = str(entry.get("split", "train")) if isinstance(entry, dict) else "train"
    if not SPLIT_NAME.fullmatch(split):
        return "train", f"{where} (split is {short_repr(entry['split'])})"
    try:
        if wrong := [key for key in ("image_id", "ann_id") if not isinstance(entry[key], (int, str))]:
            return split, f"{where} ({wrong[0]} is {short_repr(entry[wrong[0]])})"
        sentences = [" ".join(str(said.get("sent") or said.get("raw") or "").split()) for said in entry["sentences"]]
        return split, Reference(str(entry["ref_id"]), entry["image_id"], entry["ann_id"], sentences)
    except (KeyError, TypeError, AttributeError) as error:
        return split, f"{where} ({f'no {error}' if isinstance(error, KeyError) else error})"
