import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from clipseg_hf.processing import label_objects, mask_to_box, mask_to_polygons, split_objects
from clipseg_hf.processing.masks.outlines import mask_to_rings

masks = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.booleans())


def corners(polygon):
    return np.array(polygon).reshape(-1, 2)


def area(polygon):
    x, y = corners(polygon).T
    return abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def filled(polygons, shape):
    """Even-odd rule at the pixels' centres."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    crossings = np.zeros(shape, int)
    for polygon in polygons:
        ring = corners(polygon)
        for (x, y), (_, below) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            crossings += ((y > rows) != (below > rows)) & (x > columns)
    return crossings % 2 == 1


def test_box_by_hand():
    mask = np.zeros((6, 8), bool)
    mask[1:3, 2:7] = True
    assert mask_to_box(mask) == mask_to_box(torch.from_numpy(mask)) == [2, 1, 5, 2]
    assert mask_to_box(np.zeros((3, 3), np.uint8)) is None


def test_polygon_of_a_rectangle():
    mask = np.zeros((6, 8), bool)
    mask[1:3, 2:7] = True
    (polygon,) = mask_to_polygons(mask)
    assert {tuple(corner) for corner in corners(polygon)} == {(2, 1), (7, 1), (7, 3), (2, 3)}
    assert len(polygon) == 8


def test_a_hole_is_joined_by_a_slit():
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    (polygon,) = mask_to_polygons(mask)
    assert area(polygon) == 24 and (filled([polygon], mask.shape) == mask).all()


@given(masks)
def test_rings_are_exact_and_simple(mask):
    parts = mask_to_rings(mask)
    assert (filled([ring for part in parts for ring in part], mask.shape) == mask).all()
    assert len(parts) == label_objects(mask)[1]
    for outline, *holes in parts:
        assert all(len(set(map(tuple, ring.tolist()))) == len(ring) for ring in (outline, *holes))
        inside = filled([outline], mask.shape)
        assert all((filled([hole], mask.shape) <= inside).all() for hole in holes)


def test_a_part_that_bites_its_tail_has_a_hole():
    mask = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]])
    [[outline, hole]] = mask_to_rings(mask)
    assert hole.tolist() in np.array([[1, 1], [1, 2], [2, 2], [2, 1]])[np.arange(4) - np.arange(4)[:, None]].tolist()
    assert len(outline) == 6 and area(outline.ravel().tolist()) == 8


def test_parts_that_touch_by_a_corner_are_two():
    mask = np.array([[1, 0], [0, 1]])
    assert len(mask_to_polygons(mask)) == 2 and label_objects(mask)[1] == 2
    assert mask_to_polygons(np.zeros((2, 2))) == [] and split_objects(np.zeros((2, 2))) == []


@given(masks)
def test_polygons_are_exact(mask):
    polygons = mask_to_polygons(mask)
    assert (filled(polygons, mask.shape) == mask).all()
    assert sum(area(polygon) for polygon in polygons) == mask.sum()


@given(masks)
def test_polygons_are_exact_for_pycocotools(mask):
    from pycocotools import mask as coco

    polygons = [[float(value) for value in polygon] for polygon in mask_to_polygons(mask)]
    if polygons:
        rle = coco.merge(coco.frPyObjects(polygons, *mask.shape))
        assert (coco.decode(rle).astype(bool) == mask).all()


@given(masks)
def test_parts_are_those_of_scipy(mask):
    from scipy import ndimage

    expected, count = ndimage.label(mask)
    labels, found = label_objects(mask)
    assert found == count and np.array_equal(labels, expected)
    parts = split_objects(mask)
    assert [part.sum() for part in parts] == sorted(np.bincount(expected.ravel())[1:], reverse=True)
    assert np.array_equal(np.sum(parts, axis=0, initial=0) > 0, mask) if parts else not mask.any()
    assert all(part.sum() >= 3 for part in split_objects(mask, min_area=3))


def test_one_mask_of_zeros_and_ones():
    with pytest.raises(ValueError, match=r"one mask of shape \(height, width\), got shape \(1, 2, 2\)"):
        mask_to_box(np.zeros((1, 2, 2)))
    with pytest.raises(ValueError, match=r"mask of 0 and 1, got values up to 255: threshold it first"):
        mask_to_polygons(np.full((2, 2), 255))
