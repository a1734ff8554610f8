"""SegmentationCounts: numbers by hand, parity with the original, and a direct count of every pixel."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from clipseg_hf.evaluation import SegmentationCounts
from clipseg_hf.evaluation.metrics.arithmetic import average_precision, ratio, simpson

FIXTURES = Path(__file__).parents[2] / "fixtures"

# Two samples of four pixels. At 0.5: sample 0 marks pixels 0 and 1, of which 0 is right and 3 is missed (IoU 1/3);
# sample 1 marks pixel 3 alone, which is right (IoU 1). At 0.3: sample 0 also marks 3 (2/3); sample 1 marks 2, 3 (1/2).
SCORES = torch.tensor([[[0.9, 0.6], [0.2, 0.4]], [[0.1, 0.2], [0.35, 0.8]]])
TARGETS = torch.tensor([[[1, 0], [0, 1]], [[0, 0], [0, 1]]])


@pytest.fixture
def counts():
    counts = SegmentationCounts(thresholds=(0.3, 0.5))
    counts.update(SCORES, TARGETS)
    return counts


def test_numbers_by_hand(counts):
    result = counts.compute()
    assert result["miou_0.5"] == pytest.approx((1 / 3 + 1) / 2)
    assert result["miou_0.3"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert result["iou_fg_0.5"] == pytest.approx(2 / 4)  # 2 right, 1 too much, 1 missed
    assert result["iou_bin_0.5"] == pytest.approx((2 / 4 + 4 / 6) / 2)  # background: 4 right, 1 missed, 1 too much
    assert result["iou_fg_0.3"] == pytest.approx(3 / 5)
    assert (result["iou_fg_best"], result["iou_fg_best_t"]) == (pytest.approx(3 / 5), 0.3)
    assert (result["miou_best"], result["miou_best_t"]) == (pytest.approx(2 / 3), 0.5)
    # precision 2/3 up to recall 2/3, then 3/5 up to recall 1
    assert result["ap"] == pytest.approx(2 / 3 * 2 / 3 + 1 / 3 * 3 / 5)
    assert (result["samples"], result["classes"]) == (2, 2)


def test_per_sample_and_curves_by_hand(counts):
    assert counts.per_sample(0.5).tolist() == pytest.approx([1 / 3, 1])
    curves = counts.curves()
    assert curves["thresholds"].tolist() == [0.3, 0.5]
    assert curves["precision"].tolist() == pytest.approx([3 / 5, 2 / 3])
    assert curves["recall"].tolist() == pytest.approx([1, 2 / 3])


def test_classes_sum_their_samples_before_the_mean():
    counts = SegmentationCounts(thresholds=(0.5,))
    counts.update(SCORES, TARGETS, classes=torch.tensor([7, 7]))
    counts.update(SCORES[1], TARGETS[1], classes=["dog"])
    assert counts.per_class(0.5) == {7: pytest.approx(2 / 4), "dog": pytest.approx(1)}
    assert counts.compute(at=(0.5,))["miou_0.5"] == pytest.approx((2 / 4 + 1) / 2)
    assert counts.compute(at=(0.5,))["classes"] == 2


def test_the_original_adds_one_to_every_denominator(counts):
    result = counts.compute(arithmetic="clipseg")
    assert result["miou_0.5"] == pytest.approx((1 / 4 + 1 / 2) / 2)
    assert result["iou_fg_0.5"] == pytest.approx(2 / 5)
    assert result["iou_bin_0.5"] == pytest.approx((2 / 5 + 4 / 7) / 2)


def test_ignored_pixels_count_for_nothing():
    counts = SegmentationCounts(thresholds=(0.5,))
    targets = TARGETS.clone()
    targets[0, 0, 1] = targets[0, 1, 1] = 255
    counts.update(SCORES, targets, ignore=targets == 255)
    assert counts.per_sample(0.5).tolist() == [1, 1]
    assert {name: part[0, 0] for name, part in counts.counts().items()} == {"tp": 1, "fp": 0, "fn": 0, "tn": 1}


@pytest.mark.parametrize(("marked", "truth", "default", "original"), [(0, 0, 1, 0), (1, 0, 0, 0), (0, 1, 0, 0)])
def test_empty_masks_have_one_rule(marked, truth, default, original):
    counts = SegmentationCounts(thresholds=(0.5,))
    counts.update(torch.full((1, 2, 2), float(marked)), torch.full((1, 2, 2), truth))
    assert counts.per_sample(0.5).tolist() == [default]
    assert counts.per_sample(0.5, arithmetic="clipseg").tolist() == [original]
    assert np.isnan(counts.compute(at=(0.5,))["ap"]) == (truth == 0)


def test_parity_with_the_original():
    inputs, expected = (
        np.load(FIXTURES / "metrics_inputs.npz"),
        json.loads((FIXTURES / "metrics_expected.json").read_text()),
    )
    counts = SegmentationCounts()
    for n in range(12):
        target = torch.from_numpy(inputs[f"mask_{n}"])
        logits = torch.from_numpy(inputs[f"logits_{n}"])[None, None]
        resized = torch.nn.functional.interpolate(
            logits.sigmoid(), size=target.shape, mode="bilinear", align_corners=True
        )
        counts.update(resized[0], target[None])
    result = counts.compute(arithmetic="clipseg", at=(0.1, 0.2, 0.3, 0.5))
    curves = counts.curves(arithmetic="clipseg")
    names = {"fgiou": "iou_fg", "biniou": "iou_bin", "miou": "miou", "mean_iou": "miou"}
    for key, value in expected.items():
        family, _, what = key.rpartition("_")
        family, what = (key[: -len("_best_t")], "best_t") if key.endswith("_best_t") else (family, what)
        if key == "ap":
            assert result["ap"] == pytest.approx(value, abs=1e-5)
        elif what == "scores":
            np.testing.assert_allclose(curves[names[family]], value, atol=1e-6)
        else:
            assert result[f"{names[family]}_{what}"] == pytest.approx(value, abs=1e-6), key


@pytest.mark.parametrize(
    ("highest", "ap"), [(0.97, 0.9613950348933465), (0.9, 0.956618935956471), (0.5, 0.9344631361627466)]
)
def test_average_precision_of_the_original_leaves_out_thresholds_that_no_pixel_passes(highest, ap):
    """The expected numbers are SciPy's Simpson's rule over the original's pairs, for probabilities made smaller."""
    inputs, counts = np.load(FIXTURES / "metrics_inputs.npz"), SegmentationCounts()
    for n in range(12):
        target = torch.from_numpy(inputs[f"mask_{n}"])
        probabilities = torch.from_numpy(inputs[f"logits_{n}"])[None, None].sigmoid() * highest
        resized = torch.nn.functional.interpolate(probabilities, size=target.shape, mode="bilinear", align_corners=True)
        counts.update(resized[0], target[None])
    assert counts.compute(arithmetic="clipseg")["ap"] == pytest.approx(ap, abs=1e-9)


