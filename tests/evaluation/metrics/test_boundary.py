"""Boundary IoU: rims by hand, and erosion against the plain definition."""

import math

import pytest
import torch

from clipseg_hf.evaluation.metrics.boundary import BoundaryScores, boundary_iou


def square(top, left, side, size=10):
    mask = torch.zeros(1, size, size, dtype=torch.bool)
    mask[0, top : top + side, left : left + side] = True
    return mask


def test_rims_by_hand():
    # 10 x 10 has a diagonal of 14.1: the rim is one pixel wide. A square of 5 has a rim of 16.
    assert boundary_iou(square(2, 2, 5), square(2, 2, 5)).tolist() == [1]
    shifted = boundary_iou(square(2, 2, 5), square(2, 3, 5))  # moved by one to the right
    # both horizontal sides share 4 pixels each; no vertical side does, but for the corners already counted
    assert shifted.tolist() == [pytest.approx(8 / (16 + 16 - 8))]


def test_a_hole_in_the_middle_is_seen_at_its_rim_only():
    whole, holed = square(1, 1, 8), square(1, 1, 8)
    holed[0, 4:6, 4:6] = False
    # rim of the whole: 64 - 36 = 28; the holed mask has the 12 pixels around the hole besides
    assert boundary_iou(holed, whole).tolist() == [pytest.approx(28 / 40)]


def test_the_border_of_the_image_is_an_edge():
    everything = torch.ones(1, 10, 10, dtype=torch.bool)
    assert boundary_iou(everything, square(1, 1, 8)).tolist() == [0]  # rims: outermost ring, and the next


def test_what_is_marked_where_nothing_counts_is_taken_for_right():
    scores, (larger, truth) = BoundaryScores(thresholds=(0.5,)), (square(1, 1, 7), square(2, 2, 5))
    scores.update(larger.float(), truth, larger & ~truth)
    scores.update(larger.float(), truth)
    assert scores.select([0]).compute() == {"boundary_iou_0.5": 1}
    assert scores.select([1]).compute()["boundary_iou_0.5"] == 0  # the rims lie side by side


def test_empty_masks():
    nothing = torch.zeros(2, 10, 10, dtype=torch.bool)
    assert boundary_iou(nothing, torch.cat([nothing[:1], square(2, 2, 5)])).tolist() == [1, 0]


@pytest.mark.parametrize("rim", [0.02, 0.1])
def test_equal_to_the_definition(rim):
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(5, 24, 31, generator=generator) > 0.1
    targets = torch.rand(5, 24, 31, generator=generator) > 0.1
    distance = max(1, round(rim * math.hypot(24, 31)))

    def ring(mask):
        eroded = mask
        for _ in range(distance):  # a 3 x 3 erosion at a time, outside of the image is outside of the mask
            padded = torch.nn.functional.pad(eroded.float()[:, None], (1, 1, 1, 1))
            eroded = -torch.nn.functional.max_pool2d(-padded, 3, stride=1)[:, 0] > 0.5
        return mask & ~eroded

    common, either = ring(masks) & ring(targets), ring(masks) | ring(targets)
    expected = common.flatten(1).sum(1) / either.flatten(1).sum(1)
    assert boundary_iou(masks, targets, rim).tolist() == pytest.approx(expected.tolist())


def test_scores_are_collected_selected_and_merged():
    scores, other = BoundaryScores((0.3, 0.5)), BoundaryScores((0.3, 0.5))
    scores.update(square(2, 2, 5) * 0.4, square(2, 2, 5))  # found at 0.3, not at 0.5
    other.update(square(2, 2, 5) * 0.9, square(2, 2, 5))
    assert scores.compute() == {"boundary_iou_0.3": 1, "boundary_iou_0.5": 0}
    assert scores.merge(other).compute() == {"boundary_iou_0.3": 1, "boundary_iou_0.5": 0.5}
    assert scores.select([1]).compute() == {"boundary_iou_0.3": 1, "boundary_iou_0.5": 1}
    assert len(scores) == 2
    assert math.isnan(BoundaryScores((0.5,)).compute()["boundary_iou_0.5"])
    assert BoundaryScores(()).compute() == {}


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="resize the probabilities to the targets' size first"):
        BoundaryScores().update(torch.rand(1, 4, 4), torch.ones(1, 8, 8))
    with pytest.raises(ValueError, match="Cannot merge boundary scores at"):
        BoundaryScores((0.5,)).merge(BoundaryScores((0.3,)))
