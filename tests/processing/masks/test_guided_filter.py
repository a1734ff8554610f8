"""The guided filter, by hand and as an option of post-processing."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from clipseg_hf import CLIPSegProcessor
from clipseg_hf.processing.masks.guided_filter import brightness_of, guide_logits, guided_filter


def step_at(column: int, low: float, high: float, width: int = 16) -> torch.Tensor:
    """(1, 8, width), which rises at a column."""
    return torch.where(torch.arange(width) < column, low, high).expand(1, 8, width)


def test_a_line_of_the_brightness_comes_back():
    guide = torch.rand(1, 8, 16)
    found = guided_filter(3 * guide - 1, guide, radius=2, eps=1e-9)
    torch.testing.assert_close(found, 3 * guide - 1, atol=1e-3, rtol=0)


def test_a_flat_picture_averages():
    logits = torch.zeros(1, 5, 5)
    logits[0, 2, 2] = 81.0
    found = guided_filter(logits, torch.full((1, 5, 5), 0.5), radius=1)
    assert found[0, 2, 2].item() == pytest.approx(9 * (81 / 9) / 9)  # the mean of nine means, each of which sees it
    corner = 81 / 9 / 4  # of the corner's four means one sees it
    assert found[0, 0, 0].item() == pytest.approx(corner)


def test_masks_move_to_the_picture_s_edge():
    logits, guide = step_at(6, -3.0, 3.0), step_at(8, 0.1, 0.9)
    found = guided_filter(logits, guide, radius=3, eps=1e-4)
    assert ((found > 0) == (guide > 0.5)).float().mean() > ((logits > 0) == (guide > 0.5)).float().mean()


def test_brightness_is_that_of_television():
    image = torch.tensor([[[255, 255, 255], [0, 255, 0]]], dtype=torch.uint8)
    torch.testing.assert_close(brightness_of(image, (1, 2)), torch.tensor([[1.0, 0.587]]))
    assert brightness_of(image.expand(4, 2, 3), (8, 6)).shape == (8, 6)


def test_what_does_not_fit_is_refused():
    logits = torch.zeros(2, 4, 4)
    with pytest.raises(ValueError, match=r"both \(N, H, W\), got \(2, 4, 4\) and \(2, 5, 4\): resize"):
        guided_filter(logits, torch.zeros(2, 5, 4))
    with pytest.raises(ValueError, match=r"radius of at least 1 and an eps above 0, got 0 and 0\.1"):
        guided_filter(logits, logits, radius=0, eps=0.1)
    with pytest.raises(ValueError, match=r"guides hold 1 picture for prompts about 2: give the picture of each image"):
        guide_logits(logits, [0, 1], [Image.new("RGB", (4, 4))])


def test_post_processing_takes_the_pictures_and_leaves_them_away_by_default():
    processor = CLIPSegProcessor.from_pretrained("emoji-tiny")
    logits = torch.cat([step_at(6, -3.0, 3.0), step_at(10, -3.0, 3.0)])
    edge = (step_at(8, 0, 1)[0].numpy() * 255).astype(np.uint8)
    picture = Image.fromarray(edge).convert("RGB")
    output = SimpleNamespace(logits=logits, prompt_to_image=torch.tensor([0, 0]))
    plain = processor.post_process_prompted_segmentation(output, threshold=0.5)[0]
    assert torch.equal(plain[0].mask, logits[0] > 0)
    guided = processor.post_process_prompted_segmentation(output, [(16, 32)], 0.5, guides=[picture])[0]
    expected = guided_filter(logits, step_at(8, 0.0, 1.0).expand(2, 8, 16))
    assert guided[1].mask.shape == (16, 32) and expected[1, 0, 9] > logits[1, 0, 9]
    same_size = processor.post_process_prompted_segmentation(output, threshold=0.5, guides=[picture])[0]
    torch.testing.assert_close(same_size[1].probabilities, expected[1].sigmoid(), atol=1e-4, rtol=0)
