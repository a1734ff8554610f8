"""Settings for every test: no network, deterministic, one thread."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile("offline", deadline=None, derandomize=True, max_examples=25, database=None)
hypothesis.settings.load_profile("offline")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def pytest_runtest_setup(item):
    if item.get_closest_marker("needs_font"):
        from clipseg_hf.data.emoji_world.emoji_glyphs import find_emoji_font

        try:
            find_emoji_font()
        except FileNotFoundError as error:
            pytest.skip(f"It draws emoji. {error}")
