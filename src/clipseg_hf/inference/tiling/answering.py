"""A question to a large picture, answered."""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from clipseg_hf.inference.question import Question
from clipseg_hf.inference.results import Segmentation
from clipseg_hf.inference.tiling.bands import Bands
from clipseg_hf.inference.tiling.settings import Tiling
from clipseg_hf.inference.tiling.stitching import Decode, ask_tiles
from clipseg_hf.processing.masks.guided_filter import GuidedFilter

KEPT_PIXELS = 1 << 22  # of each prompt's logits, 16 MB; 2048 x 2048


def answer_tiles(
    bands: Bands,
    question: Question,
    decode: Decode,
    tiling: Tiling,
    tile: tuple[int, int],
    threshold: float | Sequence[float] | None = None,
    guided_filter: GuidedFilter | None = None,
) -> Segmentation:
    """Ask a picture that is larger than a tile.

    Args:
        bands, decode, tiling, tile, guided_filter: see `ask_tiles`.
        threshold: as in a call of `Segmenter`.

    Returns:
        Masks and scores at the picture's own size. Logits at that size, too, up to `KEPT_PIXELS` a prompt, and shrunk
        to about so many beyond. Something is as present as in the tile where it is most so: a small thing is 1 % of a
        tile, but not of the picture.
    """
    height, width = bands.size
    thresholds = question.thresholds(threshold)
    bounds = np.array(thresholds, dtype=np.float32)[:, None, None]
    masks = np.empty((len(question.prompts), height, width), dtype=bool)
    inside, presence = np.zeros(len(masks)), np.zeros(len(question.kinds))
    kept = _Shrunk(len(masks), (height, width))
    for strip in ask_tiles(bands, decode, tiling, tile, guided_filter):
        logits = question.combine(strip.logits, threshold).astype(np.float32, copy=False)
        rows = slice(strip.top, strip.top + logits.shape[1])
        probabilities = expit(logits)
        masks[:, rows] = probabilities > bounds
        inside += np.where(masks[:, rows], probabilities, 0).sum((1, 2), dtype=np.float64)
        presence = np.maximum(presence, strip.presence)
        kept.add(strip.top, logits)
    combined = question.combine_presence(presence.tolist())
    return Segmentation(
        image=bands.image,
        labels=question.labels,
        kinds=question.answer_kinds,
        thresholds=thresholds,
        masks=masks,
        scores=(inside / np.maximum(1, masks.sum((1, 2)))).tolist(),
        presence=combined,
        is_present=[value > question.mask_thresholds["presence"] for value in combined],
        logits=kept.means(),
    )


class _Shrunk:
    """Takes maps of N x h x w numbers by strips, keeps the means of their blocks."""

    def __init__(self, maps: int, size: tuple[int, int]):
        scale = min(1.0, (KEPT_PIXELS / (size[0] * size[1])) ** 0.5)
        # the block of each row and of each column
        self.rows, self.columns = (np.arange(side) * max(1, round(side * scale)) // side for side in size)
        self.sums = np.zeros((maps, self.rows[-1] + 1, self.columns[-1] + 1), dtype=np.float32)

    def add(self, top: int, values: np.ndarray) -> None:
        rows, down = np.unique(self.rows[top : top + values.shape[1]], return_index=True)
        across = np.unique(self.columns, return_index=True)[1]
        self.sums[:, rows] += np.add.reduceat(np.add.reduceat(values, down, axis=1), across, axis=2)

    def means(self) -> np.ndarray:
        """(N, H, W) float32."""
        return self.sums / (np.bincount(self.rows)[:, None] * np.bincount(self.columns)).astype(np.float32)
