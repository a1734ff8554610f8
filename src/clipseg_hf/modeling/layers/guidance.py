"""The fast guided filter (He and Sun, 2015) in PyTorch: maps as linear functions of three guiding channels.

What `processing.masks.guided_filter` does in NumPy, here for a guide that is learned; with what depends on the image
alone apart from what depends on the prompt, and without what ONNX has no operation for.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

RADIUS = 2  # at a quarter of the size: a border may move by 8 pixels
EPS = 0.015  # 1e-3 of colours in [0, 1], with the variance of CLIP's normalised ones
SEEN = 9  # channels of what `look` gives
_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


def look(guide: Tensor) -> Tensor:
    """What the filter needs to know of a guide (B, 3, h, w): (B, 9, h, w), the guide itself, and the six numbers of the
    inverse of its covariance; in float32, since variances are differences of large numbers."""
    guide = guide.float()
    mean = _average(guide)
    squares = torch.stack([guide[:, i] * guide[:, j] for i, j in _PAIRS], dim=1)
    products = torch.stack([mean[:, i] * mean[:, j] for i, j in _PAIRS], dim=1)
    xx, xy, xz, yy, yz, zz = (_average(squares) - products).unbind(1)
    xx, yy, zz = xx + EPS, yy + EPS, zz + EPS
    cofactors = [
        yy * zz - yz * yz,
        xz * yz - xy * zz,
        xy * yz - xz * yy,
        xx * zz - xz * xz,
        xy * xz - xx * yz,
        xx * yy - xy * xy,
    ]
    determinant = xx * cofactors[0] + xy * cofactors[1] + xz * cofactors[2]
    return torch.cat([guide, torch.stack(cofactors, dim=1) / determinant[:, None]], dim=1)


def fit_lines(values: Tensor, seen: Tensor) -> Tensor:
    """The linear function of the guide that fits the values around each place.

    Args:
        values: (n, 1, h, w).
        seen: (n, 9, h, w) or (1, 9, h, w), of `look`.

    Returns:
        (n, 4, h, w) float32: three slopes and a shift.
    """
    values, (guide, inverse) = values.float(), seen.float().split((3, 6), dim=1)
    mean = _average(guide)  # of this very guide, which may have been rounded since
    level, products = _average(torch.cat([values, values * guide], dim=1)).split((1, 3), dim=1)
    x, y, z = (products - level * mean).unbind(1)
    xx, xy, xz, yy, yz, zz = inverse.unbind(1)
    slopes = torch.stack([xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z], dim=1)
    return _average(torch.cat([slopes, level - (slopes * mean).sum(1, keepdim=True)], dim=1))


def _average(maps: Tensor) -> Tensor:
    """Over each window, of what of it is inside."""
    inside = _sum(torch.ones_like(maps[:1, :1]))
    return _sum(maps) / inside


def _sum(maps: Tensor) -> Tensor:
    """Over each window, by shifted copies: a few times as fast as PyTorch's pooling on a CPU."""
    height, width = maps.shape[2:]
    maps = F.pad(maps, (RADIUS, RADIUS, RADIUS, RADIUS))
    maps = sum((maps[:, :, step : step + height] for step in range(1, 2 * RADIUS + 1)), maps[:, :, :height])
    return sum((maps[..., step : step + width] for step in range(1, 2 * RADIUS + 1)), maps[..., :width])
