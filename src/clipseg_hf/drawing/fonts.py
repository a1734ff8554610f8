"""Fonts for what is written on pictures: phrases may be in any script, and no single font has all of them."""

import importlib.util
import warnings
from functools import cache
from pathlib import Path
from typing import Any, cast

from PIL import ImageFont

_INVISIBLE = {"\u200b", "\u200c", "\u200d", "\ufe0e", "\ufe0f", "\n", "\t"}


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont:
    """A font that has all characters of a text: DejaVu Sans, which comes with matplotlib, or one of the system's.

    Where no font has all of them, the one that has most, and a warning that says what to install: what a font does not
    have is drawn as boxes. Without matplotlib it is Pillow's own, of Latin letters.
    """
    if importlib.util.find_spec("matplotlib") is None:
        return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size))
    return _load(_find_font(frozenset(text) - _INVISIBLE), size)


@cache
def _load(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


@cache
def _find_font(characters: frozenset[str]) -> str:
    import matplotlib

    usual = str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))
    best, lacking = usual, _lacking(usual, characters)
    if not lacking:
        return usual
    for path in _system_fonts():
        without = _lacking(path, characters)
        if not without:
            return path
        if len(without) < len(lacking):
            best, lacking = path, without
    warnings.warn(
        f"No font of this system has {' '.join(sorted(lacking)[:10])}: the pictures show boxes in their place. Install "
        "one that has, such as Noto Sans CJK (Debian's fonts-noto-cjk).",
        stacklevel=3,
    )
    return best


def _system_fonts() -> list[str]:
    """Paths of installed fonts, upright ones of normal weight first, without serifs before the others."""
    from matplotlib.font_manager import fontManager

    def rank(font: Any) -> tuple:
        weight = font.weight if isinstance(font.weight, int) else 400
        return font.style != "normal", abs(weight - 400), "Mono" in font.name, "Sans" not in font.name, font.fname

    return [font.fname for font in sorted(fontManager.ttflist, key=rank) if "emoji" not in font.name.lower()]


@cache
def _characters_of(path: str) -> frozenset[str]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError):  # gone since it was listed, or none that FreeType can scale
        return frozenset()


def _lacking(path: str, characters: frozenset[str]) -> frozenset[str]:
    return characters - _characters_of(path)
