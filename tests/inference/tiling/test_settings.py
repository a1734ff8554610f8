"""Where tiles lie, and how much they count."""

import numpy as np
import pytest

from clipseg_hf.inference import Segmenter, Tiling
from clipseg_hf.inference.tiling.settings import tile_starts, tile_weights


def test_tiles_reach_from_end_to_end():
    assert tile_starts(100, 100, 0.25) == [0]
    assert tile_starts(100, 40, 0.0) == [0, 30, 60]  # as few as can be, evenly
    assert tile_starts(80, 40, 0.0) == [0, 40]
    assert tile_starts(80, 40, 0.5) == [0, 20, 40]
    for length in range(40, 400, 7):
        starts = tile_starts(length, 40, 0.25)
        assert (starts[0], starts[-1]) == (0, length - 40)
        assert max(np.diff(starts), default=0) <= 30


def test_weights_add_up_to_one_and_fade_towards_edges():
    np.testing.assert_allclose(tile_weights([0, 2], 6, 4), [[1, 1, 0.75, 0.25], [0.25, 0.75, 1, 1]])
    starts = tile_starts(1000, 64, 0.6)
    total = np.zeros(1000)
    for start, weights in zip(starts, tile_weights(starts, 1000, 64), strict=True):
        total[start : start + 64] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_tiles_have_the_models_size_unless_told_otherwise():
    fixed, by_edge = {"height": 352, "width": 224}, {"shortest_edge": 352, "height": None}
    assert Tiling().tile_for((1000, 2000), fixed) == (352, 224)
    assert Tiling().tile_for((1000, 2000), by_edge) == (352, 352)
    assert Tiling(tile_size=512).tile_for((1000, 300), fixed) == (512, 300)


def test_errors(checkpoint):
    with pytest.raises(ValueError, match=r"tile_size is a number of pixels of at least 16, or None, got 8\."):
        Tiling(tile_size=8)
    with pytest.raises(ValueError, match=r"overlap is a share of the tile in \[0, 0\.9\], got 1\."):
        Tiling(overlap=1)
    with pytest.raises(
        ValueError, match=r"prior_weight is a share in \[0, 1\), got 1: at 1, tiles would say nothing\."
    ):
        Tiling(prior_weight=1)
    with pytest.raises(TypeError, match=r"tiling is a Tiling\(\.\.\.\) or None, got True\."):
        Segmenter.from_pretrained(checkpoint, device="cpu", tiling=True)
