"""Thresholds found by hand, fixed validation rows, and the picture grid."""

import copy
import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipseg_hf.data.rows.rows import evenly
from clipseg_hf.evaluation.protocols.referring import ReferringSettings, evaluate_referring
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.processing import CLIPSegProcessor
from clipseg_hf.training.runs.picture_grid import COLUMNS, PictureGrid
from clipseg_hf.training.validation import Calibration, Validation, ValidationSettings, best_split, calibrate


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
    found = calibrate(*parts, rows, ValidationSettings(samples=4))
    assert found.thresholds.keys() == {"text", "image", "mixed", "presence"} and found.image_prompt_weight is None
    alone = calibrate(*parts, rows[:1], ValidationSettings(samples=4, weights=(0.2, 0.8)))
    assert alone.thresholds.keys() == {"text"} and alone.image_prompt_weight is None  # no examples, nothing absent


def test_calibration_takes_the_weight_that_finds_most(parts, rows, tmp_path):
    weights, curves = (0.0, 0.4, 1.0), {}
    for weight in weights:
        settings = ReferringSettings(prompts=("mix",), image_prompt_weight=weight, boundary_thresholds=(), batch_size=8)
        curves[weight] = evaluate_referring(*parts, evenly(rows, 4), settings)["mix"].counts.curves()
    for offered in (weights, weights[::-1]):  # so that the best is not the first once
        found = calibrate(*parts, rows, ValidationSettings(samples=4, weights=offered))
        best = max(offered, key=lambda weight: curves[weight]["miou"].max())
        assert found.image_prompt_weight == best
        assert found.thresholds["mixed"] == curves[best]["thresholds"][curves[best]["miou"].argmax()]
    assert found.numbers().keys() == {*(f"threshold_{kind}" for kind in found.thresholds), "image_prompt_weight"}

    model, processor = copy.deepcopy(parts[0]), copy.deepcopy(parts[1])
    dataclasses.replace(found, image_prompt_weight=0.3).put_into(model, processor)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again = CLIPSegForImageSegmentation.from_pretrained(tmp_path).config
    assert again.image_prompt_weight == 0.3 and again.mask_thresholds == found.thresholds
    assert CLIPSegProcessor.from_pretrained(tmp_path).mask_thresholds == processor.mask_thresholds
    Calibration(found.thresholds).put_into(model, processor)  # where none was looked for
    assert model.config.image_prompt_weight == 0.3


def test_the_grid_keeps_the_shape_of_the_pictures_under_one_header(parts, rows):
    grid = PictureGrid(rows[:1], parts[1], 3, 64)  # alone, so that no example decides the height
    assert grid.shapes == [(rows[0]["width"], rows[0]["height"])]
    grid.shapes = [(300, 300)]
    square = grid(parts[0])
    assert square.dtype == np.uint8 and square.shape[1] > len(COLUMNS) * 64
    grid.shapes = [(400, 200)]
    assert square.shape[0] - grid(parts[0]).shape[0] == 32


def test_the_truth_has_the_colour_of_its_phrase(parts, rows):
    grid = PictureGrid(rows, parts[1], 3, 64)
    grid.colors = dict.fromkeys(grid.colors, (0, 0, 0))
    black = grid(parts[0])
    grid.colors = dict.fromkeys(grid.colors, (255, 255, 0))
    yellow = grid(parts[0]).astype(int) - black
    assert yellow[..., 0].max() > 150 and yellow[..., 2].max() <= 0


def test_without_an_example_its_columns_stay_empty(parts, rows):
    alone = PictureGrid(rows[:1], parts[1], 3, 64)(parts[0])
    right = alone[40:, 3 * (64 + 14) + 14 :]
    assert (right == right[0, 0]).all()
