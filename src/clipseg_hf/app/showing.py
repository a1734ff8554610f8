"""A result as the page shows it, and as files to take home."""

import io
import json
import shutil
import tempfile
import zipfile
from collections import deque
from html import escape
from pathlib import Path

from PIL import Image

from clipseg_hf.app.words import WORDS
from clipseg_hf.drawing.overlay import palette
from clipseg_hf.inference import Segmentation
from clipseg_hf.inference.saving import ResultWriter
from clipseg_hf.labels.index_masks import label_map_image

SIDE = 960  # of what is shown, in pixels: a phone and a desk do not show more
_KEPT_FILES = 64
Gallery = list[tuple[Image.Image, str]]


def legend(found: Segmentation, language: str, reduced_from: tuple[int, int] | None = None) -> str:
    """HTML: each prompt with the colour of its mask and what was found; and what size the picture was reduced from."""
    words, items = WORDS[language], []
    for number, (label, color) in enumerate(zip(found.labels, palette(len(found)), strict=True)):
        share = float(found.masks[number].mean())
        text = words["found"].format(score=found.scores[number], share=share) if share else words["not_found"]
        doubt = f" ({words['perhaps']})" if share and not found.is_present[number] else ""
        swatch = f'<span class="swatch" aria-hidden="true" style="background: rgb{color}"></span>'
        items.append(f"<li>{swatch}<b>{escape(label)}</b> <span>{escape(text + doubt)}</span></li>")
    note = ""
    if reduced_from:
        width, height = reduced_from
        most = "{} x {}".format(*found.image.size)
        note = f"<p>{escape(words['reduced'].format(width=width, height=height, most=most))}</p>"
    return f'<ul class="legend">{"".join(items)}</ul>{note}'


def complaint(message: str) -> str:
    """HTML: what a visitor has to mend; the place that a parser points at stays under its character."""
    return f'<p class="complaint">{escape(message)}</p>'


def show_overlay(found: Segmentation) -> Image.Image:
    """The masks in colour, without a legend: that is text beside it."""
    return found.overlay(legend=False, max_side=SIDE)


def show_heat_maps(found: Segmentation) -> Gallery:
    """One for each prompt."""
    return [(found.heat_map(number, max_side=SIDE), label) for number, label in enumerate(found.labels)]


def show_cutouts(found: Segmentation) -> Gallery:
    """What each mask shows, of those that found something."""
    pictures = [(found.cutout(number), label) for number, label in enumerate(found.labels) if found.masks[number].any()]
    for picture, _ in pictures:
        picture.thumbnail((SIDE, SIDE))
    return pictures


def show_label_map(found: Segmentation) -> Image.Image:
    """Each pixel in the colour of one prompt at most, on black."""
    picture = _label_map(found).convert("RGB")
    factor = SIDE / max(picture.size)
    width, height = (max(1, round(side * factor)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.NEAREST)


def _label_map(found: Segmentation) -> Image.Image:
    label_map = found.exclusive().label_map
    if label_map is None:
        raise RuntimeError("exclusive() has made no label map.")
    return label_map_image(label_map)


class Files:
    """Files to take home, in folders of their own; the oldest ones go when there are many."""

    def __init__(self) -> None:
        self._root = tempfile.TemporaryDirectory(prefix="clipseg-hf-app-")
        self._folders: deque[str] = deque()

    def write(self, found: Segmentation, kind: str, stem: str) -> str:
        """Write one file, at the picture's size; -> its path.

        Args:
            found: what is in it.
            kind: "overlay" (PNG), "masks" (a ZIP of PNGs: masks, cut-outs and the label map) or "json".
            stem: how its name begins.
        """
        folder = Path(tempfile.mkdtemp(dir=self._root.name))
        self._folders.append(str(folder))
        while len(self._folders) > _KEPT_FILES:
            shutil.rmtree(self._folders.popleft(), ignore_errors=True)
        if kind == "overlay":
            path = folder / f"{stem}_overlay.png"
            found.overlay().save(path)
        elif kind == "json":
            path = folder / f"{stem}.json"
            text = json.dumps({"image": stem, **found.to_dict(objects=True)}, indent=2, ensure_ascii=False)
            path.write_text(text + "\n", encoding="utf-8")
        else:
            path = folder / f"{stem}_masks.zip"
            writer = ResultWriter(folder / "files", [stem], found.labels, forms=("masks", "cutouts"))
            with zipfile.ZipFile(path, "w") as archive:
                for file in writer.write(0, found):
                    archive.write(file, file.name)
                labels = io.BytesIO()
                _label_map(found).save(labels, "PNG")
                archive.writestr(f"{stem}_labels.png", labels.getvalue())
        return str(path)
