"""Losses: numbers to compute by hand, ignored pixels, and labels of all kinds."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from clipseg_hf.modeling import segmentation_loss
from clipseg_hf.modeling.loss import LOSSES

LOGIT_3 = math.log(3)  # sigmoid of it is 3/4


@pytest.mark.parametrize(
    ("loss_type", "expected"),
    [
        ("bce", -(math.log(3 / 4) + math.log(1 / 4)) / 2),
        # alpha (1 - p_true)^2 times the cross-entropy: 1/4 (1/4)^2 and 3/4 (3/4)^2
        ("focal", -(1 / 4 * (1 / 4) ** 2 * math.log(3 / 4) + 3 / 4 * (3 / 4) ** 2 * math.log(1 / 4)) / 2),
        ("dice", 1 - (2 * 3 / 4 + 1) / (3 / 2 + 1 + 1)),
        ("bce_dice", -(math.log(3 / 4) + math.log(1 / 4)) / 2 + 1 - (3 / 2 + 1) / (5 / 2 + 1)),
    ],
)
def test_two_pixels_by_hand(loss_type, expected):
    logits = torch.tensor([[[LOGIT_3, LOGIT_3]]])  # probabilities 3/4, 3/4
    labels = torch.tensor([[[1, 0]]])
    assert segmentation_loss(logits, labels, loss_type).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("loss_type", sorted(LOSSES))
def test_an_ignored_pixel_changes_nothing_and_gets_no_gradient(loss_type):
    plain = segmentation_loss(torch.tensor([[[LOGIT_3, LOGIT_3]]]), torch.tensor([[[1, 0]]]), loss_type)
    logits = torch.tensor([[[LOGIT_3, LOGIT_3, 7.0]]], requires_grad=True)
    loss = segmentation_loss(logits, torch.tensor([[[1, 0, 255]]]), loss_type, ignore_index=255)
    loss.backward()
    assert loss.item() == pytest.approx(plain.item(), abs=1e-6)
    assert logits.grad[0, 0, 2] == 0
    assert logits.grad[0, 0, 0] != 0


@pytest.mark.parametrize("loss_type", sorted(LOSSES))
def test_nothing_but_ignored_pixels_is_no_loss(loss_type):
    logits = torch.randn(2, 3, 3, requires_grad=True)
    loss = segmentation_loss(logits, torch.full((2, 3, 3), 255), loss_type, ignore_index=255)
    loss.backward()
    assert loss == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("loss_type", sorted(LOSSES))
def test_the_loss_of_many_masks_is_the_mean_of_its_parts_whatever_is_left_out(loss_type):
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(6, 4, 5, generator=generator), torch.randint(0, 2, (6, 4, 5), generator=generator)
    labels[1, :3], labels[2], labels[4, 0] = 255, 255, 255
    whole = segmentation_loss(logits, labels, loss_type, ignore_index=torch.tensor(255))
    parts = [segmentation_loss(logits[i : i + 2], labels[i : i + 2], loss_type, ignore_index=255) for i in (0, 2, 4)]
    assert torch.stack(parts).mean().item() == pytest.approx(whole.item(), rel=1e-6)


def test_nan_can_mark_ignored_pixels_by_its_own_number_only():
    labels = torch.tensor([[[1.0, -1.0]]])
    assert segmentation_loss(torch.zeros(1, 1, 2), labels, ignore_index=-1).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32, torch.float16])
def test_labels_of_any_type(dtype):
    labels = torch.tensor([[[1, 0], [0, 1]]])
    logits = torch.randn(1, 2, 2)
    assert torch.equal(segmentation_loss(logits, labels.to(dtype)), segmentation_loss(logits, labels))


def test_soft_labels_are_targets_in_between():
    loss = segmentation_loss(torch.tensor([[[LOGIT_3]]]), torch.tensor([[[0.25]]]))
    assert loss.item() == pytest.approx(-(0.25 * math.log(3 / 4) + 0.75 * math.log(1 / 4)), abs=1e-6)


def test_logits_are_resized_to_labels_of_another_size():
    logits, labels = torch.randn(2, 4, 6), torch.rand(2, 7, 5).round()
    resized = F.interpolate(logits[None], (7, 5), mode="bilinear", align_corners=False)[0]
    assert torch.equal(segmentation_loss(logits, labels), segmentation_loss(resized, labels))


def test_half_precision_logits_give_a_float32_loss():
    assert segmentation_loss(torch.zeros(1, 2, 2, dtype=torch.bfloat16), torch.ones(1, 2, 2)).dtype == torch.float32


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(3, 2, 2), r"labels have the shape \(3, 2, 2\), expected \(2, height, width\)"),
        (torch.zeros(2, 1, 2, 2), r"labels have the shape \(2, 1, 2, 2\), expected \(2, height, width\)"),
        (torch.full((2, 2, 2), 255), r"from 255 to 255, expected values in \[0, 1\]: divide a 0/255 mask by 255"),
        (torch.full((2, 2, 2), -0.5), r"from -0.5 to -0.5"),
        (torch.full((2, 2, 2), math.nan), r"labels hold NaN"),
    ],
)
def test_labels_that_cannot_be(labels, message):
    with pytest.raises(ValueError, match=message):
        segmentation_loss(torch.zeros(2, 2, 2), labels)


def test_values_outside_of_the_range_are_found_beside_ignored_ones():
    with pytest.raises(ValueError, match=r"from 0 to 2, .*ignore_index \(now 255\)"):
        segmentation_loss(torch.zeros(1, 1, 3), torch.tensor([[[0, 2, 255]]]), ignore_index=255)


def test_an_unknown_loss_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match='loss_type="jaccard" is unknown, choose one of bce, bce_dice, dice, focal'):
        segmentation_loss(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), "jaccard")


@given(st.sampled_from(sorted(LOSSES)), st.integers(0, 10_000))
def test_losses_are_finite_positive_and_smallest_where_right(loss_type, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.rand(2, 3, 4, generator=generator).round()
    logits = 3 * torch.randn(2, 3, 4, generator=generator)
    loss = segmentation_loss(logits, labels, loss_type)
    right = segmentation_loss(20 * (2 * labels - 1), labels, loss_type)
    assert torch.isfinite(loss)
    assert 0 <= right < loss
