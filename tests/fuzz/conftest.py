"""A place for cases, with a folder beside them that no reader has business with."""

import logging
import sys
import warnings

import datasets
import pytest

from fuzz import seeds
from fuzz.damage import OUTSIDE


@pytest.fixture
def root(tmp_path):
    """Where cases are planted, one after the other."""
    if sys.platform != "linux":
        pytest.skip("What a reader takes is measured in /proc.")
    outside = tmp_path / "place" / OUTSIDE
    outside.mkdir(parents=True)
    for name in ("1.png", "2.png", "1.jpg"):
        (outside / name).write_bytes(seeds.picture())
    for name, content in seeds.phrasecut().items():
        (outside / name).parent.mkdir(exist_ok=True)
        (outside / name).write_bytes(content)
    datasets.disable_progress_bars()
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield outside.parent
    logging.disable(logging.NOTSET)
    datasets.enable_progress_bars()
