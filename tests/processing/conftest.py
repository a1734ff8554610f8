"""A tokenizer and a processor like those of the released checkpoints, small enough to be built in a test."""

import numpy as np
import pytest
from PIL import Image
from transformers import CLIPTokenizer, ViTImageProcessorPil
from transformers.models.clipseg.processing_clipseg import CLIPSegProcessor as StockProcessor

from clipseg_hf.processing import CLIPSegProcessor


def build_tokenizer() -> CLIPTokenizer:
    """Bytes of lower-case letters and some merges, so that "cat" is one token and "dog" three."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!-'"
    merges = [("c", "a"), ("ca", "t</w>"), ("t", "h"), ("th", "e</w>"), ("p", "h"), ("ph", "o")]
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=merges, model_max_length=77)


def image_processor(**options):
    """Of the released checkpoints: 352 x 352 and ImageNet's statistics."""
    defaults = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    return ViTImageProcessorPil(**{"size": {"height": 352, "width": 352}} | defaults | options)


@pytest.fixture(scope="session")
def tokenizer():
    return build_tokenizer()


@pytest.fixture
def processor(tokenizer):
    return CLIPSegProcessor(image_processor(), tokenizer)


@pytest.fixture
def small(tokenizer):
    """A processor for 32 x 32 pixels."""
    return CLIPSegProcessor(image_processor(size={"height": 32, "width": 32}), tokenizer)


@pytest.fixture
def stock(tokenizer):
    return StockProcessor(image_processor(), tokenizer)


@pytest.fixture
def picture():
    """A picture of 30 rows and 40 columns."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))
