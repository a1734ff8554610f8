"""Learning rates, by hand."""

import pytest

from clipseg_hf.training import CLIPSegTrainingArguments
from clipseg_hf.training.assembly import schedule
from clipseg_hf.training.schedules import LearningRateSchedule


def _schedule(**changes) -> LearningRateSchedule:
    values = {"learning_rate": 1e-3, "min_learning_rate": 1e-4, "max_steps": 100}
    return schedule(CLIPSegTrainingArguments(**values | changes))


def test_the_papers_cosine():
    rates = [_schedule()(step) for step in (0, 25, 50, 100)]
    assert rates == pytest.approx([1e-3, 1e-4 + 9e-4 * (1 + 0.5**0.5) / 2, 5.5e-4, 1e-4])


def test_a_line():
    rates = [_schedule(lr_scheduler_type="linear")(step) for step in (0, 50, 100)]
    assert rates == pytest.approx([1e-3, 5.5e-4, 1e-4])


def test_constant_after_a_warm_up():
    rate = _schedule(lr_scheduler_type="constant", warmup_steps=4)
    assert [rate(step) for step in (0, 3, 4, 99)] == pytest.approx([2e-4, 8e-4, 1e-3, 1e-3])


def test_the_cosine_begins_after_the_warm_up():
    rate = _schedule(warmup_steps=10)
    assert rate(10) == 1e-3
    assert rate(55) == pytest.approx(5.5e-4)