def test_average_precision_of_the_original_by_hand():
    counts = SegmentationCounts(thresholds=(0.3, 0.5, 0.9, 0.95))
    counts.update(SCORES, TARGETS)
    # 3 right of 5 marked above 0.3, 2 of 3 above 0.5, 3 to be found; no pixel is above 0.9
    recall, precision = np.array([2 / 4, 3 / 4]), np.array([2 / 4, 3 / 6])
    expected = float(np.diff(recall)[0] * precision.mean())
    assert counts.compute(arithmetic="clipseg")["ap"] == pytest.approx(expected)
    # the default goes from nothing marked (precision 1, no recall) to everything marked
    assert counts.compute()["ap"] == pytest.approx(2 / 3 * 2 / 3 + 1 / 3 * 3 / 5)
    nothing = SegmentationCounts(thresholds=(0.5, 0.9))
    nothing.update(SCORES * 0.5, TARGETS)
    assert nothing.compute(arithmetic="clipseg", at=(0.5,))["ap"] == 0


score = st.one_of(st.floats(0, 1, width=32), st.sampled_from([np.float32(k / 50) for k in range(51)]))


@given(
    scores=arrays.arrays(np.float32, (3, 4, 5), elements=score),
    targets=arrays.arrays(bool, (3, 4, 5)),
    ignore=arrays.arrays(bool, (3, 4, 5)),
    thresholds=st.sampled_from(
        [tuple(k / 50 for k in range(1, 50)), (0.0, 0.24, 0.3, 0.31), (0.5,), (0.25, 0.5, 0.75)]
    ),
)
def test_exact_against_a_direct_count(scores, targets, ignore, thresholds):
    counts = SegmentationCounts(thresholds)
    counts.update(scores, targets, ignore=ignore)
    got = counts.counts()
    for k, threshold in enumerate(thresholds):
        marked = scores > np.float32(threshold)
        direct = {"tp": marked & targets, "fp": marked & ~targets, "fn": ~marked & targets, "tn": ~marked & ~targets}
        for name, pixels in direct.items():
            assert got[name][:, k].tolist() == (pixels & ~ignore).sum(axis=(1, 2)).tolist()


@pytest.mark.parametrize("steps", [2, 10, 50, 100, 128, 1000])
def test_uniform_thresholds_are_exact_at_and_around_each_step(steps):
    thresholds = np.arange(1, steps, dtype=np.float32) / np.float32(steps)
    scores = np.concatenate(
        [thresholds, np.nextafter(thresholds, np.float32(1)), np.nextafter(thresholds, np.float32(0))]
    )
    counts = SegmentationCounts([float(t) for t in thresholds])
    counts.update(scores[None], np.ones_like(scores[None], dtype=bool))
    assert counts.counts()["tp"][0].tolist() == (scores[:, None] > thresholds).sum(axis=0).tolist()


