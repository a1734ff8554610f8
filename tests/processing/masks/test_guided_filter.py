"""The guided filter, by hand and as an option of post-processing."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from clipseg_hf import CLIPSegProcessor
from clipseg_hf.processing.masks.guided_filter import GuidedFilter, brightness_of
from clipseg_hf.processing.postprocessing import follow_edges


def step_at(column: int, low: float, high: float, width: int = 16) -> np.ndarray:
    """(8, width), which rises at a column."""
    return np.broadcast_to(np.where(np.arange(width) < column, low, high), (8, width)).astype(np.float32)


def test_a_line_of_the_brightness_comes_back():
    guide = np.random.default_rng(0).random((8, 16), dtype=np.float32)
    found = GuidedFilter(radius=2, eps=1e-9).filter(3 * guide - 1, guide)
    np.testing.assert_allclose(found, 3 * guide - 1, atol=1e-3)


def test_a_flat_picture_averages():
    logits = np.zeros((5, 5), dtype=np.float32)
    logits[2, 2] = 81.0
    found = GuidedFilter(radius=1).filter(logits, np.full((5, 5), 0.5))
    assert found[2, 2] == pytest.approx(9 * (81 / 9) / 9)  # the mean of nine means, each of which sees it
    corner = 81 / 9 / 4  # of the corner's four means one sees it
    assert found[0, 0] == pytest.approx(corner)


def test_masks_move_to_the_picture_s_edge():
    logits, guide = step_at(6, -3.0, 3.0), step_at(8, 0.1, 0.9)
    found = GuidedFilter(radius=3, eps=1e-4).filter(logits, guide)
    assert ((found > 0) == (guide > 0.5)).mean() > ((logits > 0) == (guide > 0.5)).mean()


def test_each_prompt_is_filtered_by_itself_and_a_window_may_be_wider_than_the_picture():
    rng = np.random.default_rng(1)
    logits, guide = rng.normal(size=(2, 3, 8, 16)).astype(np.float32), rng.random((8, 16))
    found = GuidedFilter(radius=20, eps=0.1).filter(logits, guide)
    assert found.shape == logits.shape and np.isfinite(found).all()
    for row, one in zip(logits.reshape(-1, 8, 16), found.reshape(-1, 8, 16), strict=True):
        np.testing.assert_array_equal(GuidedFilter(20, 0.1).filter(row, guide), one)
    assert GuidedFilter().filter(logits[:0], guide).shape == (0, 3, 8, 16)


def test_brightness_is_that_of_television():
    image = Image.fromarray(np.array([[[255, 255, 255], [0, 255, 0]]], dtype=np.uint8))
    np.testing.assert_allclose(brightness_of(image, (1, 2)), [[1.0, 0.587]], atol=1 / 255)
    assert brightness_of(image, (8, 6)).shape == (8, 6)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"\(H, W\), got \(2, 4, 4\) and \(5, 4\): resize the picture"):
        GuidedFilter().filter(np.zeros((2, 4, 4)), np.zeros((5, 4)))
    with pytest.raises(ValueError, match=r"radius of at least 1 and an eps above 0, got 0 and 0\.1"):
        GuidedFilter(radius=0, eps=0.1)
    with pytest.raises(ValueError, match=r"radius of at least 1 and an eps above 0, got 4 and nan"):
        GuidedFilter(eps=float("nan"))
    with pytest.raises(ValueError, match=r"guides hold 1 picture for prompts about 2: give the picture of each image"):
        follow_edges(torch.zeros(2, 4, 4), [0, 1], [Image.new("RGB", (4, 4))])


def test_post_processing_takes_the_pictures_and_leaves_them_away_by_default():
    processor = CLIPSegProcessor.from_pretrained("emoji-tiny")
    logits = torch.from_numpy(np.stack([step_at(6, -3.0, 3.0), step_at(10, -3.0, 3.0)]))
    edge = step_at(8, 0, 1)
    picture = Image.fromarray((edge * 255).astype(np.uint8)).convert("RGB")
    output = SimpleNamespace(logits=logits, prompt_to_image=torch.tensor([0, 0]))
    plain = processor.post_process_prompted_segmentation(output, threshold=0.5)[0]
    assert torch.equal(plain[0].mask, logits[0] > 0)
    guided = processor.post_process_prompted_segmentation(output, [(16, 32)], 0.5, guides=[picture])[0]
    expected = torch.from_numpy(GuidedFilter().filter(logits.numpy(), edge))
    assert guided[1].mask.shape == (16, 32) and expected[1, 0, 9] > logits[1, 0, 9]
    same_size = processor.post_process_prompted_segmentation(output, threshold=0.5, guides=[picture])[0]
    torch.testing.assert_close(same_size[1].probabilities, expected[1].sigmoid(), atol=1e-4, rtol=0)
    single = SimpleNamespace(logits=logits[0])
    [[one]] = processor.post_process_prompted_segmentation(single, threshold=0.5, guides=[picture])
    torch.testing.assert_close(one.probabilities, expected[0].sigmoid(), atol=1e-4, rtol=0)
