import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipseg_hf.processing.visual_prompts import (
    VisualPromptSettings,
    crop_and_resize,
    dim_background,
    dye_red,
    gaussian_blur,
    make_visual_prompt,
    object_boxes,
    outline_red,
)

MODES = {
    "bg10": {"crop": False, "blur": False, "background": 0.1},
    "bg0": {"crop": False, "blur": False, "background": 0.0},
    "blur": {"crop": False, "background": 1.0},
    "blur_bg10": {"crop": False},
    "crop_small": {"blur": False, "background": 1.0, "size": 64},
    "crop_blur": {"background": 1.0, "size": 64},
    "crop_blur_bg10": {"size": (64, 64)},
    "red": {"crop": False, "highlight": "red"},
}


@pytest.fixture(scope="module")
def reference():
    path = Path(__file__).parents[2] / "fixtures" / "visual_prompts.npz"
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def scene(n=1, height=12, width=10):
    """Random pictures with a 3 x 4 object that moves from one to the next."""
    masks = torch.zeros(n, height, width, dtype=torch.bool)
    for i in range(n):
        masks[i, 2 + i : 5 + i, 1 + i : 5 + i] = True
    return torch.randn(n, 3, height, width), masks


@pytest.mark.parametrize("mode", MODES)
def test_equals_the_original_implementation(reference, mode):
    prompt = make_visual_prompt(reference["image"][None], reference["mask"][None], **MODES[mode])
    torch.testing.assert_close(prompt[0], reference[mode], atol=1e-6, rtol=0)


def test_the_defaults_are_the_methods_own():
    assert VisualPromptSettings().to_dict() == {
        "crop": True,
        "context": 0.1,
        "blur": True,
        "background": 0.1,
        "highlight": "dim",
        "outline_width": 3,
    }


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_equals_its_pictures_one_by_one(mode):
    images, masks = scene(4)
    options = {"size": 16} | MODES[mode]
    alone = [make_visual_prompt(images[i : i + 1], masks[i : i + 1], **options) for i in range(4)]
    torch.testing.assert_close(make_visual_prompt(images, masks, **options), torch.cat(alone))


def test_dimming_by_hand():
    images = torch.full((1, 3, 2, 2), 4.0)
    masks = torch.tensor([[[1, 0], [0, 0]]])
    expected = torch.tensor([[4.0, 1.0], [1.0, 1.0]])
    torch.testing.assert_close(dim_background(images, masks, 0.25)[0, 0], expected)  # a blur keeps a flat picture
    soft = masks * 0.5
    assert dim_background(images, soft, 0.0, blur=False)[0, 2].tolist() == [[2, 0], [0, 0]]


def test_boxes_by_hand():
    masks = torch.zeros(1, 20, 30)
    masks[0, 5:10, 10:20] = 1  # 5 high, 10 wide
    assert object_boxes(masks).tolist() == [[10, 5, 20, 10]]
    # 10 % of 10 and of 5, truncated: 9, 4.5 -> 4, 21, 10.5 -> 10
    assert object_boxes(masks, 0.1).tolist() == [[9, 4, 21, 10]]
    assert object_boxes(masks, 5.0).tolist() == [[0, 0, 30, 20]]


def test_a_crop_is_padded_to_a_square_the_smaller_half_before():
    image = torch.arange(1.0, 7.0).view(1, 1, 2, 3)  # 1 2 3 / 4 5 6
    crop = crop_and_resize(image, torch.tensor([[0, 0, 3, 2]]), 3)
    assert crop[0, 0].tolist() == [[1, 2, 3], [4, 5, 6], [0, 0, 0]]
    crop = crop_and_resize(image, torch.tensor([[1, 0, 2, 2]]), (2, 4))  # a frame of 2 x 4 around 2 x 1
    assert crop[0, 0].tolist() == [[0, 2, 0, 0], [0, 5, 0, 0]]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 50))
def test_resizing_is_torch_s_nearest_neighbour(height, width, size):
    image = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    box = torch.tensor([[0, 0, width, height]])
    expected = torch.nn.functional.interpolate(image, (size, size), mode="nearest")
    assert torch.equal(crop_and_resize(image, box, size, keep_aspect=False), expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (5, 7), (40, 33)])
def test_blur_mirrors_at_the_border_whatever_the_size(shape):
    image = torch.randn(2, 3, *shape, dtype=torch.float64)
    offsets = np.arange(-7, 8)
    weights = np.exp(-(offsets**2) / 18)
    weights = np.outer(weights, weights) / weights.sum() ** 2
    padded = np.pad(image.numpy(), ((0, 0), (0, 0), (7, 7), (7, 7)), mode="reflect")
    expected = sum(
        weights[y, x] * padded[..., y : y + shape[0], x : x + shape[1]] for y in range(15) for x in range(15)
    )
    torch.testing.assert_close(gaussian_blur(image), torch.from_numpy(expected))


