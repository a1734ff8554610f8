"""What a visitor may send: pictures and prompts of bounded size, read with errors in the visitor's language."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from clipseg_hf.app.words import PageError
from clipseg_hf.processing.images import UnreadableImageError, load_image, open_image

Source = str | bytes  # a path, or what the file holds


@dataclass(frozen=True)
class Limits:
    """Bounds of a request.

    Attributes:
        file_bytes: of an uploaded file.
        pixels: of a picture as it comes.
        side: what a larger picture's longer side is reduced to before it is looked at, in pixels.
        prompts: lines of text.
        characters: of all of them.
        queue: requests that wait; further ones are told to come again.
        pictures: encoded ones that are kept, whoever they are from; 5 MB each with the released checkpoints.
    """

    file_bytes: int = 16 * 2**20
    pixels: int = 50_000_000
    side: int = 2048
    prompts: int = 12
    characters: int = 1000
    queue: int = 32
    pictures: int = 32


def read_file(source: Source, limits: Limits) -> bytes:
    """What a file holds.

    Raises:
        PageError: it is too large.
    """
    size = len(source) if isinstance(source, bytes) else os.path.getsize(source)
    if size > limits.file_bytes:
        raise PageError("too_many_bytes", given=f"{size / 2**20:.1f}", most=f"{limits.file_bytes / 2**20:.0f}")
    return source if isinstance(source, bytes) else Path(source).read_bytes()


def read_picture(source: Source, limits: Limits) -> tuple[Image.Image, tuple[int, int]]:
    """An uploaded picture, RGB, upright, its longer side within `limits.side`; and its (width, height) as it came.

    Raises:
        PageError: it is none, or too large.
    """
    try:
        opened, _ = open_image(read_file(source, limits), "picture")
        pixels = opened.width * opened.height  # read from the head of the file, before anything is decoded
        if pixels > limits.pixels:
            raise PageError("too_many_pixels", given=f"{pixels / 1e6:.0f}", most=f"{limits.pixels / 1e6:.0f}")
        picture = load_image(opened, "picture")
    except UnreadableImageError as error:
        raise PageError("no_picture") from error
    size = picture.size
    picture.thumbnail((limits.side, limits.side), Image.Resampling.LANCZOS)
    return picture, size


def read_mask(brushed: Source | None, size: tuple[int, int], limits: Limits) -> np.ndarray | None:
    """What was brushed over a picture of `size` (width, height) -> (h, w) bool; None where nothing was.

    Raises:
        PageError: it is no picture, or too large.
    """
    if brushed is None:
        return None
    # on white, as `load_image` lays what is transparent: whatever is not white has been brushed
    mask = np.asarray(read_picture(brushed, limits)[0].convert("L").resize(size)) < 250
    return mask if mask.any() else None


def read_lines(text: str, limits: Limits) -> list[str]:
    """Prompts, one a line, empty ones left out.

    Raises:
        PageError: too many of them, or too long.
    """
    if len(text) > limits.characters:
        raise PageError("too_long", given=len(text), most=limits.characters)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > limits.prompts:
        raise PageError("too_many_prompts", given=len(lines), most=limits.prompts)
    return lines
