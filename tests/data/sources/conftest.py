"""Small data sets in the layouts that users have, made by the tests."""

import json

import numpy as np
import pytest
from PIL import Image


def save_image(path, height=20, width=30, value=128):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(path)


def save_mask(path, mask, palette=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.asarray(mask, dtype=np.uint8))
    if palette:
        picture.putpalette([200, 10, 10] * 256)  # what the colours are must not matter
    picture.save(path)


def save_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def blank(height=20, width=30):
    return np.zeros((height, width), dtype=np.uint8)


def boxed(left, top, right, bottom, value=1, height=20, width=30):
    """A mask whose pixels left ... right - 1, top ... bottom - 1 have a value."""
    mask = blank(height, width)
    mask[top:bottom, left:right] = value
    return mask


@pytest.fixture
def make():
    """The helpers above, for tests in this folder."""
    return type("Make", (), {f.__name__: staticmethod(f) for f in (save_image, save_mask, save_json, blank, boxed)})


@pytest.fixture
def load(tmp_path):
    """Load a data set with its cache in the test's own folder; gives the rows of a split and the summary."""
    from clipseg_hf.data.sources import open_segmentation_data

    def load(path, split="train", **options):
        builder = open_segmentation_data(path, cache_dir=tmp_path / "cache", **options)
        builder.download_and_prepare()
        return builder.as_dataset(split), builder.summary

    return load


@pytest.fixture
def masks_of():
    """The phrases of a row with the masks as arrays."""
    from clipseg_hf.processing.rle import decode_rle

    return lambda row: {entry["phrase"]: decode_rle(entry["mask"]) for entry in row["phrases"]}
