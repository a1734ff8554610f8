"""Small learned refiners that `refiners.py` compares. Each has the interface of `PixelRefiner`: `encode(pixel_values)`
once for each image, `forward(patches, logits, pixel_features)` for each prompt, and a last layer that starts from zero.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipseg_hf.modeling.layers.refiner import LIMIT, RectifiedConvolution, ZeroConvolution


class ConvolutionRefiner(nn.Module):
    """Convolutions of tokens and pixels, at a quarter and at half of the image's size; the pixels enter by factors and
    sums.

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
        half = self.stem(pixel_values.to(self.stem.weight.dtype)).relu()
        quarter = half
        for layer in self.context:
            quarter = layer(quarter).relu()
        return self.pixels_half(half), self.pixels_quarter(quarter)

    def forward(self, patches: Tensor, logits: Tensor, pixel_features: tuple[Tensor, Tensor]) -> Tensor:
        half, quarter = pixel_features
        base = torch.tanh(logits[:, None] / 4)  # what is beyond 4 is settled
        base_half = F.avg_pool2d(base, 2, ceil_mode=True)
        base_quarter = F.avg_pool2d(base_half, 2, ceil_mode=True)

        tokens = self.reduce(patches).permute(0, 3, 1, 2)  # (n, R, C, D) -> (n, channels - 1, R, C)
        joined = torch.cat([_upsample(tokens, base_quarter), base_quarter], dim=1)
        joined = _modulate(self.join_quarter(joined), quarter).relu()
        joined = self.narrow(self.mix_quarter(joined).relu())  # (n, thin - 1, H/4, W/4)
        joined = torch.cat([_upsample(joined, base_half), base_half], dim=1)
        joined = _modulate(self.join_half(joined), half).relu()  # (n, thin, H/2, W/2)
        # each pixel at half of the size -> its four pixels: (n, 4, H/2, W/2) -> (n, 1, H, W)
        change = F.pixel_shuffle(self.finish(joined), 2)[:, 0, : logits.shape[1], : logits.shape[2]]
        return logits + LIMIT * torch.tanh(change / LIMIT)


class SupervisedRefiner(ConvolutionRefiner):
    """Deep supervision: in training, a second loss on logits at a quarter of the size."""

    def __init__(self, dim: int, channels: int):
        super().__init__(dim, channels)
        self.early = ZeroConvolution(channels, 1, kernel_size=1)
        self.mix_quarter.register_forward_hook(lambda layer, inputs, output: setattr(self, "mixed", output))

    def early_logits(self, logits: Tensor) -> Tensor:
        """(n, H, W) -> (n, H/4, W/4)."""
        return F.avg_pool2d(logits, 4) + self.early(self.mixed.relu())[:, 0]


class AttentionRefiner(nn.Module):
    """Image-conditioned attention as an upsampler (after JAFAR and AnyUp): each place at half of the size mixes the
    3 x 3 tokens around it by how its pixels fit theirs. The weights depend on the image alone, so a prompt costs one
    weighted sum and a thin head."""

    def __init__(self, dim: int, channels: int):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(channels, channels, 3, padding=1)
        self.query, self.key = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.place = nn.Parameter(torch.zeros(channels, 8, 8))  # of a pixel within its token
        self.near = nn.Parameter(torch.zeros(9, 8, 8))
        self.pixels = nn.Conv2d(channels, 16, 3, padding=1)
        self.value = nn.Linear(dim, 7)
        self.join = nn.Conv2d(8, 8, 3, padding=1)
        self.finish = ZeroConvolution(8, 4, 1)

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        half = self.stem(pixel_values).relu()
        half = half + self.deep(half).relu()
        grid = (half.shape[2] // 8, half.shape[3] // 8)
        query = self.query(half + self.place.repeat(1, *grid))
        keys = _neighbours(self.key(F.avg_pool2d(half, 8)))  # (B, c, R, C, 9)
        query = query.unflatten(3, (-1, 8)).unflatten(2, (-1, 8))  # (B, c, R, y, C, x)
        scores = torch.einsum("bcryqx,bcrqk->brqyxk", query, keys) * query.shape[1] ** -0.5
        weights = (scores + self.near.permute(1, 2, 0)).softmax(-1).flatten(3, 4)  # (B, R, C, 64, 9)
        return weights, self.pixels(half)

    def forward(self, patches: Tensor, logits: Tensor, pixel_features: tuple[Tensor, ...]) -> Tensor:
        weights, pixels = pixel_features
        values = _neighbours(self.value(patches).permute(0, 3, 1, 2)).permute(0, 2, 3, 4, 1)  # (n, R, C, 9, 7)
        mixed = (weights @ values).unflatten(3, (8, 8))  # (n, R, C, y, x, 7)
        mixed = mixed.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)  # (n, 7, H/2, W/2)
        base = F.avg_pool2d(torch.tanh(logits[:, None] / 4), 2)
        scale, shift = pixels.chunk(2, dim=1)
        joined = (self.join(torch.cat([mixed, base], 1)) * (1 + scale) + shift).relu()
        return logits + F.pixel_shuffle(self.finish(joined), 2)[:, 0]


