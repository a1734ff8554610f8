"""Operations on masks: pixels that a person can count, and laws for any mask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from clipseg_hf.processing.masks.operations import MaskOperations


def mask(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def drawn(found: np.ndarray) -> list[str]:
    return ["".join("#" if pixel else "." for pixel in row) for row in found]


RING = mask(
    "......#",
    ".####..",
    ".#..#..",
    ".#..#..",
    ".####..",
    ".......",
)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, drawn(RING)),
        ({"fill_holes": 3}, drawn(RING)),  # the hole has four pixels
        ({"fill_holes": 4}, ["......#", ".####..", ".####..", ".####..", ".####..", "......."]),
        ({"fill_holes": 4 / 42}, ["......#", ".####..", ".####..", ".####..", ".####..", "......."]),
        ({"min_area": 2}, [".......", ".####..", ".#..#..", ".#..#..", ".####..", "......."]),
        ({"min_area": 13}, ["......."] * 6),
        ({"fill_holes": 4, "erode": 1}, [".......", ".......", "..##...", "..##...", ".......", "......."]),
        (
            {"fill_holes": 4, "erode": 1, "dilate": 1},
            [".......", "..##...", ".####..", ".####..", "..##...", "......."],
        ),
        ({"min_area": 2, "dilate": 1}, [".####..", "######.", "######.", "######.", "######.", ".####.."]),
        ({"invert": True}, ["######.", "#....##", "#.##.##", "#.##.##", "#....##", "#######"]),
    ],
)
def test_operations_by_hand(options, expected):
    assert drawn(MaskOperations(**options).apply(RING)) == expected


def test_a_soft_border_is_half_at_the_edge_and_whole_inside():
    half = np.zeros((20, 40), bool)
    half[:, :20] = True
    soft = MaskOperations(feather=2).soften(half)
    assert soft.dtype == np.float32 and soft.shape == half.shape
    assert soft[10, 19] + soft[10, 20] == pytest.approx(1, abs=1e-4) and soft[10, 19] - soft[10, 20] < 0.25
    assert soft[10, 0] == pytest.approx(1, abs=1e-4) and soft[10, 39] == pytest.approx(0, abs=1e-4)
    np.testing.assert_array_equal(MaskOperations().soften(half), half)
    assert MaskOperations(feather=50).soften(np.ones((1, 2), bool)).min() == pytest.approx(1)  # wider than the picture


@pytest.mark.parametrize("name", ["fill_holes", "min_area", "erode", "dilate", "feather"])
def test_sizes_below_nothing_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} is a size of 0 or more, got -1"):
        MaskOperations(**{name: -1})


masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))


@given(masks, st.floats(0, 5))
def test_laws(given_mask, size):
    grown, shrunk = (MaskOperations(**{name: size}).apply(given_mask) for name in ("dilate", "erode"))
    assert (shrunk <= given_mask).all() and (given_mask <= grown).all()
    np.testing.assert_array_equal(shrunk, ~MaskOperations(dilate=size).apply(~given_mask))
    once = MaskOperations(erode=size, dilate=size)
    np.testing.assert_array_equal(once.apply(once.apply(given_mask)), once.apply(given_mask))  # an opening
    filled = MaskOperations(fill_holes=size).apply(given_mask)
    kept = MaskOperations(min_area=size).apply(given_mask)
    assert (kept <= given_mask).all() and (given_mask <= filled).all()
    np.testing.assert_array_equal(MaskOperations(invert=True).apply(given_mask), ~given_mask)
    assert MaskOperations(fill_holes=100).apply(np.pad(~given_mask, 1, constant_values=True)).all()
