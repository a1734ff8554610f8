"""An optional head that looks at the pixels: a correction of CLIPSeg's logits at the borders, of which stock knows
nothing.

What depends on the image alone runs once for each image, what depends on the prompt is kept thin: the pixels enter by
factors and sums on the prompt's few channels.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LIMIT = 8.0  # of what is added to a logit


class PixelRefiner(nn.Module):
    """Adds to logits what tokens and pixels say together, at a quarter and at half of the image's size.

    The last layer starts from zero, so a fresh refiner changes nothing; and no logit moves by more than `LIMIT`, so
    that pixels may settle what is doubtful and not overrule what the decoder is sure of.

    Args:
        dim: D, the width of the decoder's tokens.
        channels: of the features at a quarter of the size; half as many at half of it.
    """

    def __init__(self, dim: int, channels: int):
        super().__init__()
        thin = channels // 2
        # once for each image
        self.stem = _convolution(3, channels, stride=2)  # at 1/2
        self.context = nn.ModuleList([_convolution(channels, channels, stride=2), _convolution(channels, channels)])
        self.pixels_half = _convolution(channels, 2 * thin)
        self.pixels_quarter = _convolution(channels, 2 * channels)
        # for each prompt; one channel is left for the logits, since convolutions like multiples of eight
        self.reduce = nn.Linear(dim, channels - 1)
        self.join_quarter = _convolution(channels, channels)
        self.mix_quarter = _convolution(channels, channels)
        self.narrow = nn.Conv2d(channels, thin - 1, kernel_size=1)
        self.join_half = _convolution(thin, thin)
        self.finish = ZeroConvolution(thin, 4, kernel_size=1)

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """What the head needs of B images (B, 3, H, W): (B, channels, H/2, W/2) and (B, 2 channels, H/4, W/4), both
        rounded up."""
        half = self.stem(pixel_values.to(self.stem.weight.dtype)).relu()
        quarter = half
        for layer in self.context:
            quarter = cast(Tensor, layer(quarter)).relu()
        return self.pixels_half(half), self.pixels_quarter(quarter)

    def forward(self, patches: Tensor, logits: Tensor, pixel_features: tuple[Tensor, Tensor]) -> Tensor:
        """The refined logits.

        Args:
            patches: (n, R, C, D), the decoder's tokens of n prompts.
            logits: (n, H, W), the decoder's own.
            pixel_features: what `encode` gave, for each prompt its image's.

        Returns:
            (n, H, W).
        """
        half, quarter = pixel_features
        base = torch.tanh(logits[:, None] / 4)  # what is beyond 4 is settled
        base_half = F.avg_pool2d(base, 2, ceil_mode=True)
        base_quarter = F.avg_pool2d(base_half, 2, ceil_mode=True)

        tokens = self.reduce(patches).permute(0, 3, 1, 2)  # (n, R, C, D) -> (n, channels - 1, R, C)
        joined = torch.cat([_resize(tokens, base_quarter), base_quarter], dim=1)
        joined = _modulate(self.join_quarter(joined), quarter).relu()
        joined = self.narrow(self.mix_quarter(joined).relu())  # (n, thin - 1, H/4, W/4)
        joined = torch.cat([_resize(joined, base_half), base_half], dim=1)
        joined = _modulate(self.join_half(joined), half).relu()  # (n, thin, H/2, W/2)
        # each pixel at half of the size -> its four pixels: (n, 4, H/2, W/2) -> (n, 1, H, W)
        change = F.pixel_shuffle(self.finish(joined), 2)[:, 0, : logits.shape[1], : logits.shape[2]]
        return logits + LIMIT * torch.tanh(change / LIMIT)


class ZeroConvolution(nn.Conv2d):
    """A convolution that starts from zero."""


class RectifiedConvolution(nn.Conv2d):
    """A convolution that starts from He et al.'s weights, which keep the scale of numbers through ReLUs: behind a last
    layer of zeros, smaller ones would take long to learn."""


def _convolution(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    return RectifiedConvolution(before, after, kernel_size=3, stride=stride, padding=1)


def _modulate(features: Tensor, pixels: Tensor) -> Tensor:
    """FiLM at every place: (n, c, h, w) by (n, 2c, h, w), factors and shifts."""
    scale, shift = pixels.chunk(2, dim=1)
    return features * (1 + scale) + shift


def _resize(features: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(features, like.shape[-2:], mode="bilinear", align_corners=False)
