import numpy as np
import pytest
import torch

from clipseg_hf.data.sampling.augment import flip, jitter_colors


def test_jitter_without_strength_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    assert np.array_equal(jitter_colors(image, 0.0, torch.Generator()), image)


def test_jitter_by_hand():
    image = np.full((2, 2, 3), 100, np.uint8)  # grey and even: contrast and saturation have nothing to work on
    generator = torch.Generator().manual_seed(3)
    brightness = 1 + 0.5 * (2 * torch.rand(3, generator=torch.Generator().manual_seed(3))[0].item() - 1)
    jittered = jitter_colors(image, 0.5, generator)
    assert jittered.dtype == np.uint8
    assert np.unique(jittered) == pytest.approx([100 * brightness], abs=0.5)


def test_jitter_stays_in_range():
    image = np.tile(np.array([[[255, 0, 0]], [[0, 255, 255]]], np.uint8), (1, 3, 1))
    for seed in range(20):
        jittered = jitter_colors(image, 1.0, torch.Generator().manual_seed(seed))
        assert jittered.dtype == np.uint8
        assert jittered.shape == image.shape


def test_flip_mirrors_a_copy():
    mask = np.array([[[1, 0, 0]]], np.uint8)
    mirrored = flip(mask, axis=2)
    assert mirrored.tolist() == [[[0, 0, 1]]]
    mirrored[:] = 5
    assert mask.max() == 1
