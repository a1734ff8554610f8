"""A folder of images, and for each phrase a folder of masks."""

import os
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.row_source import IMAGE_SUFFIXES, RowSource, check_image, in_shards
from clipseg_hf.data.rows.rows import make_phrase, make_row
from clipseg_hf.data.sources.folder_pairs import key_files, open_folder, require_pairs
from clipseg_hf.data.sources.mask_files import check_binary_mask
from clipseg_hf.data.sources.splits import by_official_order, split_of_folder

LAYOUT = "images/<name>.jpg and masks/<phrase>/<name>.png (or say where with images= and masks=)"


class MaskedImage(NamedTuple):
    """An image and the files of its masks by phrase."""

    key: str
    image: str
    masks: dict[str, str]


class BinaryMaskFiles(RowSource):
    """A folder of images, and a folder that holds a folder of masks for each phrase.

    A mask is white (or 1) where the phrase is true. An image need not have a mask for every phrase; one that has none
    is left out and counted. Splits may stand above both: `images/train/<name>.jpg` and
    `masks/train/<phrase>/<name>.png`.

    Args:
        path: Holds both folders.
        images, masks: The folders: within `path`, or anywhere.
        unpack_dir: Where files of archives go that have to be unpacked.

    Raises:
        FileNotFoundError: a folder is not there, or no mask belongs to an image.
    """

    name = "binary_masks"
    description = "Images with a mask for each phrase."

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        images: str | os.PathLike = "images",
        masks: str | os.PathLike = "masks",
        unpack_dir: str | os.PathLike,
    ):
        self.masks = key_files(open_folder(path, masks, unpack_dir, LAYOUT), IMAGE_SUFFIXES)
        image_tree = open_folder(path, images, unpack_dir, LAYOUT)
        self.images = key_files(image_tree, IMAGE_SUFFIXES, without=self.masks)
        self._by_split: dict[str, dict[str, dict[str, str]]] = {}  # split -> image's key -> phrase -> mask
        for key, mask in self.masks.names.items():
            split, phrase, image = _take_apart(key)
            self._by_split.setdefault(split, {}).setdefault(image, {})[phrase] = mask
        with_mask = {image for images in self._by_split.values() for image in images}
        require_pairs(self.images, self.masks, with_mask, LAYOUT)
        for image in self.images.names:
            self._by_split.setdefault(_split_of(image), {}).setdefault(image, {})

    @property
    def splits(self) -> tuple[str, ...]:
        return by_official_order(self._by_split)

    def fingerprint(self) -> str:
        trees = (self.images.tree, self.masks.tree)
        return digest(self.name, *(part for tree in trees for part in (str(tree), tree.fingerprint)))

    def shards(self, split: str, summary: BuildSummary) -> list[list[MaskedImage]]:
        items = []
        for key, masks in sorted(self._by_split[split].items()):
            if not masks:
                summary.note("no_annotation", self.images.names[key])
            elif key in self.images.names:
                items.append(MaskedImage(key, self.images.names[key], masks))
            else:
                summary.note("missing_image", f"that of mask {next(iter(masks.values()))}")
        return in_shards(items)

    def rows(self, split: str, shard: list[MaskedImage], summary: BuildSummary) -> Iterator[dict]:
        for item in shard:
            image = self.images.tree.image(item.image)
            frame = check_image(image, item.image, summary)
            if frame is None:
                continue
            masks = {
                phrase: check_binary_mask(self.masks.tree.image(name), name, item.image, frame, summary)
                for phrase, name in item.masks.items()
            }
            phrases = [
                make_phrase(phrase, mask, phrase_id=f"{item.key}__{phrase}")
                for phrase, mask in sorted(masks.items())
                if mask is not None
            ]
            yield make_row(image, item.key, frame.size, phrases)


def _take_apart(key: str) -> tuple[str, str, str]:
    """ "train/red_box/a/1" -> ("train", "red box", "train/a/1"), "red_box/1" -> ("train", "red box", "1")."""
    parts = PurePosixPath(key).parts
    folder = parts[:1] if len(parts) > 2 and split_of_folder(parts[0]) else ()
    phrase, *rest = parts[len(folder) :]
    image = "/".join([*folder, *rest])
    return _split_of(image), phrase.replace("_", " "), image


def _split_of(image: str) -> str:
    """ "val/a/1" -> "val", "a/1" -> "train"."""
    folder, slash, _ = image.partition("/")
    return (split_of_folder(folder) if slash else None) or "train"
