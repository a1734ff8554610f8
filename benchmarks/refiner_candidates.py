"""Small learned refiners that `refiners.py` compares. Each has the interface of `PixelRefiner`: `encode(pixel_values)`
once for each image, `forward(patches, logits, pixel_features)` for each prompt, and a last layer that starts from zero.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipseg_hf.modeling.layers.refiner import PixelRefiner, ZeroConvolution


class SumRefiner(PixelRefiner):
    """The pixels enter by sums alone: what one convolution of tokens and pixels side by side would do."""

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.cat([0 * f.chunk(2, 1)[0], f.chunk(2, 1)[1]], 1) for f in super().encode(pixel_values))


class SupervisedRefiner(PixelRefiner):
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


def _neighbours(maps: Tensor) -> Tensor:
    """(n, c, R, C) -> (n, c, R, C, 9), the border's repeated."""
    return F.pad(maps, (1, 1, 1, 1), mode="replicate").unfold(2, 3, 1).unfold(3, 3, 1).flatten(4)
