"""An optional head that looks at the pixels: a correction of CLIPSeg's logits at the borders, of which stock knows
nothing.

What depends on the image alone runs once for each image, what depends on the prompt is kept thin: the pixels enter by
factors and sums on the prompt's few channels.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipseg_hf.modeling.layers.guidance import SEEN, fit_lines, look

SETTLED = 4.0  # logits beyond are not told apart
LIMIT = 8.0  # of what is added to a logit


class PixelRefiner(nn.Module):
    """Adds to each logit a linear function of its pixel's colour, which changes from place to place.

    A guided filter by learned colours moves borders to edges of the picture; convolutions on tokens and pixels, at a
    quarter of the size, say how far to believe it at each place, and what else to add. The last layer starts from zero,
    so a fresh refiner changes nothing; and no logit moves by more than `LIMIT`, so that pixels may settle what is
    doubtful and not overrule what the decoder is sure of.

    Args:
        dim: D, the width of the decoder's tokens.
        channels: of the features at a quarter of the size.
    """

    def __init__(self, dim: int, channels: int):
        super().__init__()
        # once for each image
        self.stem = _convolution(3, channels, stride=2)  # at 1/2
        self.context = nn.ModuleList(
            [
                _convolution(channels, channels, stride=2),
                _convolution(channels, channels),
                _convolution(channels, channels),
            ]
        )
        self.pixels = _convolution(channels, 2 * channels)
        self.colours = ZeroConvolution(channels, 3, kernel_size=1)  # what the guide has beyond the picture's own
        # for each prompt; two channels are left for the logits, since convolutions like multiples of eight
        self.reduce = nn.Linear(dim, channels - 2)
        self.join = _convolution(channels, channels)
        self.mix = _convolution(channels, channels)
        self.finish = ZeroConvolution(channels, 5, kernel_size=1)

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """What the head needs of B images (B, 3, H, W), both sides rounded up: the guide's pixels, four in one place,
        (B, 12, H/2, W/2); and factors, sums and what `look` gives of the guide, (B, 2 channels + 9, H/4, W/4)."""
        pixels = pixel_values.to(self.stem.weight.dtype)
        half = self.stem(pixels).relu()
        quarter = half
        for layer in self.context:
            quarter = cast(Tensor, layer(quarter)).relu()
        height, width = half.shape[2:]
        whole = F.pad(pixels, (0, 2 * width - pixels.shape[3], 0, 2 * height - pixels.shape[2]), mode="replicate")
        guide = whole + _resize(self.colours(half), whole)
        seen = look(F.avg_pool2d(F.avg_pool2d(guide, 2), 2, ceil_mode=True))
        return F.pixel_unshuffle(guide, 2), torch.cat([self.pixels(quarter), seen.to(quarter.dtype)], dim=1)

    def forward(self, patches: Tensor, logits: Tensor, pixel_features: tuple[Tensor, Tensor]) -> Tensor:
        """The refined logits.

        Args:
            patches: (n, R, C, D), the decoder's tokens of n prompts.
            logits: (n, H, W), the decoder's own.
            pixel_features: what `encode` gave, for each prompt its image's.

        Returns:
            (n, H, W).
        """
        colours, (pixels, seen) = pixel_features[0], pixel_features[1].split((2 * self.join.out_channels, SEEN), dim=1)
        # four pixels of each: (n, H, W) -> (n, 4, H/2, W/2) -> (n, 1, H/4, W/4)
        settled = F.pixel_unshuffle(_even(logits), 2).mul(1 / SETTLED).clamp(-1, 1)
        small = F.avg_pool2d(settled.mean(1, keepdim=True), 2, ceil_mode=True)
        lines = fit_lines(small, seen)  # (n, 4, H/4, W/4)
        guided = (lines[:, :3] * seen[:, :3]).sum(1, keepdim=True) + lines[:, 3:]

        tokens = self.reduce(patches).permute(0, 3, 1, 2)  # (n, R, C, D) -> (n, channels - 2, R, C)
        joined = torch.cat([_resize(tokens, small), small, guided.to(small.dtype)], dim=1)
        joined = _modulate(self.join(joined), pixels).relu()
        trust, more = self.finish(self.mix(joined).relu()).split((1, 4), dim=1)
        # (n, 5, H/2, W/2): what four pixels have in common
        trust, lines = _resize(torch.cat([trust, trust * lines + more], dim=1), colours).split((1, 4), dim=1)
        added = (lines[:, :3, None] * colours.unflatten(1, (3, 4))).sum(1) + lines[:, 3:]
        added = (added - trust * settled).mul(SETTLED).clamp(-LIMIT, LIMIT)
        return logits + F.pixel_shuffle(added, 2)[:, 0, : logits.shape[1], : logits.shape[2]].to(logits.dtype)


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


def _even(maps: Tensor) -> Tensor:
    """(n, H, W) -> (n, 1, H, W), both sides rounded up to even numbers."""
    return F.pad(maps[:, None], (0, maps.shape[2] % 2, 0, maps.shape[1] % 2), mode="replicate")
