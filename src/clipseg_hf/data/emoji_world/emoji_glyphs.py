"""Emoji as pictures: the fixed list of concepts, and Noto Color Emoji drawn glyph by glyph."""

from __future__ import annotations

import functools
import importlib.resources
import json
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

# Where Linux distributions and macOS' package managers put the font.
FONT_PLACES = (
    "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf",
    "/usr/share/fonts/noto/NotoColorEmoji.ttf",
    "/usr/share/fonts/google-noto-emoji/NotoColorEmoji.ttf",
    "/usr/share/fonts/google-noto-color-emoji-fonts/NotoColorEmoji.ttf",
    "~/.local/share/fonts/NotoColorEmoji.ttf",
    "~/.fonts/NotoColorEmoji.ttf",
    "~/Library/Fonts/NotoColorEmoji.ttf",
    "/Library/Fonts/NotoColorEmoji.ttf",
)
BITMAP_SIZE = 109  # the only size that the font's bitmaps have
INSTALL_HINT = (
    "install it ('apt-get install fonts-noto-color-emoji' on Debian and Ubuntu, "
    "'dnf install google-noto-color-emoji-fonts' on Fedora) or give the path of NotoColorEmoji.ttf"
)


@dataclass(frozen=True)
class EmojiConcept:
    """A thing of the emoji world: its character, its name, and whether training phrases may name it."""

    character: str
    name: str
    seen: bool


@functools.cache
def load_concepts() -> tuple[EmojiConcept, ...]:
    """All concepts in the order of the committed list (made by `examples/make_emoji_concepts.py`)."""
    text = (
        importlib.resources.files("clipseg_hf.data.emoji_world")
        .joinpath("emoji_concepts.json")
        .read_text(encoding="utf-8")
    )
    return tuple(EmojiConcept(**entry) for entry in json.loads(text))


def find_emoji_font(path: str | Path | None = None) -> Path:
    """The path of NotoColorEmoji.ttf: the given one, or the first place of the system that has it.

    Raises:
        FileNotFoundError: it is at neither; the message says how to install it.
    """
    places = FONT_PLACES if path is None else (str(path),)
    for place in places:
        found = Path(place).expanduser()
        if found.is_file():
            return found
    looked = "on this system" if path is None else f"at {path}"
    raise FileNotFoundError(f"The Noto Color Emoji font was not found {looked}: {INSTALL_HINT}.")


class GlyphSheet:
    """Glyphs of the font as RGBA pictures, trimmed to what is painted; each is drawn once and kept."""

    def __init__(self, font: str | Path | None = None):
        self.path = find_emoji_font(font)
        try:
            self._font = ImageFont.truetype(str(self.path), BITMAP_SIZE)
        except OSError as error:
            raise ValueError(
                f"{self.path} cannot be used as the emoji font ({error}); expected the bitmap version of Noto Color "
                f"Emoji, which has size {BITMAP_SIZE}: {INSTALL_HINT}."
            ) from error
        self._glyphs: dict[str, Image.Image | None] = {}

    def find(self, character: str) -> Image.Image | None:
        """The glyph, at most 136 x 128 pixels, or None where the font has none."""
        if character not in self._glyphs:
            canvas = Image.new("RGBA", (160, 160))
            ImageDraw.Draw(canvas).text((8, 8), character, font=self._font, embedded_color=True)
            box = canvas.getchannel("A").getbbox()
            self._glyphs[character] = canvas.crop(box) if box else None
        return self._glyphs[character]

    def __getitem__(self, character: str) -> Image.Image:
        glyph = self.find(character)
        if glyph is None:
            raise KeyError(f"The font {self.path} has no glyph for U+{ord(character):04X}; a newer release may.")
        return glyph
