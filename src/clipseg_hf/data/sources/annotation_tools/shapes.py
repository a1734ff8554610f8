"""What all annotation tools' files say: shapes with labels on images, of which rows are made."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from clipseg_hf.data.rows.file_trees import FileTree
from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.foreign_paths import FileFinder
from clipseg_hf.data.rows.frames import turn_phrase
from clipseg_hf.data.rows.row_source import RowSource, check_image, is_image_name, shorten
from clipseg_hf.data.rows.rows import make_phrase, make_row
from clipseg_hf.data.sources.classes import LEFT_OUT, NOT_COUNTED, clean_name
from clipseg_hf.data.sources.coco_annotations import unite_masks
from clipseg_hf.data.vocabulary.phrases import phrase_key


class Shape(NamedTuple):
    """A label, and run lengths as pycocotools has them: `{"size": [height, width], "counts": bytes or text}`."""

    label: str
    mask: dict


class AnnotatedImage(NamedTuple):
    """An image and what is annotated in it.

    Attributes:
        image_id: The row's.
        image: As `FileTree.image` gives it.
        where: How a user would look for the image.
        size: (height, width) as the annotation says it; None where it does not.
        content: The annotation, as the format has it.
    """

    image_id: str
    image: dict
    where: str
    size: tuple[int, int] | None
    content: Any


class ShapeFiles(RowSource):
    """Rows of images with shapes; what several shapes with one label cover is united.

    A label is read as a class's name ("dining_table" is "dining table"). Shapes called background, void, ignore or the
    like are no phrases, and what is called void or ignore does not count for the others, see `sources.classes`.
    """

    def clean(self, label: str) -> str:
        """What a label means as a phrase."""
        return clean_name(label)

    @abstractmethod
    def annotated(self, split: str, shard: Any, summary: BuildSummary) -> Iterator[AnnotatedImage]:
        """The images of a shard."""

    @abstractmethod
    def shapes(self, item: AnnotatedImage, size: tuple[int, int], summary: BuildSummary) -> Iterable[Shape]:
        """What is annotated in an image, at the (height, width) of the annotation; notes what cannot be read."""

    def rows(self, split: str, shard: Any, summary: BuildSummary) -> Iterator[dict]:
        for item in self.annotated(split, shard, summary):
            frame = check_image(item.image, item.where, summary, item.size)
            if frame is None:
                continue
            if item.size is None and frame.orientation != 1:
                summary.note("unclear_frame", f"{item.where} (its annotation says no size)")
            size = item.size or frame.size
            orientation = 1 if size == frame.size else frame.orientation
            noted = summary.flaws.total()
            shapes = (Shape(self.clean(label), mask) for label, mask in self.shapes(item, size, summary))
            phrases = make_phrases(shapes, item.image_id, item.where, size, summary)
            if not phrases and summary.flaws.total() == noted:
                summary.note("no_annotation", item.where)
            else:
                turned = [turn_phrase(phrase, orientation) for phrase in phrases]
                yield make_row(item.image, item.image_id, frame.size, turned)


def make_phrases(
    shapes: Iterable[Shape], image_id: str, where: str, size: tuple[int, int], summary: BuildSummary
) -> list[dict]:
    """Make the entries of a row's `phrases`, one for each label, in the order in which the labels come."""
    from pycocotools import mask as coco

    groups: dict[str, list[Shape]] = {}
    for label, mask in shapes:
        if not label:
            summary.note("empty_phrase", where)
        elif not coco.area(mask):
            summary.note("empty_mask", f"{label!r} in {where}")
        else:
            groups.setdefault(phrase_key(label), []).append(Shape(label, mask))
    uncounted = [shape.mask for group in groups.values() for shape in group if shape.label.casefold() in NOT_COUNTED]
    ignore = unite_masks(uncounted, *size) if uncounted else None
    phrases = []
    for number, group in enumerate(groups.values()):
        masks = [shape.mask for shape in group]
        if group[0].label.casefold() not in LEFT_OUT:
            mask, boxes = unite_masks(masks, *size), [coco.toBbox(mask).tolist() for mask in masks]
            phrase_id = f"{image_id}__{number}"
            phrases.append(make_phrase(group[0].label, mask, phrase_id=phrase_id, boxes=boxes, ignore=ignore))
    return phrases


class ImageFinder:
    """The images of a tree, found by the paths that annotations give them.

    Raises:
        FileNotFoundError: the tree has no images; says what it has, and what was expected.
    """

    def __init__(self, tree: FileTree, expected: str):
        self.names = [name for name in tree.names if is_image_name(name)]
        if not self.names:
            raise FileNotFoundError(
                f"There are no images in {tree}. Found: {shorten(tree.names)}. Expected {expected}; "
                "if they are elsewhere, say where with images=."
            )
        self._finder = FileFinder(self.names)

    def find(self, wanted: str, folder: str, where: str, summary: BuildSummary) -> str | None:
        """The image that an annotation in a folder names; None, and a note, where none or several may be meant."""
        found = self._finder.find(wanted, "" if folder == "." else folder)
        if len(found.names) == 1:
            if found.is_foreign:
                summary.note("foreign_path", f"{wanted}, taken for {found.names[0]} ({where})")
            return found.names[0]
        doubt = f", which could be {' or '.join(found.names[:3])}" if found.names else ""
        summary.note("missing_image", f"{wanted}{doubt} ({where})")
        return None
