"""One picture as an array gives what a batch of tensors gives; a small object is not lost."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st

from clipseg_hf.processing.pixels import _shrink_mask
from clipseg_hf.processing.visual_prompts import HIGHLIGHTS, IMAGENET_MEAN, IMAGENET_STD, VisualPromptSettings
from clipseg_hf.processing.visual_prompts.arrays import draw_visual_prompt
from clipseg_hf.processing.visual_prompts.tensors import make_visual_prompt

sides = st.integers(1, 40)


@given(sides, sides, sides, sides, st.sampled_from(HIGHLIGHTS), st.booleans(), st.booleans(), st.integers(0, 10**6))
def test_arrays_and_tensors_agree(height, width, new_height, new_width, highlight, crop, blur, seed):
    numbers = np.random.default_rng(seed)
    image = numbers.normal(size=(3, height, width)).astype(np.float32)
    mask = (numbers.random((height, width)) > numbers.random()).astype(np.float32)
    if seed % 3 == 0:
        mask *= numbers.random((height, width), dtype=np.float32)
    mask[numbers.integers(height), numbers.integers(width)] = 1
    settings = VisualPromptSettings(crop=crop, context=0.1 * (seed % 6), blur=blur, highlight=highlight)
    size = (new_height, new_width) if crop or seed % 2 else None
    found = draw_visual_prompt(image, mask, size, settings, IMAGENET_MEAN, IMAGENET_STD)
    tensors = torch.from_numpy(image)[None], torch.from_numpy(mask)[None]
    expected = make_visual_prompt(*tensors, size, **settings.to_dict())[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_crop_needs_a_size():
    with pytest.raises(ValueError, match="Cropped visual prompts need a size"):
        draw_visual_prompt(
            np.zeros((3, 4, 4), np.float32), np.ones((4, 4)), None, VisualPromptSettings(), IMAGENET_MEAN, IMAGENET_STD
        )


@given(sides, sides, sides, sides, st.integers(0, 10**6))
def test_masks_shrink_as_in_torch(height, width, new_height, new_width, seed):
    for old, new in ((height, new_height), (width, new_width)):
        assume(all((2 * place + 1) * old % (2 * new) for place in range(new)))  # between two pixels, rounding decides
    numbers = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.float32)
    mask[numbers.integers(height, size=2), numbers.integers(width, size=2)] = 1  # often missed
    tensor = torch.from_numpy(mask)[None, None]
    expected = F.interpolate(tensor, (new_height, new_width), mode="nearest-exact")
    if not expected.any():
        expected = F.adaptive_max_pool2d(tensor, (new_height, new_width))
    assert np.array_equal(_shrink_mask(mask, (new_height, new_width)), expected[0, 0].numpy())