class PointRefiner(nn.Module):
    """After PointRend: a perceptron on tokens, pixels and logits at single points; trained where the logits are
    undecided, asked at the eighth of all pixels that is least decided."""

    share = 8

    def __init__(self, dim: int, channels: int):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.context = nn.ModuleList(
            [nn.Conv2d(channels, channels, 3, stride=2, padding=1), nn.Conv2d(channels, channels, 3, padding=1)]
        )
        self.reduce = nn.Linear(dim, 32)
        self.pixels = nn.Conv2d(2 * channels, 32, 1)
        self.layers = nn.ModuleList([nn.Linear(65, 32), nn.Linear(32, 32)])
        self.finish = nn.Linear(32, 1)
        nn.init.zeros_(self.finish.weight)
        nn.init.zeros_(self.finish.bias)

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        whole = self.stem(pixel_values).relu()
        deep = whole
        for layer in self.context:
            deep = layer(deep).relu()
        deep = F.interpolate(deep, whole.shape[2:], mode="bilinear")
        return (self.pixels(torch.cat([whole, deep], 1)),)

    def forward(self, patches: Tensor, logits: Tensor, pixel_features: tuple[Tensor, ...]) -> Tensor:
        height, width = logits.shape[1:]
        flat = logits.flatten(1)  # (n, H * W)
        points = (flat.abs() + 2 * self.training * torch.rand_like(flat)).topk(
            height * width // self.share, largest=False
        )
        points = points.indices  # (n, P)
        y, x = points // width, points % width
        at = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)[:, None]  # (n, 1, P, 2)
        tokens = self.reduce(patches).permute(0, 3, 1, 2)
        tokens = F.grid_sample(tokens, at, align_corners=False, padding_mode="border")[:, :, 0]  # (n, 32, P)
        seen = pixel_features[0].flatten(2).expand(len(points), -1, -1)  # (n, 32, H * W)
        pixels = seen.gather(2, points[:, None].expand(-1, seen.shape[1], -1))  # (n, 32, P)
        base = torch.tanh(flat.gather(1, points) / 4)[:, None]
        hidden = torch.cat([tokens, pixels, base], 1).transpose(1, 2)  # (n, P, 65)
        for layer in self.layers:
            hidden = layer(hidden).relu()
        return flat.scatter_add(1, points, self.finish(hidden)[..., 0]).view_as(logits)


def _convolution(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    return RectifiedConvolution(before, after, kernel_size=3, stride=stride, padding=1)


def _modulate(features: Tensor, pixels: Tensor) -> Tensor:
    scale, shift = pixels.chunk(2, dim=1)
    return features * (1 + scale) + shift


def _upsample(features: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(features, like.shape[2:], mode="bilinear")


def _neighbours(maps: Tensor) -> Tensor:
    """(n, c, R, C) -> (n, c, R, C, 9), the border's repeated."""
    return F.pad(maps, (1, 1, 1, 1), mode="replicate").unfold(2, 3, 1).unfold(3, 3, 1).flatten(4)
