"""The guided filter, by hand and as an option of post-processing."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from clipseg_hf import CLIPSegProcessor
from clipseg_hf.processing.masks.guided_filter import GuidedFilter
from clipseg_hf.processing.postprocessing import follow_edges


def step_at(column: int, low: float, high: float, width: int = 64) -> np.ndarray:
    """(32, width), which rises at a column."""
    return np.broadcast_to(np.where(np.arange(width) < column, low, high), (32, width)).astype(np.float32)


def gray(values: np.ndarray) -> np.ndarray:
    """(H, W) -> (H, W, 3)."""
    return np.repeat(values[..., None], 3, axis=2)


def test_a_line_of_the_colours_comes_back():
    ramp = np.linspace(0, 1, 64, dtype=np.float32)
    guide = np.stack(np.broadcast_arrays(ramp, ramp[:32, None], ramp[::-1]), axis=2)
    line = guide @ np.array([1.0, -2.0, 0.5], dtype=np.float32) + 0.25
    found = GuidedFilter(eps=1e-7, limit=1e3).filter(line, guide)
    np.testing.assert_allclose(found[4:-4, 4:-4], line[4:-4, 4:-4], atol=0.02)  # but where shrinking mixes the edge in


def test_a_flat_picture_averages():
    logits = np.zeros((72, 72), dtype=np.float32)
    logits[32:36, 32:36] = 4.0  # one pixel of the shrunk maps
    found = GuidedFilter(radius=4, limit=1e3).filter(logits, np.full((72, 72, 3), 0.5))
    assert found.sum() == pytest.approx(logits.sum(), rel=0.02)
    assert 0 < found.max() < 1 and not found[:16].any()  # two windows, shrinking and growing reach no further


def test_masks_move_to_the_picture_s_edge():
    logits, guide = step_at(28, -3.0, 3.0), step_at(32, 0.1, 0.9)
    found = GuidedFilter(eps=1e-4).filter(logits, gray(guide))
    before, after = (((maps > 0) != (guide > 0.5)).mean() for maps in (logits, found))
    assert before == 4 / 64 and after <= 1 / 64


def test_colours_of_one_brightness_have_edges_too():
    logits = step_at(28, -3.0, 3.0)
    guide = np.where(step_at(32, 0, 1)[..., None] > 0, [0.587, 0, 0.2], [0, 0.299, 0.2])  # as bright as each other
    found = GuidedFilter(eps=1e-4).filter(logits, guide)
    assert ((found > 0) != (step_at(32, 0, 1) > 0)).mean() < 0.02


def test_what_is_far_below_does_not_swallow_what_is_a_little_above():
    logits, guide = step_at(32, -40.0, 2.0), step_at(32, 0.45, 0.55)
    kept = (GuidedFilter().filter(logits, gray(guide)) > 0).mean()
    assert kept > (GuidedFilter(limit=1e3).filter(logits, gray(guide)) > 0).mean() and kept > 0.4


def test_each_prompt_is_filtered_by_itself_and_a_window_may_be_wider_than_the_picture():
    rng = np.random.default_rng(1)
    logits, guide = rng.normal(size=(2, 3, 9, 17)).astype(np.float32), rng.random((9, 17, 3))
    found = GuidedFilter(radius=40, eps=0.1).filter(logits, guide)
    assert found.shape == logits.shape and np.isfinite(found).all()
    for row, one in zip(logits.reshape(-1, 9, 17), found.reshape(-1, 9, 17), strict=True):
        np.testing.assert_array_equal(GuidedFilter(40, 0.1).filter(row, guide), one)
    assert GuidedFilter().filter(logits[:0], guide).shape == (0, 3, 9, 17)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"\(H, W, 3\), got \(2, 4, 4\) and \(5, 4, 3\): `apply` takes a picture"):
        GuidedFilter().filter(np.zeros((2, 4, 4)), np.zeros((5, 4, 3)))
    for options in ({"radius": 3}, {"eps": float("nan")}, {"limit": 0}):
        with pytest.raises(ValueError, match="radius of at least 4, and an eps and a limit above 0; got "):
            GuidedFilter(**options)
    with pytest.raises(ValueError, match=r"guides hold 1 picture for prompts about 2: give the picture of each image"):
        follow_edges(torch.zeros(2, 4, 4), [0, 1], [Image.new("RGB", (4, 4))])


def test_post_processing_takes_the_pictures_and_leaves_them_away_by_default():
    processor = CLIPSegProcessor.from_pretrained("emoji-tiny")
    logits = torch.from_numpy(np.stack([step_at(26, -3.0, 3.0), step_at(40, -3.0, 3.0)]))
    edge = step_at(32, 0, 1)
    picture = Image.fromarray((edge * 255).astype(np.uint8)).convert("RGB")
    output = SimpleNamespace(logits=logits, prompt_to_image=torch.tensor([0, 0]))
    plain = processor.post_process_prompted_segmentation(output, threshold=0.5)[0]
    assert torch.equal(plain[0].mask, logits[0] > 0)
    guided = processor.post_process_prompted_segmentation(output, [(64, 128)], 0.5, guides=[picture])[0]
    expected = torch.from_numpy(GuidedFilter().filter(logits.numpy(), gray(edge)))
    assert guided[1].mask.shape == (64, 128) and expected[1, 0, 39] > logits[1, 0, 39]
    same_size = processor.post_process_prompted_segmentation(output, threshold=0.5, guides=[picture])[0]
    torch.testing.assert_close(same_size[1].probabilities, expected[1].sigmoid(), atol=1e-4, rtol=0)
    assert [one.presence for one in guided] == [one.presence for one in plain]  # calibrated on the model's own logits
    single = SimpleNamespace(logits=logits[0])
    [[one]] = processor.post_process_prompted_segmentation(single, threshold=0.5, guides=[picture])
    torch.testing.assert_close(one.probabilities, expected[0].sigmoid(), atol=1e-4, rtol=0)
