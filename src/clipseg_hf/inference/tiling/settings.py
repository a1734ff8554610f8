"""How a picture is cut into tiles, and how much each of them says about a pixel."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from clipseg_hf.processing.sizes import input_size


@dataclass(frozen=True)
class Tiling:
    """Ask a large picture tile by tile, and once as a whole; a picture that fits one tile is asked once, as without.

    What tiles say is mixed where they overlap, each counting the more the farther a pixel lies from its edges, so that
    no seams show. Then it is mixed with the answer to the whole picture, shrunk to the model's size: logits are
    averaged, which multiplies the odds. A tile sees small things, but not what its pieces of large things belong to,
    nor that a thing is elsewhere; the whole is the reverse. An average keeps the model's thresholds, and lets the one
    that is sure overrule the one that is not.

    Attributes:
        tile_size: side of a tile in pixels of the picture; None: the model's own input, so that nothing is scaled.
            Smaller tiles enlarge things, larger ones are fewer.
        overlap: share of its side that a tile has at least in common with the next, in [0, 0.9]; 0 leaves seams.
        prior_weight: share of the answer to the whole picture, in [0, 1); 0 asks tiles alone.

    Raises:
        ValueError: a number out of range.
    """

    tile_size: int | None = None
    overlap: float = 0.25
    prior_weight: float = 0.15

    def __post_init__(self) -> None:
        if self.tile_size is not None and not (self.tile_size >= 16 and int(self.tile_size) == self.tile_size):
            raise ValueError(f"tile_size is a number of pixels of at least 16, or None, got {self.tile_size}.")
        if not 0 <= self.overlap <= 0.9:
            raise ValueError(f"overlap is a share of the tile in [0, 0.9], got {self.overlap}.")
        if not 0 <= self.prior_weight < 1:
            raise ValueError(
                f"prior_weight is a share in [0, 1), got {self.prior_weight}: at 1, tiles would say nothing."
            )

    def tile_for(self, picture: tuple[int, int], model_size: Mapping[str, int | None]) -> tuple[int, int]:
        """(height, width) of the tiles of a picture of (height, width), for a processor of this `size`."""
        sides = zip(input_size(model_size), picture, strict=True)
        height, width = (min(self.tile_size or own, whole) for own, whole in sides)
        return height, width


def tile_starts(length: int, tile: int, overlap: float) -> list[int]:
    """Where tiles begin along a side of `length` pixels: as few as can be, spread evenly from end to end."""
    step = max(1, int(tile * (1 - overlap)))
    count = 1 + max(0, -(-(length - tile) // step))
    return [round(number * (length - tile) / max(1, count - 1)) for number in range(count)]


def tile_weights(starts: list[int], length: int, tile: int) -> np.ndarray:
    """How much each tile counts at each of its pixels, by their distance from its edges.

    Returns:
        (tiles, tile) float32. At each pixel of the side, the weights of all tiles there add up to 1.
    """
    distance = np.minimum(np.arange(tile), np.arange(tile)[::-1]) + 0.5
    total = np.zeros(length)
    for start in starts:
        total[start : start + tile] += distance
    return np.stack([distance / total[start : start + tile] for start in starts]).astype(np.float32)