def test_merging_in_any_order_gives_exactly_the_same_numbers():
    generator = torch.Generator().manual_seed(0)
    scores, targets = torch.rand(40, 6, 7, generator=generator), torch.rand(40, 6, 7, generator=generator) > 0.6
    labels = [f"class {n % 3}" for n in range(40)]
    for classes in (labels, None):
        whole = SegmentationCounts()
        whole.update(scores, targets, classes)
        parts = []
        for rank in range(2):
            parts.append(SegmentationCounts())
            parts[-1].update(scores[rank::2], targets[rank::2], classes and classes[rank::2])
        merged = parts[1].merge(parts[0])
        for arithmetic in ("default", "clipseg"):
            assert merged.compute(arithmetic) == whole.compute(arithmetic)


def test_select_takes_samples_with_repeats(counts):
    assert counts.select([1, 1, 0]).per_sample(0.5).tolist() == pytest.approx([1, 1, 1 / 3])


def test_histograms_bring_counts_back(counts):
    flat = [histogram.flatten().tolist() for histogram in counts.histograms]
    again = SegmentationCounts.from_histograms(flat, counts.classes, counts.thresholds)
    assert again.compute() == counts.compute()


def test_foreign_histograms_are_named(counts):
    with pytest.raises(ValueError, match="49 thresholds have histograms of 100 numbers, got one of 6"):
        SegmentationCounts.from_histograms(counts.histograms, counts.classes)
    with pytest.raises(ValueError, match="1 labels for 2 histograms"):
        SegmentationCounts.from_histograms(counts.histograms, ["a"], counts.thresholds)


def test_memory_does_not_grow_with_the_pixels():
    counts = SegmentationCounts()
    counts.update(torch.rand(1, 300, 300), torch.ones(1, 300, 300))
    assert sum(histogram.nbytes for histogram in counts.histograms) == 2 * 50 * 8


def test_half_precision_and_single_masks_are_taken(counts):
    half = SegmentationCounts(thresholds=(0.3, 0.5))
    half.update(SCORES[0].half(), TARGETS[0])
    half.update(SCORES[1].bfloat16(), TARGETS[1].float())
    assert half.compute() == counts.compute()


def test_simpson_is_exact_for_parabolas_and_for_a_line():
    x = np.array([0, 0.5, 2, 2.25, 3])
    assert simpson(x**2, x) == pytest.approx(9)
    assert simpson(x[:4] ** 2, x[:4]) == pytest.approx(2.25**3 / 3)  # an interval left over
    assert simpson(x[:2], x[:2]) == pytest.approx(0.125)
    assert simpson(x[:1], x[:1]) == 0


def test_ratio_of_nothing_and_average_precision_without_foreground():
    assert ratio([0, 1], [0, 2]).tolist() == [1, 0.5]
    assert ratio([0, 1], [0, 3], "clipseg").tolist() == [0, 0.25]
    assert np.isnan(average_precision([0], [3], [0], 5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probabilities": SCORES * 4}, r"lie in \[0, 1\], got values from 0.4 to 3.6: are these logits\?"),
        ({"probabilities": SCORES * float("nan")}, "from nan to nan"),
        ({"probabilities": TARGETS}, "floats in"),
        ({"probabilities": SCORES[:, :1]}, "resize the probabilities to the targets' size first"),
        ({"targets": TARGETS * 255}, "found 255: pass `ignore=targets == 255`"),
        ({"classes": ["a"]}, "1 labels for 2 samples"),
        ({"ignore": TARGETS[0]}, "ignore has shape"),
    ],
)
def test_wrong_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        SegmentationCounts().update(**{"probabilities": SCORES, "targets": TARGETS, **change})


def test_wrong_settings_are_named(counts):
    with pytest.raises(ValueError, match=r"must increase within \[0, 1\)"):
        SegmentationCounts(thresholds=(0.5, 0.3))
    with pytest.raises(ValueError, match=r"must increase within \[0, 1\)"):
        SegmentationCounts(thresholds=(0.5, 1.0))
    with pytest.raises(ValueError, match="list of numbers"):
        SegmentationCounts(thresholds=())
    with pytest.raises(ValueError, match=r"0.42 was not counted; the nearest that was is 0.5"):
        counts.compute(at=(0.42,))
    with pytest.raises(ValueError, match="Unknown arithmetic 'orignal': choose one of default, clipseg"):
        counts.compute(arithmetic="orignal")
    with pytest.raises(ValueError, match="Nothing was counted yet"):
        SegmentationCounts().compute()
    with pytest.raises(ValueError, match=r"counts at 49 thresholds from 0\.02 to 0\.98"):
        counts.merge(SegmentationCounts())
    with pytest.raises(ValueError, match="per_class needs `classes`"):
        counts.per_class(0.5)
