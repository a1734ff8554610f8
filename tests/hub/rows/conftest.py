"""A folder of marked pictures, PhraseCut's layout in small, and a Hub that `datasets` reads from, too."""

import datasets
import huggingface_hub
import numpy as np
import pytest
from PIL import Image

from data.phrasecut.conftest import Layout

LICENSES = {"license": "cc-by-4.0", "image_license": "CC0-1.0, mine"}


def make_pictures(folder, names=("one", "two", "three")):
    """Pictures of noise, in each of which a bolt is marked, and a mask whose picture is missing."""
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 60, 3), np.uint8)
        (folder / "images").mkdir(parents=True, exist_ok=True)
        (folder / "masks" / "rusty bolt").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "images" / f"{name}.jpg")
        mask = np.zeros((40, 60), np.uint8)
        mask[5 : 20 + number, 10:30] = 255
        Image.fromarray(mask).save(folder / "masks" / "rusty bolt" / f"{name}.png")
    return folder


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets"))


@pytest.fixture
def pictures(tmp_path):
    return make_pictures(tmp_path / "somebodys" / "bolts")


@pytest.fixture
def phrasecut(tmp_path):
    return Layout(tmp_path / "somebodys" / "phrasecut").write()


@pytest.fixture
def data_hub(hub, monkeypatch):
    """The Hub of the fixture `hub`, for `datasets`."""
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", hub.url)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    huggingface_hub.HfFileSystem.clear_instance_cache()
    return hub
