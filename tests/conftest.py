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