def test_blur_keeps_the_sum_of_its_weights():
    assert torch.allclose(gaussian_blur(torch.ones(1, 1, 30, 30)), torch.ones(()))
    point = torch.zeros(1, 1, 31, 31)
    point[..., 15, 15] = 1
    assert gaussian_blur(point).sum().item() == pytest.approx(1, abs=1e-6)
    with pytest.raises(ValueError, match="kernel_size is odd and positive, got 4"):
        gaussian_blur(point, kernel_size=4)


def test_red_by_hand():
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    image = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1).expand(1, 3, 1, 2)
    dyed = dye_red(image, torch.tensor([[[1, 0]]]), mean, std)
    grey = 0.299 + 0.587 * 0.5
    torch.testing.assert_close(dyed[0, :, 0, 0], torch.tensor([grey, 0.2 * grey, 0.2 * grey]))
    torch.testing.assert_close(dyed[0, :, 0, 1], torch.tensor([grey, grey, grey]))


def test_an_outline_surrounds_the_object_and_leaves_the_rest():
    images, masks = scene()
    outlined = outline_red(images, masks, (0.0,) * 3, (1.0,) * 3, width=1)
    changed = (outlined != images).any(dim=1)[0]
    expected = torch.zeros(12, 10, dtype=torch.bool)
    expected[1:6, 0:6] = True
    expected[2:5, 1:5] = False
    assert torch.equal(changed, expected)
    assert outlined[0, :, 1, 0].tolist() == pytest.approx([1.0, 0.2, 0.2])
    whole = make_visual_prompt(images, masks, crop=False, highlight="outline", outline_width=1)
    assert torch.equal((whole != images).any(dim=1)[0], expected)


def test_without_changes_the_picture_stays():
    images, masks = scene()
    assert torch.equal(make_visual_prompt(images, masks, crop=False, blur=False, background=1.0), images)
    assert make_visual_prompt(images, masks, (8, 6), crop=False).shape == (1, 3, 8, 6)


def test_gradients_reach_the_pixels():
    images, masks = scene()
    images.requires_grad_()
    make_visual_prompt(images, masks, 16).sum().backward()
    assert images.grad.abs().sum() > 0


def test_mask_types_agree():
    images, masks = scene(2)
    prompts = [make_visual_prompt(images, masks.to(t), 16) for t in (torch.bool, torch.uint8, torch.float32)]
    assert torch.equal(prompts[0], prompts[1]) and torch.equal(prompts[0], prompts[2])


def test_speed_of_a_training_batch():
    # about 0.15 s on one idle core; the bound only catches a per-pixel loop
    images = torch.randn(8, 3, 352, 352)
    masks = torch.zeros(8, 352, 352, dtype=torch.bool)
    masks[:, 100:200, 50:300] = True
    start = time.perf_counter()
    make_visual_prompt(images, masks, 352)
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"masks": torch.zeros(2, 12, 10)}, ValueError, r"mask of visual prompt 0, 1 \(counted from 0\) is empty"),
        ({"masks": torch.zeros(2, 12, 9)}, ValueError, r"\(2, 12, 9\) do not fit images of shape \(2, 3, 12, 10\)"),
        ({"masks": torch.full((2, 12, 10), 255)}, ValueError, r"\[0, 1\], got 255 to 255; divide a 0/255 mask"),
        ({"masks": torch.full((2, 12, 10), torch.nan)}, ValueError, r"in \[0, 1\], got nan"),
        ({"images": torch.zeros(3, 12, 10)}, ValueError, r"shape \(N, 3, H, W\), got \(3, 12, 10\)"),
        ({"images": torch.zeros(2, 3, 12, 10).byte()}, TypeError, r"normalised images \(float\), got torch.uint8"),
        ({"size": None}, ValueError, r"Cropped visual prompts need a size"),
        ({"size": 0}, ValueError, r"at least 1 x 1, got 0 x 0"),
        ({"context": -0.1}, ValueError, r"context is a share of the object's size and not negative, got -0.1"),
        ({"background": 10}, ValueError, r"factor in \[0, 1\], got 10; the paper's 10 % is 0.1"),
        ({"highlight": "rde"}, ValueError, r"one of dim, red, outline; got 'rde'"),
        ({"outline_width": 0}, ValueError, r"at least 1, got 0"),
        ({"crop": "yes"}, TypeError, r"crop is True or False, got 'yes'"),
    ],
)
def test_errors_say_what_came_and_what_fits(change, error, message):
    images, masks = scene(2)
    arguments = {"images": images, "masks": masks, "size": 16} | change
    with pytest.raises(error, match=message):
        make_visual_prompt(**arguments)
