"""From tokens to pixels: transposed convolutions whose steps are as wide as their kernels.

Such a convolution gives each input its own patch of outputs, so it is one matrix product and a reordering. PyTorch's
general code for it is several times slower on a CPU, and can keep no intermediate result in place.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from clipseg_hf.modeling.layers.onednn import from_onednn, to_onednn


class SimpleReadout(nn.ConvTranspose2d):
    """One transposed convolution, as wide as a patch (the paper's section 3)."""

    def __init__(self, dim: int, patch_size: int):
        super().__init__(dim, 1, kernel_size=patch_size, stride=patch_size)

    def forward(self, tokens: Tensor) -> Tensor:  # type: ignore[override]  # PyTorch's takes an output size, too
        """(n, R, C, D) -> (n, R * patch, C * patch)."""
        pixels = _upsample(tokens, self)  # (n, R, C, patch * patch)
        size = self.kernel_size[0]
        # (n, R, C, p, p) -> (n, R, p, C, p)
        pixels = pixels.unflatten(-1, (size, size)).transpose(2, 3)
        return pixels.flatten(3, 4).flatten(1, 2)


class RefinedReadout(nn.Sequential):
    """A 3 x 3 convolution and two transposed ones of width 4 (`trans_conv` of the original's refined models)."""

    def __init__(self, dim: int):
        super().__init__(
            nn.Conv2d(dim, dim, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(dim, dim // 2, kernel_size=4, stride=4),
            nn.ReLU(),
            nn.ConvTranspose2d(dim // 2, 1, kernel_size=4, stride=4),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, R, C, D) -> (n, R * 16, C * 16)."""
        smooth, _, widen, _, finish = self
        # (n, R, C, D) -> (n, D, R, C) -> (n, R, C, D)
        tokens = smooth(tokens.permute(0, 3, 1, 2)).relu_().permute(0, 2, 3, 1)
        n, rows, columns, dim = tokens.shape
        parts = to_onednn(tokens.reshape(-1, dim))  # (n * R * C, D)
        parts = _upsample(parts, widen).relu_()  # (n * R * C, 4 * 4 * D/2)
        parts = parts.reshape(-1, dim // 2)  # (n * R * C * 16, D/2)
        pixels = from_onednn(_upsample(parts, finish))  # (n * R * C * 16, 4 * 4)
        # patches of patches: (n, R, C, y, x, v, u) -> (n, R, y, v, C, x, u)
        pixels = pixels.view(n, rows, columns, 4, 4, 4, 4).permute(0, 1, 3, 5, 2, 4, 6)
        return pixels.reshape(n, rows * 16, columns * 16)


def _upsample(tokens: Tensor, convolution: Any) -> Tensor:
    """(..., D) -> (..., height * width * channels) of the patch behind each token."""
    weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (D, channels, h, w) -> (h * w * channels, D)
    bias = convolution.bias.repeat(len(weight) // convolution.out_channels)
    return F.linear(tokens, weight, bias)
