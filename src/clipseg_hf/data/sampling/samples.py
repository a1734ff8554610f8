"""What sampling makes of a row: an image with its prompts."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Support:
    """Another image that shows what a phrase means, to be made into a visual prompt.

    Attributes:
        image: (h, w, 3) uint8, the whole image, at about its own size (a large JPEG at half or less of it).
        mask: (h, w) bool, what the phrase names in it. Both are None if the sampler does not load supports.
        row, phrase_number: where it comes from; the key for caches of visual prompts.
    """

    image: np.ndarray | None
    mask: np.ndarray | None
    row: int
    phrase_number: int


@dataclass(frozen=True)
class PromptedSample:
    """One image and P prompts about it.

    Attributes:
        image: (H, W, 3) uint8 at the model's size.
        texts: P phrases, each in its template.
        phrases: P phrases without one.
        masks: (P, H, W) uint8: 1 on what the phrase names, 0 elsewhere, 255 (`IGNORED_LABEL`) where a pixel does not
            count.
        negative: (P,) bool: the phrase is not true of what is to be seen, its mask is empty.
        supports: P supports, None for prompts by text alone.
        image_prompt_weight: (P,) float32, the weight of the support in the mix; 0 where there is none.
        row, image_id: the row sampled.
        phrase_ids: P ids of the row's phrases that were drawn (for a negative: of the one that it replaced).
    """

    image: np.ndarray
    texts: list[str]
    phrases: list[str]
    masks: np.ndarray
    negative: np.ndarray
    supports: list[Support | None]
    image_prompt_weight: np.ndarray
    row: int
    image_id: str
    phrase_ids: list[str]


class SampleError(RuntimeError):
    """A row that cannot be made into a sample: its image is missing or broken, or does not fit its masks.

    Attributes:
        row: index of the row (None if it was raised in a worker process; the text names it).
        image_id: the row's own name for its image.
        cause: what is wrong.
    """

    def __init__(self, message: str, row: int | None = None, image_id: str | None = None, cause: str | None = None):
        super().__init__(message)  # alone, because a DataLoader makes a worker's error anew from its text
        self.row, self.image_id, self.cause = row, image_id, cause

    @classmethod
    def of(cls, row: int, image_id: str, cause: str) -> "SampleError":
        """The error of a row, with the text that goes with it."""
        return cls(f"Row {row} (image {image_id!r}) cannot be sampled: {cause}", row, image_id, cause)
