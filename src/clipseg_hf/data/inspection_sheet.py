"""A sheet of a data set's pictures with their masks drawn in, to see at a glance whether they fit."""

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image

from clipseg_hf.data.rows.row_images import decode_image
from clipseg_hf.drawing import contact_sheet
from clipseg_hf.drawing.contact_sheet import Card, Line
from clipseg_hf.drawing.overlay import Color, steady_colors
from clipseg_hf.processing.masks.rle import decode_rle

PLACE = (300, 225)  # width and height for a picture, in pixels
MASKS_SHOWN = 4


class Tile(NamedTuple):
    """A row, and the small print above its phrases."""

    row: dict
    caption: str


def draw_sheet(tiles: Sequence[Tile], title: str, subtitle: str = "") -> Image.Image:
    """Draw rows as cards, four in a line: the picture with its largest masks, and their phrases, each of which has one
    colour on all of the sheet.

    Args:
        tiles: The rows, whose images may be left undecoded.
        title, subtitle: What stands above.
    """
    marked = [_marked(tile.row) for tile in tiles]
    colors = steady_colors([[phrases[0] for phrases, _ in masks[:MASKS_SHOWN]] for masks in marked])
    cards = [_draw_card(tile, masks, colors) for tile, masks in zip(tiles, marked, strict=True)]
    return contact_sheet.draw_sheet({"": cards}, title, subtitle, place=PLACE)


def _marked(row: dict) -> list[tuple[list[str], dict]]:
    """The masks of a row, run lengths, each behind the phrases that it is the mask of; the largest first."""
    groups: dict[str, tuple[list[str], dict]] = {}
    for entry in row["phrases"]:
        groups.setdefault(entry["mask"]["counts"], ([], entry["mask"]))[0].append(entry["phrase"])
    return sorted(groups.values(), key=lambda group: -decode_rle(group[1]).sum())


def _draw_card(tile: Tile, marked: list[tuple[list[str], dict]], colors: dict[str, Color]) -> Card:
    shown = [(phrases, decode_rle(mask)) for phrases, mask in marked[:MASKS_SHOWN]]
    lines = [Line(tile.caption, is_pale=True)]
    for phrases, mask in shown:
        share = mask.mean()
        percent = f"{share:.1%}" if share < 0.0995 else f"{share:.0%}"
        lines.append(Line(" · ".join(phrases), colors[phrases[0]], percent))
    if len(marked) > len(shown):
        lines.append(Line(f"and {len(marked) - len(shown)} more", is_pale=True))
    pixels, _ = decode_image(tile.row["image"], at_least=PLACE[::-1])
    masks = [(mask, colors[phrases[0]]) for phrases, mask in shown]
    return Card({"": contact_sheet.fit(pixels, PLACE, masks)}, lines)
