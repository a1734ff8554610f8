"""Numbers on images drawn with repeats: against the accumulator itself, drawn by hand."""

import numpy as np
import pytest

from clipseg_hf.evaluation.metrics.resampling import draw_weights, resample_number
from clipseg_hf.evaluation.metrics.segmentation_counts import SegmentationCounts

METRICS = ("miou_0.3", "miou_0.5", "iou_fg_0.3", "iou_bin_0.5", "ap")
IMAGES = ["a", "b", "a", "c", "b", "d"]


def _counts(classes) -> SegmentationCounts:
    generator = np.random.default_rng(0)
    counts = SegmentationCounts()
    counts.update(generator.random((6, 8, 8)), generator.random((6, 8, 8)) < 0.4, classes)
    return counts


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("classes", [None, ["x", "y", "x", "x", "z", "y"], ["x", None, "x", None, "z", "y"]])
def test_a_draw_is_the_number_of_the_drawn_samples(metric, classes):
    counts = _counts(classes)
    drawn = resample_number(counts, IMAGES, metric, draws=20)
    names = sorted(set(IMAGES))
    for value, weights in zip(drawn, draw_weights(names, 20), strict=True):
        samples = [n for n, image in enumerate(IMAGES) for _ in range(int(weights[names.index(image)]))]
        assert value == pytest.approx(counts.select(samples).compute()[metric])


def test_the_same_images_are_drawn_alike():
    assert np.array_equal(draw_weights(["a", "b", "c"], 5), draw_weights(["a", "b", "c"], 5))
    assert not np.array_equal(draw_weights(["a", "b", "c"], 50), draw_weights(["a", "b", "d"], 50))
    assert (draw_weights(["a", "b", "c"], 50).sum(axis=1) == 3).all()


def test_what_cannot_be_drawn_is_refused():
    counts = _counts(None)
    with pytest.raises(ValueError, match=r"metric is miou_T, iou_fg_T, iou_bin_T or ap, got 'dice_0\.5'"):
        resample_number(counts, IMAGES, "dice_0.5")
    with pytest.raises(ValueError, match=r"Threshold 0\.31 was not counted; the nearest that was is 0\.3\."):
        resample_number(counts, IMAGES, "miou_0.31")
    with pytest.raises(ValueError, match=r"6 samples cannot be drawn by the images of 2\."):
        resample_number(counts, IMAGES[:2], "ap")
