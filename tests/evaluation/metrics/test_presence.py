"""AUROC of presence and the area marked for absent things."""

import math

import numpy as np
import pytest
import torch

from clipseg_hf.evaluation import PresenceScores, auroc


def test_auroc_by_hand():
    assert auroc([0.9, 0.8, 0.3, 0.1], [True, True, False, False]) == 1
    assert auroc([0.9, 0.2, 0.3, 0.1], [True, True, False, False]) == 3 / 4
    assert auroc([0.5, 0.5, 0.5], [True, False, False]) == 0.5
    assert auroc([0.1, 0.9], [True, False]) == 0
    assert math.isnan(auroc([0.1, 0.9], [True, True]))


def test_auroc_is_the_share_of_pairs_in_order():
    generator = np.random.default_rng(0)
    scores, present = generator.integers(0, 9, 60), generator.random(60) > 0.4
    pairs = scores[present][:, None] - scores[~present][None]
    assert auroc(scores, present) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())


def test_presence_by_hand():
    presence = PresenceScores()
    masks = torch.tensor([[[0.9, 0.1]], [[0.4, 0.2]], [[0.6, 0.1]], [[0.1, 0.1]]])
    presence.update(masks, present=[True, True, False, False])
    assert presence.compute() == {
        "present": 2,
        "absent": 2,
        "auroc": 3 / 4,
        "false_area_0.3": 1 / 4,  # half of one image, nothing of the other
        "false_masks_0.3": 1 / 2,
        "false_area_0.5": 1 / 4,
        "false_masks_0.5": 1 / 2,
    }


def test_pixels_that_do_not_count_are_no_false_area():
    presence = PresenceScores()
    masks = torch.tensor([[[0.9, 0.1, 0.1]], [[0.6, 0.6, 0.1]], [[0.6, 0.1, 0.1]]])
    ignore = torch.tensor([[[True, True, True]], [[True, False, False]], [[True, True, True]]])
    presence.update(masks, [True, False, False], ignore=ignore)
    result = presence.compute(at=(0.5,))
    assert (result["false_area_0.5"], result["false_masks_0.5"]) == (1 / 4, 1 / 2)  # 1 of 2, and 0 of none
    assert result["auroc"] == 1


def test_scores_of_your_own_and_merging():
    whole, first, second = PresenceScores(), PresenceScores(), PresenceScores()
    masks, present, scores = torch.rand(6, 3, 3), [True, False] * 3, [0.9, 0.1, 0.4, 0.5, 0.8, 0.2]
    whole.update(masks, present, scores)
    first.update(masks[::2], present[::2], scores[::2])
    second.update(masks[1::2], present[1::2], scores[1::2])
    assert second.merge(first).compute() == whole.compute()
    assert whole.compute()["auroc"] == pytest.approx(8 / 9)


def test_only_present_things_leave_nothing_to_say():
    presence = PresenceScores((0.3, 0.5))
    presence.update(torch.rand(2, 3, 3), [True, True])
    result = presence.compute()
    assert math.isnan(result["auroc"]) and math.isnan(result["false_area_0.3"]) and result["absent"] == 0


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="2 masks, 1 flags and 2 scores"):
        PresenceScores().update(torch.rand(2, 3, 3), [True])
    with pytest.raises(ValueError, match="two lists of equal length"):
        auroc([0.1], [True, False])
    with pytest.raises(ValueError, match="NaN as the score of sample 1"):
        auroc([0.1, float("nan")], [True, False])
