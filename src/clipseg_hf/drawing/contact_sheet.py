"""A contact sheet: cards of pictures side by side with a few lines below, in rows under headings."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from clipseg_hf.drawing.fonts import font_for
from clipseg_hf.drawing.overlay import Color, paint_mask

_PAPER, _CARD, _INK, _PALE = (243, 244, 246), (255, 255, 255), (31, 41, 55), (107, 114, 128)
_GAP, _PAD, _BETWEEN, _LINE, _MIN_WIDTH = 14, 10, 4, 20, 640


class Line(NamedTuple):
    """A line of a card: its text, the colour of a square before it, what stands at its end; small print or not."""

    text: str
    color: Color | None = None
    end: str = ""
    is_pale: bool = False


class Card(NamedTuple):
    """Pictures by what is written on them (nothing where it is ""), and the lines below."""

    pictures: Mapping[str, Image.Image]
    lines: Sequence[Line]


def draw_sheet(
    bands: Mapping[str, Sequence[Card]], title: str, subtitle: str = "", *, place: tuple[int, int], columns: int = 4
) -> Image.Image:
    """Draw cards on one sheet; lines that are too long are cut.

    Args:
        bands: the cards under each heading; "" is none.
        title, subtitle: what stands above.
        place: (width, height) for each picture, in pixels, see `fit`.
        columns: how many cards stand in a row.
    """
    cards = [card for band in bands.values() for card in band]
    pictures = max((len(card.pictures) for card in cards), default=1)
    inner = pictures * (place[0] + _BETWEEN) - _BETWEEN
    step_x = inner + 2 * _PAD + _GAP
    step_y = place[1] + 2 * _PAD + _GAP + 8 + _LINE * max((len(card.lines) for card in cards), default=0)
    columns = min(columns, max(map(len, bands.values()), default=1)) or 1
    head, rows = 2 * _GAP + 56, sum(-(-len(band) // columns) for band in bands.values())
    headings = sum(_GAP + _LINE for name in bands if name)
    sheet = Image.new("RGB", (max(_GAP + columns * step_x, _MIN_WIDTH), head + headings + rows * step_y), _PAPER)
    draw = ImageDraw.Draw(sheet)
    top, limit = head, sheet.width - 2 * _GAP
    _write(draw, (_GAP, _GAP), title, limit, size=26)
    _write(draw, (_GAP, _GAP + 38), subtitle, limit, color=_PALE)
    for name, band in bands.items():
        if name:
            _write(draw, (_GAP, top), name, limit, size=18)
            top += _GAP + _LINE
        for number, card in enumerate(band):
            left, upper = _GAP + number % columns * step_x, top + number // columns * step_y
            box = left, upper, left + step_x - _GAP - 1, upper + step_y - _GAP - 1
            draw.rounded_rectangle(box, radius=10, fill=_CARD)
            _draw_card(sheet, draw, left + _PAD, upper + _PAD, card, place, inner)
        top += -(-len(band) // columns) * step_y
    return sheet


def draw_table(
    columns: Sequence[str], lines: Sequence[tuple[Line, Sequence[Image.Image]]], place: tuple[int, int]
) -> Image.Image:
    """Draw lines of pictures under one header: each line a caption, and below it its pictures from left to right.

    Args:
        columns: what stands over each column.
        lines: the caption and the pictures of each line, at most as many as there are columns.
        place: (width, height) that no picture is larger than, in pixels.
    """
    step = place[0] + _GAP
    heights = [_LINE + _BETWEEN + max(picture.height for picture in pictures) + _GAP for _, pictures in lines]
    sheet = Image.new("RGB", (_GAP + len(columns) * step, 2 * _GAP + _LINE + sum(heights)), _PAPER)
    draw, top = ImageDraw.Draw(sheet), 2 * _GAP + _LINE
    for number, name in enumerate(columns):
        _write(draw, (_GAP + number * step, _GAP), name, place[0], color=_PALE)
    for (caption, pictures), height in zip(lines, heights, strict=True):
        _draw_line(draw, caption, _GAP, top, sheet.width - 2 * _GAP)
        for number, picture in enumerate(pictures):
            sheet.paste(picture, (_GAP + number * step, top + _LINE + _BETWEEN))
        top += height
    return sheet


def fit(
    image: Image.Image | np.ndarray,
    place: tuple[int, int],
    masks: Sequence[tuple[np.ndarray, Color]] = (),
    *,
    opacity: float = 0.4,
    halo: int = 0,
) -> Image.Image:
    """A picture as large as its place of (width, height) pixels, with masks in their colours, later ones on top.

    Args:
        image: (h, w, 3) uint8, or RGB.
        masks: (h, w) bool each, whatever its size.
        opacity, halo: see `paint_mask`.
    """
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    scale = min(place[0] / image.width, place[1] / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    picture = image.resize(size, Image.Resampling.LANCZOS)
    for mask, color in masks:
        paint_mask(picture, mask, color, opacity, line=1, halo=halo)
    return picture


def _draw_card(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, left: int, top: int, card: Card, place: tuple[int, int], width: int
) -> None:
    for number, (title, picture) in enumerate(card.pictures.items()):
        x = left + number * (place[0] + _BETWEEN)
        sheet.paste(picture, (x + (place[0] - picture.width) // 2, top + (place[1] - picture.height) // 2))
        corner = (x + 4, top + place[1] - 4)
        draw.text(corner, title, _INK, font_for(title, 14), "ld", stroke_width=2, stroke_fill=_CARD)
    top += place[1] + 8
    for line in card.lines:
        _draw_line(draw, line, left, top, width)
        top += _LINE


def _draw_line(draw: ImageDraw.ImageDraw, line: Line, left: int, top: int, width: int) -> None:
    indent = 0 if line.color is None else 18
    if indent:
        draw.rounded_rectangle((left, top + 3, left + 11, top + 14), radius=3, fill=line.color)
    limit = width - indent - (52 if line.end else 0)
    _write(draw, (left + indent, top), line.text, limit, color=_PALE if line.is_pale else _INK)
    draw.text((left + width, top), line.end, fill=_PALE, font=font_for(line.end, 14), anchor="ra")


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, limit: int, size: int = 14, color: Color = _INK
) -> None:
    """Write a line, its end left out where it would be wider than `limit` pixels."""
    font = font_for(text, size)
    if draw.textlength(text, font=font) > limit:
        while text and draw.textlength(f"{text} …", font=font) > limit:
            text = text[:-1]
        text = f"{text.rstrip()} …"
    draw.text(place, text, fill=color, font=font)
