"""Pictures of masks and probabilities, for people."""

from collections.abc import Sequence
from functools import cache
from itertools import count
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from clipseg_hf.drawing.fonts import font_for
from clipseg_hf.processing.pixel_arrays import numbers_of

Color = tuple[int, int, int]

MIN_SIDE, MAX_SIDE = 640, 2048  # of a drawing's longer side, legend apart
_MIN_LEGEND = 360
# Okabe and Ito's colours, told apart by the colour-blind too, without the black, brightened where photographs are dark
_CHOSEN: tuple[Color, ...] = (
    (230, 60, 40),
    (20, 130, 240),
    (250, 190, 0),
    (0, 175, 110),
    (215, 90, 190),
    (90, 205, 250),
    (255, 130, 50),
    (120, 80, 220),
)
TRUTH, FOUND, EXAMPLE = _CHOSEN[3], _CHOSEN[0], _CHOSEN[1]  # green, red and blue, wherever an answer is shown
_INK, _PAPER = (34, 34, 34), (255, 255, 255)


def palette(number: int) -> list[Color]:
    """`number` colours, easy to tell apart: eight chosen ones, then always the one that differs most from those before.
    Beyond some hundreds they repeat."""
    colors = [*_CHOSEN, *_others()]
    return [colors[place % len(colors)] for place in range(number)]


def steady_colors(groups: Sequence[Sequence[str]]) -> dict[str, Color]:
    """One colour for each name in all groups, so that those of one group differ.

    Args:
        groups: names that are seen together, such as the phrases of one picture.
    """
    chosen: dict[str, int] = {}
    for name in (name for group in groups for name in group):
        taken = {chosen.get(other) for group in groups if name in group for other in group}
        chosen.setdefault(name, next(number for number in count() if number not in taken))
    return {name: palette(number + 1)[number] for name, number in chosen.items()}


@cache
def _others() -> tuple[Color, ...]:
    levels = np.linspace(0, 255, 9).round()
    candidates = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)  # (729, 3)
    brightness = candidates @ (0.3, 0.59, 0.11)
    candidates = candidates[(brightness > 30) & (brightness < 225) & (np.ptp(candidates, axis=1) > 60)]
    # how far the eye finds two colours apart, roughly: it is keenest in green
    nearest = np.full(len(candidates), np.inf)
    order: list[Color] = []
    for color in _CHOSEN:
        nearest = np.minimum(nearest, ((candidates - color) ** 2 @ (2, 4, 3)))
    for _ in range(len(candidates)):
        best = candidates[nearest.argmax()]
        red, green, blue = (int(part) for part in best)
        order.append((red, green, blue))
        nearest = np.minimum(nearest, (candidates - best) ** 2 @ (2, 4, 3))
    return tuple(order)


def overlay(
    image: Image.Image,
    masks: Sequence | np.ndarray,
    labels: Sequence[str] | None = None,
    *,
    mask_colors: Sequence[Color] | None = None,
    opacity: float | Sequence[float] = 0.5,
    min_side: int = MIN_SIDE,
    max_side: int = MAX_SIDE,
) -> Image.Image:
    """The image with its masks in colour, and a legend below.

    Args:
        image: a picture of h x w pixels.
        masks: (h, w) bool each, arrays or tensors; later ones lie above earlier ones.
        labels: one for each mask, wrapped where they are long; None: no legend.
        mask_colors: (red, green, blue) in 0 ... 255 for each mask; None: `palette`.
        opacity: of the colour inside of a mask, in [0, 1], one for all or one for each; its outline is opaque.
        min_side, max_side: what a small image's longer side is enlarged to, and a large one's reduced to, in pixels.

    Returns:
        an RGB picture; with a legend it is higher than the image, and a narrow image has white beside it.

    Raises:
        ValueError: masks of another size than the image, or another number of labels, colours or opacities than masks.
    """
    masks = [_as_array(mask, image, f"masks[{number}]").astype(bool) for number, mask in enumerate(masks)]
    chosen = palette(len(masks)) if mask_colors is None else list(mask_colors)
    opacities = [opacity] * len(masks) if isinstance(opacity, (int, float)) else list(opacity)
    for name, values in (("labels", labels), ("mask_colors", mask_colors), ("opacities", opacities)):
        if values is not None and len(values) != len(masks):
            raise ValueError(f"{len(values)} {name} do not fit {len(masks)} masks: give one for each.")
    if not all(0 <= value <= 1 for value in opacities):
        raise ValueError(f"opacity is in [0, 1], got {opacity}.")
    picture = _scaled(image.convert("RGB"), min_side, max_side)
    line = max(1, round(max(picture.size) / 400))
    for mask, color, inside in zip(masks, chosen, opacities, strict=True):
        paint_mask(picture, mask, color, inside, line)
    return picture if labels is None else _with_legend(picture, list(labels), chosen)


def paint_mask(
    picture: Image.Image, mask: np.ndarray, color: Color, opacity: float, line: int = 0, halo: int = 0
) -> None:
    """Lay a mask over a picture, whatever their sizes, touching no more of the picture than that takes.

    Args:
        picture: RGB, painted on.
        mask: (h, w) bool, or float in [0, 1]: so strong is the colour.
        opacity: of the colour inside, in [0, 1].
        line: how far an opaque outline reaches to either side of the edge, in pixels; 0: none.
        halo: how far white reaches beyond the outline: it is seen on any ground, the colour alone is not.
    """
    shape = _smooth_shape(mask, picture.size)
    box = shape.getbbox()
    if box is None:
        return
    margin = line + halo + 3
    box = (
        max(box[0] - margin, 0),
        max(box[1] - margin, 0),
        min(box[2] + margin, shape.width),
        min(box[3] + margin, shape.height),
    )
    part = shape.crop(box)
    picture.paste(color, box, part.point(lambda value: round(value * opacity)))
    if halo:
        picture.paste("white", box, _outline(part, line + halo))
    if line:
        picture.paste(color, box, _outline(part, line))


