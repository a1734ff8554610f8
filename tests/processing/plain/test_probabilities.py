"""Arrays give what tensors give; and numbers that a person can compute."""

import numpy as np
import pytest
import torch

from clipseg_hf.processing import postprocessing
from clipseg_hf.processing.plain import probabilities as module
from clipseg_hf.processing.plain.probabilities import (
    find_mask,
    label_pixels,
    means_inside,
    presence_scores,
    resize_probabilities,
)

LOGITS = np.random.default_rng(0).normal(scale=3, size=(3, 24, 32)).astype(np.float32)


def test_by_hand():
    logits = np.array([[0, 0], [np.log(3), -np.log(3)]], dtype=np.float32)
    np.testing.assert_allclose(resize_probabilities(logits, (2, 2)), [[0.5, 0.5], [0.75, 0.25]], atol=1e-7)
    np.testing.assert_allclose(resize_probabilities(logits[1:], (1, 4)), [[0.75, 0.625, 0.375, 0.25]], atol=1e-7)
    mask, score = find_mask(logits, (2, 2), 0.4)
    assert mask.tolist() == [[True, True], [True, False]] and score == pytest.approx((0.5 + 0.5 + 0.75) / 3)
    assert find_mask(logits, (2, 2), 0.8)[1] == 0.0
    assert presence_scores(logits[None], share=0.25) == pytest.approx([0.75])
    found = label_pixels(np.stack([logits, -logits]), (2, 2), [0.5, 0.6])
    assert found.tolist() == [[0, 0], [1, 2]] and found.dtype == np.uint8
    many = label_pixels(np.stack([logits] * 299 + [logits + 1]), (2, 2), [0.5] * 300)
    assert many.max() == 300 and many.dtype == np.uint16


@pytest.mark.parametrize("size", [(24, 32), (101, 77), (12, 11), (13, 64), (3, 500)])
def test_as_with_tensors(size):
    tensors = torch.from_numpy(LOGITS)
    for one, expected in zip(LOGITS, postprocessing.resize_probabilities(tensors, size).numpy(), strict=True):
        np.testing.assert_allclose(resize_probabilities(one, size), expected, atol=1e-5)
    thresholds = [0.3, 0.5, 0.7]
    all_here = torch.zeros(3, dtype=torch.long)
    (expected,) = postprocessing.semantic_maps(tensors, all_here, [size], thresholds)
    assert (label_pixels(LOGITS, size, thresholds) != expected.numpy()).mean() < 1e-3
    (found,) = postprocessing.prompted_masks(tensors, all_here, [size], thresholds)
    for one, threshold, whole in zip(LOGITS, thresholds, found, strict=True):
        mask, score = find_mask(one, size, threshold)
        assert (mask != whole.mask.numpy()).mean() < 1e-3
        assert score == pytest.approx(whole.score, abs=1e-3)
    np.testing.assert_allclose(presence_scores(LOGITS), postprocessing.presence_scores(tensors), atol=1e-6)


@pytest.mark.parametrize("size", [(24, 32), (101, 77), (13, 64)])
def test_bands_give_what_the_whole_gives(size, monkeypatch):
    masks, label_map = [find_mask(one, size, 0.4) for one in LOGITS], label_pixels(LOGITS, size, [0.3, 0.5, 0.7])
    monkeypatch.setattr(module, "BAND_PIXELS", 7 * size[1])
    for one, (mask, score) in zip(LOGITS, masks, strict=True):
        found = find_mask(one, size, 0.4)
        assert (found[0] != mask).mean() < 1e-3  # the scale of a band is rounded in its own way
        assert found[1] == pytest.approx(score, abs=1e-3)
        nothing = np.zeros_like(mask)
        assert means_inside(one, [mask, nothing, mask]) == pytest.approx([score, 0, score], abs=1e-5)
        assert means_inside(one, [nothing]) == [0]
    assert (label_pixels(LOGITS, size, [0.3, 0.5, 0.7]) != label_map).mean() < 1e-3
    np.testing.assert_allclose(
        resize_probabilities(LOGITS[0], size, (5, 9)), resize_probabilities(LOGITS[0], size)[5:9], atol=1e-4
    )
