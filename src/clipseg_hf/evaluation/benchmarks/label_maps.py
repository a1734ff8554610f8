"""Pictures with a class number for every pixel: Pascal VOC's own files, or made of rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clipseg_hf._text_files import read_text
from clipseg_hf.data.rows.fingerprints import digest, digest_file
from clipseg_hf.data.rows.row_images import decode_image, undecoded
from clipseg_hf.data.rows.row_phrases import truth_of
from clipseg_hf.data.sources.voc import find_voc
from clipseg_hf.data.vocabulary.concepts import PASCAL_CLASSES
from clipseg_hf.data.vocabulary.phrases import concept_key
from clipseg_hf.processing.masks.mask_files import load_map
from clipseg_hf.processing.masks.rle import decode_rle

IGNORED = -1
BACKGROUND = 0
VOC_BORDER = 255


class LabelMap(NamedTuple):
    """One picture.

    Attributes:
        image_id: its name.
        image: (h, w, 3) uint8.
        labels: (h, w) int64: 0 for the background, k for the k-th class, -1 for pixels that do not count.
    """

    image_id: str
    image: np.ndarray
    labels: np.ndarray


class PascalVOC(Sequence):
    """Pascal VOC 2012's segmentation set, as it is unpacked.

        VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt
        VOCdevkit/VOC2012/JPEGImages/2007_000033.jpg
        VOCdevkit/VOC2012/SegmentationClass/2007_000033.png

    Args:
        folder: VOCdevkit, VOC2012 or the folder above them.
        split: "train", "val" or "trainval".
        limit: at most so many pictures, evenly spread.

    Raises:
        FileNotFoundError: the layout is another; says where to get the data.
    """

    classes = tuple(PASCAL_CLASSES)

    def __init__(self, folder: str | Path, split: str = "val", limit: int | None = None):
        folder = Path(folder)
        names = f"ImageSets/Segmentation/{split}.txt"
        root = find_voc(folder)
        if root is None or not (root / names).is_file():
            there = (
                ", ".join(sorted(path.name for path in folder.iterdir())[:8]) if folder.is_dir() else "no such folder"
            )
            raise FileNotFoundError(
                f"Pascal VOC 2012 was not found in {folder} (there: {there or 'nothing'}). Expected "
                f"VOCdevkit/VOC2012 with {names}, JPEGImages and SegmentationClass, as in VOCtrainval_11-May-2012.tar "
                "from http://host.robots.ox.ac.uk/pascal/VOC/voc2012/."
            )
        self.folder, self.split = root, split
        ids = read_text(self.folder / names).split()
        count = len(ids) if limit is None else min(limit, len(ids))
        self.image_ids = [ids[n * len(ids) // count] for n in range(count)]

    def __len__(self) -> int:
        return len(self.image_ids)

    def fingerprint(self) -> str:
        """16 digits that change with a picture's name or its labels."""
        labels = (self.folder / "SegmentationClass" / f"{image_id}.png" for image_id in self.image_ids)
        return digest(*self.image_ids, *map(digest_file, labels))

    def __getitem__(self, number: int) -> LabelMap:
        image_id = self.image_ids[number]
        labels = load_map(self.folder / "SegmentationClass" / f"{image_id}.png").astype(np.int64)
        labels[labels == VOC_BORDER] = IGNORED
        image = decode_image(self.folder / "JPEGImages" / f"{image_id}.jpg")[0]
        if image.shape[:2] != labels.shape:
            raise ValueError(f"Image {image_id} is {image.shape[:2]}, its label map {labels.shape} (height, width).")
        return LabelMap(image_id, image, labels)


class RowLabelMaps(Sequence):
    """Label maps made of rows: each pixel bears the class whose phrase marks it, the smallest mask where several do.
    What none marks is background, or does not count if it does not count for one of them.

    Args:
        rows: see `clipseg_hf.data.rows.rows`; bare names count, phrases with attributes or relations do not.
        classes: names, in the order of their numbers from 1.
    """

    def __init__(self, rows, classes: Sequence[str]):
        self.rows, self.classes = undecoded(rows), tuple(classes)
        self._numbers = {concept_key(name): number for number, name in enumerate(classes, start=1)}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> LabelMap:
        row = self.rows[number]
        named = [(self._numbers.get(bare_name(entry)), entry) for entry in row["phrases"]]
        masks = [(class_number, decode_rle(entry["mask"])) for class_number, entry in named if class_number]
        labels = np.full((row["height"], row["width"]), BACKGROUND, dtype=np.int64)
        ignored = truth_of(row["phrases"], [n for n, (class_number, _) in enumerate(named) if class_number]).ignored
        if ignored is not None:
            labels[ignored] = IGNORED
        for class_number, mask in sorted(masks, key=lambda pair: -np.count_nonzero(pair[1])):
            labels[mask] = class_number
        return LabelMap(row["image_id"], decode_image(row["image"])[0], labels)


def bare_name(entry: Mapping) -> str | None:
    """The key of a phrase's name where the phrase says nothing else, else None."""
    key = concept_key(entry["name"])
    return key if concept_key(entry["phrase"]) == key else None
