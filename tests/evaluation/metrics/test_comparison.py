"""Paired bootstrap: what is certain, what is not, and who may be compared."""

import numpy as np
import pytest

from clipseg_hf.evaluation import compare


def table(ious, images=None, prompt="text"):
    return [
        {
            "prompt": prompt,
            "image_id": str(n if images is None else images[n]),
            "phrase_id": str(n),
            "subsets": ["even"] if n % 2 == 0 else [],
            "intersection_0.5": round(100 * iou),
            "union_0.5": 100,
        }
        for n, iou in enumerate(ious)
    ]


def test_a_constant_difference_is_certain():
    first = table([0.1, 0.5, 0.7, 0.2])
    result = compare(first, table([0.2, 0.6, 0.8, 0.3]), resamples=200)
    assert result.difference == pytest.approx(0.1)
    assert (result.low, result.high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert (result.better, result.samples, result.groups) == (1, 4, 4)
    assert str(result) == "+0.1000 [+0.1000, +0.1000] (0.3750 -> 0.4750)"
    assert compare(first, first, resamples=50)[2:6] == (0, 0, 0, 0)


def test_the_interval_is_that_of_theory():
    generator = np.random.default_rng(0)
    base = generator.uniform(0.2, 0.6, 400).round(2)
    gain = generator.normal(0.05, 0.1, 400).round(2)
    result = compare(table(base), table(base + gain), resamples=4000)
    half = 1.96 * gain.std() / 400**0.5
    assert (result.low, result.high) == pytest.approx((gain.mean() - half, gain.mean() + half), abs=0.002)


def test_phrases_of_an_image_are_drawn_together():
    generator = np.random.default_rng(0)
    gains = np.repeat(generator.normal(0.0, 0.2, 40).round(2), 10)  # the same for all ten phrases of an image
    base, images = np.full(400, 0.5), np.repeat(np.arange(40), 10)
    alone = compare(table(base), table(base + gains))
    together = compare(table(base, images), table(base + gains, images))
    assert together.groups == 40
    assert (together.high - together.low) > 2.5 * (alone.high - alone.low)  # in theory the root of 10


def test_a_subset_that_nobody_was_asked_for():
    first, second = table([0.1, 0.5, 0.9]), table([0.3, 0.5, 0.5])
    with pytest.raises(ValueError, match=r"There is no subset 'odd' by 'text'; there are even\."):
        compare(first, second, subset="odd")


def test_cumulative_iou_subsets_and_seeds():
    first, second = table([0.1, 0.5, 0.9]), table([0.3, 0.5, 0.5])
    result = compare(first, second, metric="iou_fg", subset="even", resamples=100)
    assert (result.first, result.second, result.samples) == (pytest.approx(0.5), pytest.approx(0.4), 2)
    assert compare(first, second, seed=1, resamples=300) == compare(first, second, seed=1, resamples=300)


def test_wrong_comparisons_are_named():
    first = table([0.1, 0.5])
    with pytest.raises(ValueError, match=r"not asked the same by 'text': 2 and 3 samples, 0 and 1 of which"):
        compare(first, table([0.1, 0.5, 0.6]))
    with pytest.raises(ValueError, match="not asked the same by 'mix': 0 and 0 samples"):
        compare(first, first, prompt="mix")
    with pytest.raises(ValueError, match=r"no counts at threshold 0\.3, but at 0\.5"):
        compare(first, first, threshold=0.3)
    with pytest.raises(ValueError, match="one of miou, iou_fg"):
        compare(first, first, metric="ap")
    with pytest.raises(ValueError, match="resamples at least 1"):
        compare(first, first, resamples=0)
