"""Backgrounds for scenes: plain, graded, clouded, striped, checked or dotted, never twice the same."""

from __future__ import annotations

import colorsys

import numpy as np
from PIL import Image


def draw_background(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A picture to paste things on: (height, width, 3) uint8, drawn from `generator`."""
    first, second = _two_colours(generator)
    blend = generator.choice(_BLENDS)(generator, height, width)  # (height, width) in [0, 1]
    picture = first + blend[..., None] * (second - first)
    picture += generator.normal(0, generator.uniform(0, 6), (height, width, 1))
    return picture.clip(0, 255).astype(np.uint8)


def _two_colours(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    hue = generator.uniform()
    other = (hue + generator.uniform(-0.15, 0.15)) % 1 if generator.uniform() < 0.7 else generator.uniform()
    colours = [
        colorsys.hsv_to_rgb(h, generator.uniform(0, 0.8) ** 1.5, generator.uniform(0.25, 1.0)) for h in (hue, other)
    ]
    return tuple(255 * np.array(colour) for colour in colours)


def _plain(generator, height, width):
    return np.full((height, width), generator.uniform())


def _projection(generator, height, width):
    """The coordinate along a random direction, in pixels: (height, width)."""
    angle = generator.uniform(0, 2 * np.pi)
    return np.cos(angle) * np.arange(width)[None] + np.sin(angle) * np.arange(height)[:, None]


def _gradient(generator, height, width):
    along = _projection(generator, height, width)
    return (along - along.min()) / max(np.ptp(along), 1)


def _clouds(generator, height, width):
    total = np.zeros((height, width))
    for cells in (2, 4, 8, 16):
        noise = generator.uniform(size=(cells + 2, cells + 2)).astype(np.float32) / cells
        total += np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))
    return (total - total.min()) / max(np.ptp(total), 1e-6)


def _stripes(generator, height, width):
    period = generator.uniform(10, 60)
    return (np.sin(2 * np.pi * _projection(generator, height, width) / period) > generator.uniform(-0.6, 0.6)) * 1.0


def _waves(generator, height, width):
    return 0.5 + 0.5 * np.sin(2 * np.pi * _projection(generator, height, width) / generator.uniform(20, 120))


def _checks(generator, height, width):
    side = int(generator.integers(8, 48))
    return ((np.arange(width)[None] // side + np.arange(height)[:, None] // side) % 2) * 1.0


def _dots(generator, height, width):
    period, radius = generator.uniform(14, 40), generator.uniform(0.2, 0.4)
    x, y = np.arange(width)[None] / period % 1 - 0.5, np.arange(height)[:, None] / period % 1 - 0.5
    return (x**2 + y**2 < radius**2) * 1.0


_BLENDS = np.array([_plain, _gradient, _clouds, _clouds, _stripes, _waves, _checks, _dots], dtype=object)
