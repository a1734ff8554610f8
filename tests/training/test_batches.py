"""The order of samples: shuffled, complete, and the same however many processes share it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipseg_hf.data.sampling.sampling import PromptSampler
from clipseg_hf.data.sampling.sampling_settings import SamplingSettings
from clipseg_hf.training.batches import SampleStream, StepPlan


def test_a_hand_counted_plan():
    plan = StepPlan(length=5, images=2, accumulation=2, start=0, stop=2)
    keys = [key for batch in plan for key in batch]
    assert len(plan) == 4
    assert [epoch for epoch, _ in keys] == [0] * 5 + [1] * 3
    assert sorted(item for _, item in keys[:5]) == [0, 1, 2, 3, 4]  # an epoch, each once
    assert [item for _, item in keys[:5]] != [0, 1, 2, 3, 4]  # and shuffled


@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 3), st.integers(0, 5))
def test_two_processes_share_the_steps_of_one(length, images, accumulation, step):
    def keys(world, rank, images, accumulation):
        plan = StepPlan(length, images, accumulation, rank, world, seed=3, stop=6)
        return [key for batch in plan.keys(step) for key in batch]

    alone = keys(1, 0, 2 * images, accumulation)
    assert sorted(keys(2, 0, images, accumulation) + keys(2, 1, images, accumulation)) == sorted(alone)
    assert keys(1, 0, images, 2 * accumulation) == alone


def test_a_plan_that_starts_later_goes_on_with_the_same_keys():
    whole = list(StepPlan(7, 3, 2, seed=1, start=0, stop=5))
    assert list(StepPlan(7, 3, 2, seed=1, start=2, stop=5)) == whole[4:]
    assert list(StepPlan(7, 3, 2, seed=2, start=2, stop=5)) != whole[4:]


def _stream(rows, strict=False) -> SampleStream:
    return SampleStream(PromptSampler(rows, SamplingSettings(image_size=64)), strict)


def test_the_next_row_takes_the_place_of_a_broken_one(rows):
    broken = [*rows]
    broken[3] = {**rows[3], "image": {"bytes": b"no picture", "path": None}}
    whole, stream = _stream(rows), _stream(broken)
    items = [item for item in range(len(stream)) if stream.locate(item)[0] == 3]
    error, *_, sample = stream[(0, items[-1])]
    assert error.image_id == "i3" and "cannot identify image file" in error.cause
    assert (sample.row, sample.texts) == (4, whole[(0, items[-1] + 1)][0].texts)
    assert stream.rows_of([(0, items[0])]) == [3]
    with pytest.raises(RuntimeError, match=r"Row 3 \(image 'i3'\) cannot be sampled"):
        _stream(broken, strict=True)[(0, items[0])]


def test_only_broken_rows_are_an_error(rows):
    broken = [{**row, "image": {"bytes": b"", "path": None}} for row in rows]
    with pytest.raises(RuntimeError, match="16 samples in a row are broken, the last one: Row"):
        _stream(broken)[(0, 0)]


def test_rows_without_phrases_are_refused(rows):
    with pytest.raises(ValueError, match="nothing to train on: no row has a phrase"):
        _stream([{**rows[0], "phrases": []}])
