"""Pascal VOC 2012 as it is unpacked."""

import os
from collections.abc import Sequence
from pathlib import Path

from clipseg_hf._text_files import read_text
from clipseg_hf.data.rows.file_trees import open_tree
from clipseg_hf.data.rows.row_source import shorten
from clipseg_hf.data.sources.classes import LEFT_OUT, make_class_table
from clipseg_hf.data.sources.folder_pairs import key_files
from clipseg_hf.data.sources.index_masks import PairedFiles
from clipseg_hf.data.sources.splits import by_official_order
from clipseg_hf.data.vocabulary.concepts import PASCAL_CLASSES

IGNORE_INDEX = 255  # the border around each thing


class VocFiles(PairedFiles):
    """Pascal VOC's semantic segmentation: `VOCdevkit/VOC2012` with JPEGImages, SegmentationClass and ImageSets.

    The 20 classes are called as the zero-shot protocol calls them ("dining table", "potted plant", "tv").

    Args:
        path: `VOCdevkit`, the folder that holds it, or a `VOC<year>` in it.
        year: Which, if there are several; the latest by default.
        masks: "SegmentationClass", or "SegmentationClassAug" for the extended set (with its own list of images).
        leave_out: Classes that are not made into phrases.
        unpack_dir: Where files of archives go that have to be unpacked.

    Raises:
        FileNotFoundError: a part of the layout is not there.
    """

    name = "voc"
    description = "Pascal VOC, semantic segmentation."

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        year: int | None = None,
        masks: str = "SegmentationClass",
        leave_out: Sequence[str] = LEFT_OUT,
        unpack_dir: str | os.PathLike,
    ):
        root = find_voc(path, year)
        if root is None:
            found = shorten([entry.name for entry in Path(path).iterdir()])
            raise FileNotFoundError(f"There is no VOCdevkit/VOC2012 in {path}. Found: {found}.")
        missing = [part for part in ("JPEGImages", masks, "ImageSets/Segmentation") if not (root / part).is_dir()]
        if missing:
            raise FileNotFoundError(
                f"{root} lacks {', '.join(missing)}; expected JPEGImages, {masks} and ImageSets/Segmentation. "
                f"Found: {shorten([entry.name for entry in root.iterdir()])}."
            )
        table = make_class_table(["background", *PASCAL_CLASSES], IGNORE_INDEX, left_out=leave_out)
        images = key_files(open_tree(root / "JPEGImages", unpack_dir), (".jpg",))
        mask_files = key_files(open_tree(root / masks, unpack_dir), (".png",))
        self._lists = {
            file.stem: read_text(file).split() for file in sorted((root / "ImageSets/Segmentation").glob("*.txt"))
        }
        super().__init__(images, mask_files, table, [repr(self._lists)])

    @property
    def splits(self) -> tuple[str, ...]:
        return by_official_order(self._lists)

    def keys(self, split: str) -> list[str]:
        return self._lists[split]


def find_voc(path: str | os.PathLike, year: int | None = None) -> Path | None:
    """The `VOC<year>` folder at, in or below `VOCdevkit` in a path; None where there is none.

    Raises:
        FileNotFoundError: a year is asked for that is not there.
    """
    path = Path(path).expanduser()
    places = [path, *path.glob("VOC[0-9]*"), *path.glob("VOCdevkit/VOC[0-9]*")]
    found = sorted((place for place in places if (place / "JPEGImages").is_dir()), key=lambda place: place.name)
    if year is not None:
        found = [place for place in found if place.name == f"VOC{year}"]
        if not found:
            raise FileNotFoundError(f"There is no VOC{year} in {path}; found: {shorten([p.name for p in places])}.")
    return found[-1] if found else None
