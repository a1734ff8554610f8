"""Pairs the pictures of one folder with those of another by their names."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from clipseg_hf.data.rows.file_trees import FileTree, open_tree
from clipseg_hf.data.rows.row_source import shorten


class Folder(NamedTuple):
    """A folder and those of its files that are of use, by the key that pairs them."""

    tree: FileTree
    names: dict[str, str]


def open_folder(
    root: str | os.PathLike, folder: str | os.PathLike, unpack_dir: str | os.PathLike, expected: str
) -> FileTree:
    """Open a folder within a root, or anywhere if its path is absolute.

    Raises:
        FileNotFoundError: it is not there; says what the root holds, and what was expected.
    """
    path = Path(root, folder).expanduser()
    if not path.exists():
        found = sorted(entry.name + "/" * entry.is_dir() for entry in Path(root).iterdir())
        raise FileNotFoundError(f"There is no {folder} in {root}. Found: {shorten(found)}. Expected {expected}.")
    return open_tree(path, unpack_dir)


def key_files(tree: FileTree, suffixes: Sequence[str], ending: str = "", without: Folder | None = None) -> Folder:
    """The files with one of these suffixes whose names, without it, end in `ending`.

    They are keyed by their path without both: "train/aachen/aachen_0_leftImg8bit.png" by "train/aachen/aachen_0".
    Files of the folder `without` are not among them, be it within this one, around it or the same.
    """
    taken = set() if without is None else {f"{without.tree}/{name}" for name in without.names.values()}
    names = {}
    for name in tree.names:
        path = PurePosixPath(name)
        if f"{tree}/{name}" in taken:
            continue
        if path.suffix.lower() in suffixes and path.stem.endswith(ending):
            names[str(path.with_name(path.stem[: len(path.stem) - len(ending)]))] = name
    return Folder(tree, names)


def require_pairs(images: Folder, masks: Folder, keys_with_mask: Collection[str], expected: str) -> None:
    """Raise where no image has a mask.

    Raises:
        FileNotFoundError: says which files there are, and what was expected.
    """
    if images.names.keys().isdisjoint(keys_with_mask):
        raise FileNotFoundError(
            f"No image has a mask of the same name. Images in {images.tree}: {shorten(images.tree.names, 3)}. "
            f"Masks in {masks.tree}: {shorten(masks.tree.names, 3)}. Expected {expected}."
        )
