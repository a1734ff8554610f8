"""A sheet of a data set's pictures with their masks drawn in, to see at a glance whether they fit."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from clipseg_hf.data.rows.row_images import decode_image
from clipseg_hf.drawing.fonts import font_for
from clipseg_hf.processing.masks.rle import decode_rle

COLUMNS = 4
TILE = (300, 225)  # width and height of a picture's place, in pixels
MASKS_SHOWN = 4

_COLORS = ((230, 57, 70), (29, 120, 200), (22, 160, 98), (240, 140, 20))
_PAPER, _CARD, _INK, _PALE = (243, 244, 246), (255, 255, 255), (31, 41, 55), (107, 114, 128)
_GAP, _PAD, _LINE = 14, 10, 20
_OPACITY = 0.4


class Tile(NamedTuple):
    """A row, and the small print above its phrases."""

    row: dict
    caption: str


def draw_sheet(tiles: Sequence[Tile], title: str, subtitle: str = "") -> Image.Image:
    """Draw rows as cards, four in a line: the picture with its largest masks, and their phrases.

    Args:
        tiles: The rows, whose images may be left undecoded.
        title, subtitle: What stands above.
    """
    card = (TILE[0] + 2 * _PAD, TILE[1] + 2 * _PAD + _LINE * (MASKS_SHOWN + 2))
    columns = min(COLUMNS, max(1, len(tiles)))
    lines = -(-len(tiles) // columns)
    head = 2 * _GAP + 56
    width = max(_GAP + columns * (card[0] + _GAP), 640)
    sheet = Image.new("RGB", (width, head + lines * (card[1] + _GAP)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    _write(draw, (_GAP, _GAP), title, size=26, limit=width - 2 * _GAP)
    _write(draw, (_GAP, _GAP + 38), subtitle, color=_PALE, limit=width - 2 * _GAP)
    for number, tile in enumerate(tiles):
        left = _GAP + number % columns * (card[0] + _GAP)
        top = head + number // columns * (card[1] + _GAP)
        draw.rounded_rectangle((left, top, left + card[0] - 1, top + card[1] - 1), radius=10, fill=_CARD)
        _draw_card(sheet, draw, left + _PAD, top + _PAD, tile)
    return sheet


def _draw_card(sheet: Image.Image, draw: ImageDraw.ImageDraw, left: int, top: int, tile: Tile) -> None:
    groups: dict[str, list[dict]] = {}  # what is marked by the same mask is shown together
    for entry in tile.row["phrases"]:
        groups.setdefault(entry["mask"]["counts"], []).append(entry)
    masked = [(decode_rle(entries[0]["mask"]), entries) for entries in groups.values()]
    masked.sort(key=lambda pair: -pair[0].sum())
    shown = masked[:MASKS_SHOWN]
    picture = _with_masks(tile.row["image"], [mask for mask, _ in shown])
    sheet.paste(picture, (left + (TILE[0] - picture.width) // 2, top + (TILE[1] - picture.height) // 2))
    top += TILE[1] + 8
    _write(draw, (left, top), tile.caption, color=_PALE, limit=TILE[0])
    for (mask, entries), color in zip(shown, _COLORS, strict=False):
        top += _LINE
        share = mask.mean()
        percent = f"{share:.1%}" if share < 0.0995 else f"{share:.0%}"
        draw.rounded_rectangle((left, top + 3, left + 11, top + 14), radius=3, fill=color)
        _write(draw, (left + 18, top), " · ".join(entry["phrase"] for entry in entries), limit=TILE[0] - 70)
        _write(draw, (left + TILE[0], top), percent, color=_PALE, anchor="ra")
    if len(masked) > len(shown):
        _write(draw, (left + 18, top + _LINE), f"and {len(masked) - len(shown)} more", color=_PALE, limit=TILE[0] - 18)


def _with_masks(image, masks: list[np.ndarray]) -> Image.Image:
    """The picture at the size of its place, the masks in colour, the smallest on top."""
    pixels, (height, width) = decode_image(image, at_least=(TILE[1], TILE[0]))
    scale = min(TILE[0] / width, TILE[1] / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = np.array(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS), dtype=np.float32)
    for mask, color in zip(masks, _COLORS, strict=False):
        shape = Image.fromarray(mask).convert("L").resize(size, Image.Resampling.BOX).point(lambda v: 255 * (v > 127))
        padded = Image.new("L", (size[0] + 4, size[1] + 4))
        padded.paste(shape, (2, 2))
        core = padded.filter(ImageFilter.MinFilter(5)).crop((2, 2, size[0] + 2, size[1] + 2))
        inside, edge = np.asarray(shape) > 0, (np.asarray(shape) > 0) & ~(np.asarray(core) > 0)
        picture[inside] += _OPACITY * (np.array(color) - picture[inside])
        picture[edge] = color
    return Image.fromarray(picture.astype(np.uint8))


def _write(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    size: int = 14,
    color: tuple[int, int, int] = _INK,
    limit: int | None = None,
    anchor: str = "la",
) -> None:
    """Write a line, cut to a width in pixels."""
    font = font_for(text, size)
    if limit is not None:
        text = cut_to_width(draw, text, font, limit)
    draw.text(place, text, fill=color, font=font, anchor=anchor)


def cut_to_width(draw: ImageDraw.ImageDraw, text: str, font, limit: int) -> str:
    """A line of text, its end left out where it would be wider than `limit` pixels."""
    if draw.textlength(text, font=font) <= limit:
        return text
    while text and draw.textlength(f"{text} …", font=font) > limit:
        text = text[:-1]
    return f"{text.rstrip()} …"
