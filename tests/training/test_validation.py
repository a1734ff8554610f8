"""Thresholds found by hand, fixed validation rows, and the picture grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipseg_hf.data.rows.rows import evenly
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.processing import CLIPSegProcessor
from clipseg_hf.training.runs.picture_grid import CAPTION_HEIGHT, GAP, PictureGrid
from clipseg_hf.training.validation import Validation, ValidationSettings, best_split, calibrate


@pytest.mark.parametrize(
    ("scores", "present", "threshold"),
    [
        ([0.1, 0.2, 0.8, 0.9], [False, False, True, True], 0.5),
        ([0.1, 0.6, 0.5, 0.9], [False, False, True, True], 0.75),  # of two as good, the upper
        ([0.3, 0.3], [False, True], 0.3),  # nothing tells them apart
        ([0.2, 0.4, 0.4, 0.8], [False, False, True, True], 0.6),
    ],
)
def test_the_best_split_by_hand(scores, present, threshold):
    assert best_split(scores, present) == pytest.approx(threshold)


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=30))
def test_no_other_threshold_splits_better(pairs):
    scores, present = np.array([s / 20 for s, _ in pairs]), np.array([p for _, p in pairs])
    if present.all() or not present.any():
        return

    def balanced(threshold):
        return (scores[present] > threshold).mean() + (scores[~present] <= threshold).mean()

    found = balanced(best_split(scores.tolist(), present.tolist()))
    inside = [t for t in np.linspace(0, 1, 41) if scores.min() <= t < scores.max()]
    assert all(found >= balanced(t) - 1e-9 for t in inside)


def test_rows_are_spread_evenly():
    assert evenly(list(range(10)), 4) == [0, 2, 5, 7]
    assert evenly(list(range(3)), 4) == [0, 1, 2]


@pytest.fixture(scope="module")
def parts(clip):
    model = CLIPSegForImageSegmentation.from_clip(clip, extract_layers=(0, 2), reduce_dim=16)
    return model, CLIPSegProcessor.from_clip(clip, size=64)


def test_validation_asks_the_same_each_time(parts, rows):
    validation = Validation(rows, ValidationSettings(samples=5))
    assert len(validation.rows) == 5
    assert validation(*parts) == validation(*parts)


def test_calibration_finds_a_threshold_for_each_kind_that_can_be_asked(parts, rows):
    assert calibrate(*parts, rows, ValidationSettings(samples=4)).keys() == {"text", "image", "mixed", "presence"}
    assert calibrate(*parts, rows[:1], ValidationSettings(samples=4)).keys() == {"text"}  # no examples, nothing absent


def test_the_grid_shows_image_truth_and_predictions(parts, rows):
    model, processor = parts
    picture = PictureGrid(rows, processor, 3, 64)(model)
    assert picture.shape == (3 * (64 + CAPTION_HEIGHT), 4 * 64 + 3 * GAP, 3) and picture.dtype == np.uint8
    assert picture[:CAPTION_HEIGHT].max() > 200  # the caption
    image, truth = picture[CAPTION_HEIGHT:][:64, :64], picture[CAPTION_HEIGHT:][:64, 64 + GAP : 128 + GAP]
    assert (truth.astype(int)[..., 1] > image.astype(int)[..., 1]).any()  # green over the object


def test_the_grid_is_black_where_there_is_no_example(parts, rows):
    model, processor = parts
    picture = PictureGrid(rows[:1], processor, 3, 64)(model)
    assert not picture[CAPTION_HEIGHT:, 3 * (64 + GAP) :].any()
