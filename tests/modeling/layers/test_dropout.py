"""Dropout by sixteen bits a value: what it drops, what it scales, and that nobody sees a difference otherwise."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipseg_hf.modeling.layers.dropout import dropout


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_it_drops_that_share_and_keeps_the_mean(probability):
    values = dropout(torch.ones(1000, 1001), probability)
    # a million draws: five standard deviations of the share are at most 0.0025
    assert (values == 0).float().mean().item() == pytest.approx(probability, abs=0.0025)
    kept = values[values != 0]
    assert torch.equal(kept, torch.full_like(kept, 1 / (1 - probability)))


def test_neighbours_are_dropped_independently():
    """Four values share a draw; none may know of another."""
    dropped = (dropout(torch.ones(4_000_000), 0.5) == 0).double().view(-1, 4)
    correlations = torch.corrcoef(dropped.T)
    assert (correlations - torch.eye(4)).abs().max().item() < 0.005  # a million draws: 0.001 is a standard deviation


def test_gradients_flow_where_values_were_kept():
    values = torch.full((7, 5), 2.0, requires_grad=True)
    result = dropout(values, 0.25)
    result.sum().backward()
    assert torch.equal(values.grad, (result != 0) / 0.75)


@given(shape=st.lists(st.integers(0, 5), max_size=4), probability=st.floats(0, 1))
@settings(deadline=None)
def test_any_shape_and_probability(shape, probability):
    values = torch.rand(shape) + 1
    result = dropout(values, probability)
    assert result.shape == values.shape and result.isfinite().all()
    if probability in (0, 1):
        assert torch.equal(result, values * (1 - probability))
    assert dropout(values, probability, training=False) is values


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_it_keeps_the_type(dtype):
    assert dropout(torch.ones(10, dtype=dtype), 0.5).dtype is dtype


def test_a_seed_gives_the_same_again():
    def draw() -> torch.Tensor:
        torch.manual_seed(3)
        return dropout(torch.ones(99), 0.5)

    assert torch.equal(draw(), draw()) and 20 < int((draw() == 0).sum()) < 80
