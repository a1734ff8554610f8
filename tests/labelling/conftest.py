"""The tiny random checkpoint of `tests/inference`, and a folder of pictures for it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.conftest import make_checkpoint

PROMPTS = ("a cat", "a dog", "cat | dog - collar")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> str:
    return str(make_checkpoint(tmp_path_factory.mktemp("models") / "tiny-clipseg"))


def make_pictures(folder: Path, count: int = 7) -> Path:
    """Pictures of two sizes, some of them in a folder below, the third of which is broken."""
    random = np.random.default_rng(0)
    (folder / "more").mkdir(parents=True)
    for number in range(count):
        size = (60, 80) if number % 2 else (50, 40)
        pixels = np.kron(random.integers(0, 256, (5, 4, 3), dtype=np.uint8), np.ones((size[0] // 5, size[1] // 4, 1)))
        name = f"more/{number}.png" if number > 4 else f"{number}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:60])
    return folder


@pytest.fixture
def pictures(tmp_path) -> Path:
    return make_pictures(tmp_path / "pictures")
