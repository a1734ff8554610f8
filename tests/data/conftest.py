"""A small world of coloured squares, in the rows that all data takes, and a processor to go with it."""

import io

import numpy as np
import pytest
from PIL import Image

from clipseg_hf.data.rows.rows import make_phrase
from clipseg_hf.processing import CLIPSegProcessor, encode_rle

COLORS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "yellow": (230, 220, 40)}


def jpeg(pixels: np.ndarray) -> dict:
    """(h, w, 3) uint8 -> an image as `datasets` keeps it undecoded."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95)
    return {"bytes": stream.getvalue(), "path": None}


def build_row(number: int, things: list[tuple], size=(60, 80)) -> dict:
    """A row of things (phrase, name, color, (left, top, right, bottom)) on grey, the last in front."""
    pixels = np.full((*size, 3), 128, np.uint8)
    owner = np.full(size, -1)  # the number of the thing that is seen
    for k, (_, _, color, (left, top, right, bottom)) in enumerate(things):
        owner[top:bottom, left:right] = k
        pixels[top:bottom, left:right] = COLORS[color]
    phrases = [
        make_phrase(phrase, encode_rle(owner == k), phrase_id=f"{number}__{k}", name=name)
        for k, (phrase, name, _, _) in enumerate(things)
    ]
    return {
        "image": jpeg(pixels),
        "image_id": f"image-{number}",
        "height": size[0],
        "width": size[1],
        "phrases": phrases,
    }


@pytest.fixture(scope="session")
def make_row():
    return build_row


@pytest.fixture(scope="session")
def colors() -> dict[str, tuple[int, int, int]]:
    return COLORS


@pytest.fixture(scope="session")
def world() -> list[dict]:
    """40 images of one to five squares, each phrase on several of them; "the only star" on one alone."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(40):
        things = []
        for color in random.permutation(list(COLORS))[: random.integers(1, 5)]:
            left, top, side = random.integers(0, 55), random.integers(0, 35), random.integers(6, 25)
            things.append((f"{color} square", f"{color} square", color, (left, top, left + side, top + side)))
        rows.append(build_row(number, things))
    rows[7] = build_row(
        7,
        [("the only star", "star", "yellow", (10, 10, 40, 40)), ("red square", "red square", "red", (50, 10, 70, 30))],
    )
    return rows


@pytest.fixture(scope="session")
def processor():
    """For 48 x 48 pixels, with a tokenizer that spells every word."""
    from transformers import CLIPTokenizer, ViTImageProcessorPil

    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!-'"
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[], model_max_length=77)
    statistics = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    return CLIPSegProcessor(ViTImageProcessorPil(size={"height": 48, "width": 48}, **statistics), tokenizer)
