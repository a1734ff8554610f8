"""Learning rates, by hand."""

import pytest

from clipseg_hf.training import CLIPSegTrainingArguments
from clipseg_hf.training.schedules import learning_rate_at


def _args(**changes) -> CLIPSegTrainingArguments:
    values = {"learning_rate": 1e-3, "min_learning_rate": 1e-4, "max_steps": 100}
    return CLIPSegTrainingArguments(**values | changes)


def test_the_papers_cosine():
    rates = [learning_rate_at(step, _args()) for step in (0, 25, 50, 100)]
    assert rates == pytest.approx([1e-3, 1e-4 + 9e-4 * (1 + 0.5**0.5) / 2, 5.5e-4, 1e-4])


def test_a_line():
    rates = [learning_rate_at(step, _args(lr_scheduler_type="linear")) for step in (0, 50, 100)]
    assert rates == pytest.approx([1e-3, 5.5e-4, 1e-4])


def test_constant_after_a_warm_up():
    args = _args(lr_scheduler_type="constant", warmup_steps=4)
    assert [learning_rate_at(step, args) for step in (0, 3, 4, 99)] == pytest.approx([2e-4, 8e-4, 1e-3, 1e-3])


def test_the_cosine_begins_after_the_warm_up():
    args = _args(warmup_steps=10)
    assert learning_rate_at(10, args) == 1e-3
    assert learning_rate_at(55, args) == pytest.approx(5.5e-4)
