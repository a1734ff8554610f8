"""CVAT's "Segmentation mask": colours, and what they mean."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from clipseg_hf._text_files import read_text
from clipseg_hf.data.rows.file_trees import open_tree
from clipseg_hf.data.rows.row_source import IMAGE_SUFFIXES
from clipseg_hf.data.sources.classes import LEFT_OUT, make_class_table
from clipseg_hf.data.sources.folder_pairs import Folder, key_files, open_folder, require_pairs
from clipseg_hf.data.sources.index_masks import PairedFiles
from clipseg_hf.data.sources.splits import by_official_order, split_in_name

LAYOUT = "labelmap.txt, SegmentationClass/<name>.png and JPEGImages/<name>.jpg (or say where with images=)"


class CvatMaskFiles(PairedFiles):
    """Masks in colour as CVAT exports them ("Segmentation mask 1.1"), with their images.

    The images are in `JPEGImages` where they were exported too ("Save images"), else in `images` or beside the folder
    of masks. Splits are the lists of `ImageSets/Segmentation`; a list called otherwise ("default.txt") is "train".

    Args:
        path: Holds `labelmap.txt` and `SegmentationClass`.
        images: The folder of the images: within `path`, or anywhere.
        leave_out: Classes that are not made into phrases.
        unpack_dir: Where files of archives go that have to be unpacked.

    Raises:
        FileNotFoundError: a part of the layout is not there.
    """

    name = "cvat_masks"
    description = "Images with CVAT's segmentation masks."

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        images: str | os.PathLike | None = None,
        leave_out: Sequence[str] = LEFT_OUT,
        unpack_dir: str | os.PathLike,
    ):
        path = Path(path).expanduser()
        if not (path / "labelmap.txt").is_file():
            raise FileNotFoundError(f"There is no labelmap.txt in {path}. Expected {LAYOUT}.")
        masks = key_files(open_folder(path, "SegmentationClass", unpack_dir, LAYOUT), (".png",))
        if images is None:
            images = next((name for name in ("JPEGImages", "images") if (path / name).is_dir()), "")
        pictures = key_files(open_folder(path, images, unpack_dir, LAYOUT), IMAGE_SUFFIXES, without=masks)
        if not images:
            kept = {key: name for key, name in pictures.names.items() if not key.startswith("Segmentation")}
            pictures = Folder(pictures.tree, kept)
        require_pairs(pictures, masks, masks.names, LAYOUT)
        lists = open_tree(path, unpack_dir)
        self._lists: dict[str, list[str]] = {}
        for name in lists.names:
            if PurePosixPath(name).match("ImageSets/Segmentation/*.txt"):
                lines = read_text(lists.local_file(name)).split("\n")
                split = split_in_name(PurePosixPath(name).name) or "train"
                self._lists.setdefault(split, []).extend(line.strip() for line in lines if line.strip())
        table = make_class_table(path / "labelmap.txt", left_out=leave_out)
        super().__init__(pictures, masks, table, [repr(self._lists)])

    @property
    def splits(self) -> tuple[str, ...]:
        return by_official_order(self._lists or ["train"])

    def keys(self, split: str) -> list[str]:
        return self._lists[split] if self._lists else super().keys(split)


def is_cvat_masks(path: Path) -> bool:
    """Whether a folder has CVAT's list of colours and its masks."""
    return (path / "labelmap.txt").is_file() and (path / "SegmentationClass").is_dir()
