"""ReasonSeg's JSON, and what is written like it: a question or phrase for an image, and polygons of the answer."""

from collections.abc import Iterable
from pathlib import Path

from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.sources.annotation_tools.labelme import LabelMeFiles, is_labelme
from clipseg_hf.data.sources.annotation_tools.shapes import AnnotatedImage, Shape


class ReasonSegFiles(LabelMeFiles):
    """Images with a JSON file each: `text`, one or several sentences, and `shapes` as LabelMe has them.

    Each sentence means all shapes labelled "target" together; what is labelled "ignore" does not count, "flag" is left
    out, as in the authors' code. Folders called train, val or test are splits.

    Args:
        path: The folder.
        images: The folder of the images, if not in `path`.
        unpack_dir: Where files of archives go that have to be unpacked.

    Raises:
        FileNotFoundError: there are no JSON files.
    """

    name = "reasonseg"
    description = "Images with sentences and the regions that answer them."

    def clean(self, label: str) -> str:
        return " ".join(label.split())

    def shapes(self, item: AnnotatedImage, size: tuple[int, int], summary: BuildSummary) -> Iterable[Shape]:
        given = item.content.get("text")
        texts = [text for text in (given if isinstance(given, list) else [given]) if isinstance(text, str)]
        if not texts:
            summary.note("empty_phrase", item.where)
        for shape in super().shapes(item, size, summary):
            if shape.label == "ignore":
                yield shape
            elif shape.label != "flag":
                yield from (Shape(text, shape.mask) for text in dict.fromkeys(texts))


def is_reasonseg(path: Path) -> bool:
    """Whether a folder has JSON files like ReasonSeg's."""
    return is_labelme(path, (b'"shapes"', b'"is_sentence"'))
