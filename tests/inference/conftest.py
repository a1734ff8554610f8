"""A random CLIPSeg of four narrow layers with a tokenizer of letters, as a checkpoint, and pictures to ask."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer, ViTImageProcessorPil

from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.inference import Segmenter


def make_checkpoint(folder: Path) -> Path:
    """Its probabilities lie to both sides of one half, in every picture."""
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 2}
    text = tower | {"vocab_size": len(words), "bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1}
    torch.manual_seed(0)
    clip = CLIPModel(
        CLIPConfig(text_config=text, vision_config=tower | {"image_size": 64, "patch_size": 16}, projection_dim=32)
    )
    model = CLIPSegForImageSegmentation.from_clip(clip, extract_layers=(0, 2), reduce_dim=16)
    with torch.no_grad():
        model.decoder.transposed_convolution.weight.normal_(std=0.5)
        model.decoder.film_mul.weight.normal_(std=1.0)
    model.config.mask_thresholds = {"text": 0.5, "image": 0.45, "mixed": 0.4, "presence": 0.6}
    model.save_pretrained(folder)
    pictures = ViTImageProcessorPil(size={"height": 64, "width": 64}, image_mean=[0.5] * 3, image_std=[0.25] * 3)
    CLIPSegProcessor(pictures, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("models") / "tiny-clipseg")


@pytest.fixture
def segmenter(checkpoint) -> Segmenter:
    return Segmenter.from_pretrained(checkpoint, device="cpu")


@pytest.fixture
def picture() -> Image.Image:
    """80 pixels wide, 60 high."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))


@pytest.fixture
def example() -> tuple[Image.Image, Image.Image]:
    """A picture, and the mask of a thing in it."""
    pixels = np.random.default_rng(1).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    mask = np.zeros((50, 40), bool)
    mask[10:30, 5:35] = True
    return Image.fromarray(pixels), Image.fromarray(mask)