def heat_map(
    image: Image.Image,
    probabilities: Any,
    *,
    colormap: str = "inferno",
    opacity: float = 0.85,
    min_side: int = MIN_SIDE,
    max_side: int = MAX_SIDE,
) -> Image.Image:
    """The image in dim grey under the colours of the probabilities.

    Args:
        image: a picture of h x w pixels.
        probabilities: (h, w) in [0, 1], array or tensor.
        colormap: of matplotlib; dark for 0 and bright for 1.
        opacity: of the colours, in [0, 1].
        min_side, max_side: as in `overlay`.

    Returns:
        an RGB picture.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: probabilities of another size than the image, or outside [0, 1].
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError("The colours of a heat map are matplotlib's: pip install matplotlib.") from error

    values = _as_array(probabilities, image, "probabilities").astype(np.float32)
    if not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(
            f"probabilities are in [0, 1], got {values.min():g} to {values.max():g}: logits need a sigmoid."
        )
    picture = _scaled(image.convert("RGB"), min_side, max_side)
    values = np.asarray(Image.fromarray(values).resize(picture.size, Image.Resampling.BICUBIC)).clip(0, 1)
    heat = matplotlib.colormaps[colormap](values)[..., :3]  # (h, w) -> (h, w, 3)
    grey = np.asarray(picture.convert("L"), dtype=np.float32)[..., None] / 255
    share = opacity * np.minimum(1, 2 * values)[..., None]  # what is not likely shows the picture
    mixed = (1 - share) * 0.5 * grey + share * heat * (0.6 + 0.4 * grey)
    return Image.fromarray((255 * mixed).round().astype(np.uint8))


def _as_array(values: Any, image: Image.Image, name: str) -> np.ndarray:
    values = numbers_of(values)
    if values.shape != (image.height, image.width):
        raise ValueError(
            f"{name} has the shape {values.shape}, but the image is {image.height} x {image.width} (height x width): "
            "they have to agree."
        )
    return values


def _scaled(image: Image.Image, min_side: int, max_side: int) -> Image.Image:
    longest = max(image.size)
    factor = min(max(longest, min_side), max_side) / longest
    if factor == 1:
        return image.copy()
    width, height = (max(1, round(side * factor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _smooth_shape(mask: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """A mask at the drawing's size, 0 ... 255, its edge smooth where it was enlarged."""
    shape = Image.fromarray(np.multiply(mask, 255, dtype=np.float32).round().astype(np.uint8))
    if shape.size == size:
        return shape
    enlarged = size[0] / shape.width
    shape = shape.resize(size, Image.Resampling.BICUBIC)
    # a steep ramp around one half: smooth, but not blurred
    steepness = max(1.0, enlarged / 2)
    return shape.point(lambda value: min(255, max(0, round((value - 127.5) * steepness + 127.5))))


def _outline(shape: Image.Image, width: int) -> Image.Image:
    """A line of `width` pixels to either side of a shape's edge."""
    grown = shrunk = shape
    for _ in range(width):
        grown, shrunk = grown.filter(ImageFilter.MaxFilter(3)), shrunk.filter(ImageFilter.MinFilter(3))
    line = np.asarray(grown, dtype=np.int16) - np.asarray(shrunk, dtype=np.int16)
    if width == 1:  # smoothed, it would turn pale
        return Image.fromarray(np.minimum(2 * line, 255).astype(np.uint8))
    return Image.fromarray(line.astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.5))


def _with_legend(picture: Image.Image, labels: list[str], swatches: list[Color]) -> Image.Image:
    """The picture above rows of coloured squares with their labels; nothing is cut, long labels take several lines."""
    width = max(picture.width, _MIN_LEGEND)
    size = min(max(round(width / 40), 16), 40)
    font, gap, line = font_for("".join(labels), size), round(size * 0.5), round(size * 1.35)
    indent = size + gap  # of a label, behind its square
    entries = [_wrap(label, font, width - 2 * gap - indent) for label in labels]
    places, x, y, row = [], gap, gap, 0
    for lines in entries:
        needed = indent + max(round(font.getlength(text)) for text in lines)
        if x > gap and x + needed > width - gap:
            x, y, row = gap, y + row, 0
        places.append((x, y))
        x, row = x + needed + 2 * gap, max(row, len(lines) * line)
    sheet = Image.new("RGB", (width, picture.height + (y + row + gap if entries else 0)), _PAPER)
    sheet.paste(picture, ((width - picture.width) // 2, 0))
    draw = ImageDraw.Draw(sheet)
    for (left, top), lines, color in zip(places, entries, swatches, strict=True):
        top += picture.height
        draw.rounded_rectangle((left, top, left + size, top + size), radius=size // 5, fill=color)
        for number, text in enumerate(lines):
            # the middle of the capital letters beside the middle of the square
            draw.text((left + indent, top + size / 2 + number * line), text, fill=_INK, font=font, anchor="lm")
    return sheet


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Lines of at most `width` pixels, broken between words, and inside of words that are longer than a line."""
    lines, current = [], ""
    for word in text.split() or [""]:
        candidate = f"{current} {word}" if current else word
        if font.getlength(candidate) <= width:
            current = candidate
            continue
        if current:
            lines.append(current)
        while font.getlength(word) > width:
            fits = next(n for n in range(len(word), 0, -1) if n == 1 or font.getlength(word[:n]) <= width)
            if fits == len(word):
                break
            lines.append(word[:fits])
            word = word[fits:]
        current = word
    return [*lines, current]
