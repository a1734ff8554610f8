"""The readouts: the same numbers as the convolutions whose weights they hold."""

import pytest
import torch
from torch import nn

from clipseg_hf.modeling.layers.readout import RefinedReadout, SimpleReadout


@torch.no_grad()
def test_one_patch_by_hand():
    readout = SimpleReadout(dim=2, patch_size=2)
    readout.weight.copy_(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]], [[[0.0, 0.0], [0.0, 10.0]]]]))
    readout.bias.fill_(0.5)
    tokens = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])  # one row of two tokens
    assert readout(tokens).tolist() == [[[1.5, 2.5, 0.5, 0.5], [3.5, 4.5, 0.5, 10.5]]]


@pytest.mark.parametrize("record", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 5), (22, 22)])
@pytest.mark.parametrize("kind", ["simple", "refined"])
def test_it_is_the_transposed_convolution(kind, rows, columns, record):
    readout = SimpleReadout(8, 16) if kind == "simple" else RefinedReadout(8)
    general = nn.ConvTranspose2d.forward if kind == "simple" else nn.Sequential.forward
    tokens = torch.randn(2, rows, columns, 8, requires_grad=record)
    with torch.set_grad_enabled(record):
        found = readout(tokens)
        expected = general(readout, tokens.permute(0, 3, 1, 2))[:, 0]
    assert found.shape == (2, 16 * rows, 16 * columns)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    if record:
        leaves = (tokens, *readout.parameters())
        for ours, theirs in zip(
            torch.autograd.grad(found.square().sum(), leaves),
            torch.autograd.grad(expected.square().sum(), leaves),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
