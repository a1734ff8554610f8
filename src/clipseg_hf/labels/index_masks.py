"""One picture of numbers for each image out."""

from pathlib import Path

import numpy as np
from PIL import Image

from clipseg_hf.drawing.overlay import palette
from clipseg_hf.labels.labelled import LabelledImage, LabelWriter


class IndexMaskWriter(LabelWriter):
    """`images/`, `masks/` and `classes.txt`: 0 is background, each class has a number and a colour."""

    name = "index_masks"
    allowed = ("rle",)

    def add(self, image: LabelledImage, file: str) -> None:
        label_map = np.zeros(image.size, dtype=np.int64)
        for thing in image.objects:
            self.number(thing.label)
        for thing in sorted(image.objects, key=lambda thing: (thing.score or 0, -int(thing.mask.sum()))):
            label_map[thing.mask] = self.number(thing.label) + 1
        masks = self.folder / "masks"
        masks.mkdir(exist_ok=True)
        label_map_image(label_map).save(masks / Path(file).with_suffix(".png"))

    def close(self) -> None:
        text = "".join(f"{name}\n" for name in ["background", *self.numbers])
        (self.folder / "classes.txt").write_text(text, encoding="utf-8")


def label_map_image(label_map: np.ndarray) -> Image.Image:
    """(h, w) numbers -> a picture that holds them: with a palette that shows them in colour where they are below 256,
    else of 16 bits."""
    highest = int(label_map.max(initial=0))
    if highest > 255:
        return Image.fromarray(label_map.astype(np.uint16))
    picture = Image.fromarray(label_map.astype(np.uint8)).convert("P")
    picture.putpalette([0, 0, 0, *(part for color in palette(255) for part in color)])
    return picture
