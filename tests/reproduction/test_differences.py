"""When two variants differ: over seeds, over images, and both."""

import numpy as np
import pytest

from clipseg_hf.reproduction.differences import Number, difference_of, mean_number


def test_over_seeds_it_is_students_interval():
    # differences 1, 2, 3: mean 2, standard deviation 1; t with two degrees of freedom is 4.303
    interval = difference_of(Number((10.0, 11.0, 12.0)), Number((11.0, 13.0, 15.0)))
    assert interval.difference == pytest.approx(2)
    assert interval == pytest.approx((2, 2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
    assert not interval.is_clear


def test_with_one_seed_only_the_images_are_accounted_for():
    generator = np.random.default_rng(0)
    common, own = generator.normal(0, 5, 20_000), generator.normal(0, 0.5, 20_000)
    first = Number((40.0,), 40 + common, 1000)
    second = Number((42.0,), 42 + common + own, 1000)
    interval = difference_of(first, second)
    # what both share cancels; 1.96 standard deviations of what is its own remain
    assert interval.high - interval.difference == pytest.approx(1.96 * 0.5, rel=0.02)
    assert interval.is_clear


def test_both_sources_are_added():
    draws = np.random.default_rng(0).normal(0, 1, 50_000)
    seeds, both = Number((1.0, 2.0, 3.0)), Number((1.0, 2.0, 3.0), draws, 100)
    zero = Number((0.0, 0.0, 0.0), np.zeros(50_000), 100)
    by_seeds, by_both = difference_of(Number((0.0, 0.0, 0.0)), seeds), difference_of(zero, both)
    # variances 1/3 and 1; degrees of freedom (4/3)^2 / ((1/3)^2 / 2 + 1 / 99) = 27.1, Student's 2.0515
    assert by_both.high - 2 == pytest.approx(2.0515 * (4 / 3) ** 0.5, rel=0.01)
    assert by_seeds.high - 2 == pytest.approx(4.3027 * (1 / 3) ** 0.5, rel=1e-4)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Three seeds and 60 images, drawn anew 400 times: 95 % hold the true difference, within three deviations."""
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        image_effects = generator.normal(0, 3, 60)  # of the second model over the first, in percent
        by_seed = 1.0 + generator.normal(0, 0.5, 3) + image_effects.mean()
        weights = generator.multinomial(60, np.full(60, 1 / 60), size=500)
        draws = 1.0 + weights @ image_effects / 60
        interval = difference_of(Number((0.0,) * 3, np.zeros(500), 60), Number(tuple(by_seed), draws, 60))
        held += interval.low <= 1.0 <= interval.high
    assert 0.95 - 3 * (0.95 * 0.05 / 400) ** 0.5 < held / 400 <= 1


def test_equal_numbers_are_no_difference():
    assert difference_of(Number((5.0, 5.0)), Number((5.0, 5.0))) == (0, 0, 0)
    assert not difference_of(Number((5.0, 5.0)), Number((5.0, 5.0))).is_clear
    assert difference_of(Number((5.0,)), Number((6.0,))) is None  # nothing is known of its chance


def test_other_numbers_of_seeds_cannot_be_paired():
    with pytest.raises(ValueError, match=r"Cannot pair 1 seeds with 2\."):
        difference_of(Number((5.0,)), Number((5.0, 6.0)))


def test_a_mean_of_folds():
    folds = [Number((1.0, 3.0), np.array([1.0, 2.0]), 10), Number((3.0, 5.0), np.array([3.0, 4.0]), 20)]
    mean = mean_number(folds)
    assert mean.by_seed == (2.0, 4.0) and mean.mean == 3 and mean.spread == pytest.approx(2**0.5)
    assert mean.draws.tolist() == [2.0, 3.0] and mean.units == 30
    assert mean_number([folds[0], Number((1.0, 1.0))]).draws is None
