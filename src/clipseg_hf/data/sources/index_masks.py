"""A folder of images and a folder of masks in which each value is a class (Cityscapes, CamVid, ADE and the like)."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.row_source import IMAGE_SUFFIXES, RowSource, check_image, in_shards
from clipseg_hf.data.rows.rows import make_row
from clipseg_hf.data.sources.classes import CLASS_FILES, LEFT_OUT, ClassTable, make_class_table
from clipseg_hf.data.sources.folder_pairs import Folder, key_files, open_folder, require_pairs
from clipseg_hf.data.sources.mask_files import check_map
from clipseg_hf.data.sources.splits import by_official_order, split_of_folder

LOSSLESS_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")
LAYOUT = (
    "images/<name>.jpg, masks/<name>.png (or another format that loses nothing) and classes.txt or classes.json; or "
    "say where with images=, masks= and classes=, and what names end in with image_ending= and mask_ending="
)


class Pair(NamedTuple):
    """An image and its mask, by the names of their files."""

    image_id: str
    image: str
    mask: str


class PairedFiles(RowSource):
    """Rows of pairs of an image and an index mask.

    Args:
        images, masks: The files, paired by their keys.
        table: What the masks' values mean.
        identity: What else changes the rows, for the fingerprint.
    """

    def __init__(self, images: Folder, masks: Folder, table: ClassTable, identity: Sequence[str] = ()):
        self.images, self.masks, self.table = images, masks, table
        self._identity = tuple(identity)

    def fingerprint(self) -> str:
        trees = [part for folder in (self.images, self.masks) for part in (str(folder.tree), folder.tree.fingerprint)]
        table = (sorted(self.table.names.items()), sorted(self.table.ignored), self.table.left_out, self.table.colored)
        return digest(self.name, repr(table), *trees, *self._identity)

    def shards(self, split: str, summary: BuildSummary) -> list[list[Pair]]:
        pairs = []
        for key in self.keys(split):
            image, mask = self.images.names.get(key), self.masks.names.get(key)
            if image is None:
                summary.note("missing_image", f"that of mask {mask or key}")
            elif mask is None:
                summary.note("missing_mask", f"that of image {image}")
            else:
                pairs.append(Pair(key, image, mask))
        return in_shards(pairs)

    def keys(self, split: str) -> list[str]:
        """The keys of the images and masks that belong to a split."""
        return sorted(self.images.names.keys() | self.masks.names.keys())

    def rows(self, split: str, shard: list[Pair], summary: BuildSummary) -> Iterator[dict]:
        for pair in shard:
            image = self.images.tree.image(pair.image)
            frame = check_image(image, pair.image, summary)
            if frame is None:
                continue
            mask = check_map(self.masks.tree.image(pair.mask), pair.mask, pair.image, frame, summary, self.table.colors)
            phrases = None if mask is None else self.table.phrases(mask, pair.image_id, pair.mask, summary)
            if phrases == []:
                summary.note("no_annotation", f"{pair.image} (nothing but what is left out in {pair.mask})")
            elif phrases is not None:
                yield make_row(image, pair.image_id, frame.size, phrases)


class IndexMaskFiles(PairedFiles):
    """A folder of images and a folder of index masks.

    Images and masks are paired by their paths within the two folders, without suffix. Where all of them are in folders
    called train, val, test (or training, validation, ...), these are the splits; else there is one, "train".

    Args:
        path: Holds both folders.
        images, masks: The folders: within `path`, or anywhere.
        classes: See `classes.make_class_table`; by default the file of `CLASS_FILES` that is in `path`.
        ignore_index: The value or values of pixels that are not labelled; they count for no phrase.
        ignore_color: The colour of such pixels, for masks in colour.
        leave_out: Classes that are not made into phrases.
        image_ending, mask_ending: What stands between name and suffix ("_leftImg8bit", "_gtFine_labelIds").
        unpack_dir: Where files of archives go that have to be unpacked.

    Raises:
        FileNotFoundError: a folder or the classes are not there, or nothing in the folders can be paired.
    """

    name = "index_masks"
    description = "Images with index masks."

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        images: str | os.PathLike = "images",
        masks: str | os.PathLike = "masks",
        classes: Sequence[str] | Mapping | str | os.PathLike | None = None,
        ignore_index: int | Sequence[int] | None = None,
        ignore_color: Sequence[int] | None = None,
        leave_out: Sequence[str] = LEFT_OUT,
        image_ending: str = "",
        mask_ending: str = "",
        unpack_dir: str | os.PathLike,
    ):
        image_tree = open_folder(path, images, unpack_dir, LAYOUT)
        mask_tree = open_folder(path, masks, unpack_dir, LAYOUT)
        if len(image_ending) > len(mask_ending):  # in a folder of both, a name is what the longer ending says
            image_files = key_files(image_tree, IMAGE_SUFFIXES, image_ending)
            mask_files = key_files(mask_tree, LOSSLESS_SUFFIXES, mask_ending, without=image_files)
        else:
            mask_files = key_files(mask_tree, LOSSLESS_SUFFIXES, mask_ending)
            image_files = key_files(image_tree, IMAGE_SUFFIXES, image_ending, without=mask_files)
        require_pairs(image_files, mask_files, mask_files.names.keys(), LAYOUT)
        table = make_class_table(_find_classes(Path(path), classes), ignore_index, ignore_color, leave_out)
        super().__init__(image_files, mask_files, table)
        self._splits: dict[str, list[str]] = {}
        for key in super().keys(""):
            self._splits.setdefault(split_of_folder(PurePosixPath(key).parts[0]) or "", []).append(key)
        if "" in self._splits:
            self._splits = {"train": super().keys("")}

    @property
    def splits(self) -> tuple[str, ...]:
        return by_official_order(self._splits)

    def keys(self, split: str) -> list[str]:
        return self._splits[split]


def _find_classes(path: Path, classes):
    if classes is None:
        found = [path / name for name in CLASS_FILES if (path / name).is_file()]
        if not found:
            raise FileNotFoundError(
                f"What do the masks' values mean? There is no {', '.join(CLASS_FILES[:-1])} or {CLASS_FILES[-1]} in "
                f"{path}: give the names with classes=[...], in order of their values."
            )
        return found[0]
    if isinstance(classes, (str, os.PathLike)):
        return path / classes
    return classes
