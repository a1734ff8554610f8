"""A folder with `metadata.jsonl` (or .csv) beside its images, as `datasets` calls an image folder."""

import csv
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from clipseg_hf._text_files import parse_json, read_text
from clipseg_hf.data.rows.file_trees import open_tree
from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.foreign_paths import FileFinder
from clipseg_hf.data.rows.frames import Frame
from clipseg_hf.data.rows.row_source import RowSource, check_image, in_shards, shorten
from clipseg_hf.data.rows.rows import make_phrase, make_row
from clipseg_hf.data.sources.mask_files import check_binary_mask
from clipseg_hf.data.sources.splits import by_official_order, split_of_folder

METADATA_FILES = ("metadata.jsonl", "metadata.csv")


class Line(NamedTuple):
    """A line of a metadata file: how to name it, and what it says."""

    where: str
    values: dict[str, Any]


class MetadataFiles(RowSource):
    """A folder of images with a `metadata.jsonl`: lines with `file_name`, `phrase` and `mask_file_name`.

    An image with several phrases has several lines. File names are relative to the metadata file; those of another
    machine are found by how they end, in its folder. Splits are folders
    with one each (`train/metadata.jsonl`). A mask is white (or 1) where the phrase is true. Files of which no line
    speaks, in a folder that holds images of other lines and with the same suffix, are counted as images left out.

    Args:
        path: The folder.
        file_field, phrase_field, mask_field: What the fields are called.
        unpack_dir: Where files of archives go that have to be unpacked.

    Raises:
        FileNotFoundError: there is no metadata file.
    """

    name = "imagefolder"
    description = "Images with phrases and masks listed in a metadata file."

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        file_field: str = "file_name",
        phrase_field: str = "phrase",
        mask_field: str = "mask_file_name",
        unpack_dir: str | os.PathLike,
    ):
        self.tree = open_tree(path, unpack_dir)
        self.fields = (file_field, phrase_field, mask_field)
        self._files: dict[str, list[str]] = {}
        for name in self.tree.names:
            *folders, file = PurePosixPath(name).parts
            if file in METADATA_FILES:
                split = next((split_of_folder(folder) for folder in folders if split_of_folder(folder)), "train")
                self._files.setdefault(split, []).append(name)
        if not self._files:
            raise FileNotFoundError(
                f"There is no {' or '.join(METADATA_FILES)} in {self.tree}, nor in a folder of it. "
                f"Found: {shorten(self.tree.names)}."
            )

    @property
    def splits(self) -> tuple[str, ...]:
        return by_official_order(self._files)

    def fingerprint(self) -> str:
        return digest(self.name, *self.fields, str(self.tree), self.tree.fingerprint)

    def shards(self, split: str, summary: BuildSummary) -> list[list[tuple[str, list[Line]]]]:
        by_image: dict[str, list[Line]] = {}
        named: set[str] = set()
        finder = FileFinder(self.tree.names)
        for name in self._files[split]:
            folder = PurePosixPath(name).parent
            for line in _read_lines(self.tree.local_file(name), name):
                missing = [field for field in self.fields if not isinstance(line.values.get(field), str)]
                if missing:
                    named.update(str(folder / str(line.values.get(field))) for field in self.fields[::2])
                    found = ", ".join(map(str, line.values)) or "nothing"
                    summary.note("malformed_entry", f"{line.where} (no text {', '.join(missing)}; found {found})")
                    continue
                for field in self.fields[::2]:
                    line.values[field] = _find(finder, line.values[field], str(folder), line.where, summary)
                    named.add(line.values[field])
                by_image.setdefault(line.values[self.fields[0]], []).append(line)
        for name in _of_the_same_kind(self.tree.names, by_image):
            if name not in named:
                summary.note("no_annotation", name)
        return in_shards(list(by_image.items()))

    def rows(self, split: str, shard: list[tuple[str, list[Line]]], summary: BuildSummary) -> Iterator[dict]:
        files = set(self.tree.names)
        for name, lines in shard:
            if name not in files:
                summary.note("missing_image", f"{name} ({lines[0].where})")
                continue
            image = self.tree.image(name)
            frame = check_image(image, name, summary)
            if frame is None:
                continue
            phrases = [
                self._make_phrase(line, number, name, frame, files, summary) for number, line in enumerate(lines)
            ]
            phrases = [phrase for phrase in phrases if phrase is not None]
            yield make_row(image, str(PurePosixPath(name).with_suffix("")), frame.size, phrases)

    def _make_phrase(
        self, line: Line, number: int, image: str, frame: Frame, files: set[str], summary: BuildSummary
    ) -> dict | None:
        _, phrase, mask_name = (line.values[field] for field in self.fields)
        where = f"{mask_name} ({line.where})"
        phrase = " ".join(phrase.split())
        if not phrase:
            summary.note("empty_phrase", line.where)
            return None
        if mask_name not in files:
            summary.note("missing_mask", where)
            return None
        mask = check_binary_mask(self.tree.image(mask_name), where, image, frame, summary)
        return None if mask is None else make_phrase(phrase, mask, phrase_id=f"{image}__{number}")


def _find(finder: FileFinder, wanted: str, folder: str, where: str, summary: BuildSummary) -> str:
    """The file that a line names; where none is there, or several may be meant, what to call it in a note."""
    folder = "" if folder == "." else folder
    found = finder.find(wanted, folder, within=folder)
    if len(found.names) > 1:
        return f"{wanted}, which could be {' or '.join(found.names[:3])}"
    if not found.names:
        return str(PurePosixPath(folder, wanted))
    if found.is_foreign:
        summary.note("foreign_path", f"{wanted}, taken for {found.names[0]} ({where})")
    return found.names[0]


def _of_the_same_kind(files: Iterable[str], images: Iterable[str]) -> Iterator[str]:
    """Those files that have the folder and the suffix of one of the images."""
    kinds = {(path.parent, path.suffix) for path in map(PurePosixPath, images)}
    yield from (name for name in files if (PurePosixPath(name).parent, PurePosixPath(name).suffix) in kinds)


def _read_lines(path: Path, name: str) -> Iterator[Line]:
    lines = read_text(path).split("\n")  # not splitlines: a text may hold what Unicode calls the end of a line
    if path.suffix == ".csv":
        reader = csv.DictReader(f"{line}\n" for line in lines)
        yield from (Line(f"{name}, line {reader.line_num}", values) for values in reader)
        return
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        values = parse_json(text, f"{path}, line {number}")
        if not isinstance(values, dict):
            raise ValueError(f"{path}, line {number}: expected an object, found {text.strip()[:60]}.")
        yield Line(f"{name}, line {number}", values)
