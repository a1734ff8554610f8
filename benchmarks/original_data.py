"""How the original makes samples of PhraseCut, told in our own words: the baseline of `data.py`.

For each sample: the whole image is decoded; each polygon is drawn as a mask of the whole image by scikit-image; up to
50 random squares are tried; and, with supports, all of that again for the other image, whose visual prompt is made by
an OpenCV blur. (The text is left as a string. Here as there, it is tokenised later.)
"""

import json
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from skimage.draw import polygon2mask

from clipseg_hf.data.vocabulary.phrases import PREFIXES

SIZE = 352
TRIES = 50
ENOUGH = 0.05  # of the image's area
BACKGROUND = 0.1
CONTEXT = 0.1
NEGATIVES = 0.2
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


class OriginalSamples:
    """Samples of a PhraseCut folder, one phrase each.

    Args:
        folder: in the official layout.
        with_supports: draw a support for each phrase that occurs more than once.
    """

    def __init__(self, folder: Path, with_supports: bool, seed: int = 0):
        self.images = folder / "images"
        self.tasks = json.loads((folder / "refer_train.json").read_text())
        self.with_supports = with_supports
        self.random = np.random.default_rng(seed)
        self.same_phrase = defaultdict(list)
        for number, task in enumerate(self.tasks):
            self.same_phrase[task["phrase"]].append(number)

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, number: int) -> tuple:
        image, mask = self._load(number)
        phrase = self.tasks[number]["phrase"]
        if self.random.random() < NEGATIVES:
            while (other := self.tasks[self.random.integers(len(self.tasks))]["phrase"]) == phrase:
                pass
            phrase, mask = other, torch.zeros_like(mask)
        text = PREFIXES[self.random.integers(len(PREFIXES))].format(phrase)
        if not self.with_supports:
            return image, text, mask
        prompt = visual_prompt(*self._load(self.random.choice(self.same_phrase[phrase])))
        return image, text, mask, prompt, float(1 - self.random.uniform(0, 0.5))

    def _load(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised image (3, SIZE, SIZE) and mask (SIZE, SIZE) of a random crop."""
        task = self.tasks[number]
        pixels = np.asarray(Image.open(self.images / f"{task['image_id']}.jpg").convert("RGB"))
        height, width = pixels.shape[:2]
        mask = np.zeros((width, height), bool)
        for instance in task["Polygons"]:
            for polygon in instance:
                mask |= polygon2mask((width, height), np.array(polygon, dtype=int))
        mask = torch.from_numpy(mask.T.astype(np.float32))
        image = (torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255 - MEAN) / STD

        side, best, most = min(height, width), (0, 0), -1.0
        for _ in range(TRIES):
            top, left = (int(self.random.integers(extent - side + 1)) for extent in (height, width))
            shown = float(mask[top : top + side, left : left + side].sum())
            if shown > most:
                best, most = (top, left), shown
            if shown > ENOUGH * height * width:
                break
        rows, columns = (slice(start, start + side) for start in best)
        resize = torch.nn.functional.interpolate
        image = resize(image[None, :, rows, columns], (SIZE, SIZE), mode="bilinear", align_corners=True)[0]
        return image, resize(mask[None, None, rows, columns], (SIZE, SIZE), mode="nearest")[0, 0]


def visual_prompt(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Blur and dim what is not the object, cut it out with a little context, pad it to a square, resize it."""
    if not mask.any():
        return image
    pixels, inside = image.permute(1, 2, 0).numpy(), mask.numpy()[:, :, None]
    pixels = pixels * inside + BACKGROUND * cv2.GaussianBlur(pixels, (15, 15), 3) * (1 - inside)
    rows, columns = np.flatnonzero(mask.numpy().any(1)), np.flatnonzero(mask.numpy().any(0))
    (top, bottom), (left, right) = (
        (int(max(first - CONTEXT * (last + 1 - first), 0)), int(min(last + 1 + CONTEXT * (last + 1 - first), SIZE)))
        for first, last in ((rows[0], rows[-1]), (columns[0], columns[-1]))
    )
    cut = torch.from_numpy(np.ascontiguousarray(pixels[top:bottom, left:right])).permute(2, 0, 1)
    side = max(cut.shape[1:])
    square = torch.zeros(3, side, side)
    y, x = (side - cut.shape[1]) // 2, (side - cut.shape[2]) // 2
    square[:, y : y + cut.shape[1], x : x + cut.shape[2]] = cut
    return torch.nn.functional.interpolate(square[None], (SIZE, SIZE), mode="nearest")[0]


def collate(samples: list[tuple]) -> tuple:
    """Stack what are tensors, list what are texts."""
    return tuple(torch.stack(part) if torch.is_tensor(part[0]) else list(part) for part in zip(*samples, strict=True))
