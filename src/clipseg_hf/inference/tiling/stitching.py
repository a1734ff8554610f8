"""The answers to tiles, put together strip by strip."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from clipseg_hf.inference.tiling.bands import Bands
from clipseg_hf.inference.tiling.settings import Tiling, tile_starts, tile_weights
from clipseg_hf.processing.masks.guided_filter import GuidedFilter
from clipseg_hf.processing.plain.probabilities import presence_scores, resize_map

Decode = Callable[[Sequence[Image.Image]], Iterator[np.ndarray]]
"""Pictures of one size -> the (P, H, W) logits of each, at the model's size."""


@dataclass(frozen=True)
class Strip:
    """Rows of a picture that are final.

    Attributes:
        top: the first of them.
        logits: (P, rows, w) float32.
        presence: of each of P things in the tiles that end the strip; see `presence_scores`.
    """

    top: int
    logits: np.ndarray
    presence: list[float]


def ask_tiles(
    bands: Bands, decode: Decode, tiling: Tiling, tile: tuple[int, int], guided_filter: GuidedFilter | None = None
) -> Iterator[Strip]:
    """Ask a picture tile by tile, row of tiles by row of tiles.

    In memory are P x (height of a tile) x w numbers, however high the picture is, and the pixels of a row of tiles.

    Args:
        bands: the picture.
        decode: asks tiles.
        tiling: how they are put together.
        tile: (height, width) of a tile in pixels of the picture, at most the picture's.
        guided_filter: what lets the answer follow each tile's edges. Presence is of the model's own logits.
    """
    (height, width), (tile_height, tile_width) = bands.size, tile
    prior = next(iter(decode([bands.overview]))) if tiling.prior_weight else None
    tops, lefts = tile_starts(height, tile_height, tiling.overlap), tile_starts(width, tile_width, tiling.overlap)
    down, across = tile_weights(tops, height, tile_height), tile_weights(lefts, width, tile_width)
    open_rows: np.ndarray | None = None  # (P, tile_height, w): the tiles' answers so far, by their weights
    for number, top in enumerate(tops):
        band, presence = bands.read(top, top + tile_height), []
        tiles = [band.crop((left, 0, left + tile_width, tile_height)) for left in lefts]
        for left, weights, picture, logits in zip(lefts, across, tiles, decode(tiles), strict=True):
            columns = slice(left, left + tile_width)
            answer = logits
            if prior is not None:
                rows, sides = slice(top, top + tile_height), logits.shape[-2:]
                whole = _cut(prior, rows, columns, (height, width), sides)
                answer = (1 - tiling.prior_weight) * logits + tiling.prior_weight * whole
            scaled = _scale(answer, tile)
            presence.append(presence_scores(scaled))
            if guided_filter is not None:  # of both together: beside limited logits, the whole's own would win
                scaled = _scale(guided_filter.apply(answer, picture), tile)
            if open_rows is None:
                open_rows = np.zeros((len(logits), tile_height, width), dtype=np.float32)
            open_rows[:, :, columns] += down[number][:, None] * weights * scaled
        assert open_rows is not None  # there is a tile in every row
        done = (tops[number + 1] if number + 1 < len(tops) else height) - top
        yield Strip(top, open_rows[:, :done], np.max(presence, axis=0).tolist())
        open_rows = np.concatenate([open_rows[:, done:], np.zeros_like(open_rows[:, :done])], axis=1)


def _scale(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.stack([resize_map(one, size) for one in logits])


def _cut(logits: np.ndarray, rows: slice, columns: slice, size: tuple[int, int], to: tuple[int, int]) -> np.ndarray:
    """What a window of a picture of `size` has of the (P, H, W) logits of the whole, resized `to` (h, w)."""
    down, across = logits.shape[1] / size[0], logits.shape[2] / size[1]
    box = (
        columns.start * across,
        rows.start * down,
        min(columns.stop * across, logits.shape[2]),
        min(rows.stop * down, logits.shape[1]),
    )
    resized = (Image.fromarray(one).resize(to[::-1], Image.Resampling.BILINEAR, box) for one in logits)
    return np.stack([np.asarray(one) for one in resized])
