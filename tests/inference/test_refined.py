"""A refiner takes part wherever a model is asked: its logits are the model's."""

import filecmp
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from clipseg_hf import EMOJI_TINY, CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.cli import app
from clipseg_hf.inference import Segmenter, Tiling


@pytest.mark.parametrize("tiling", [None, Tiling(tile_size=64)])
def test_segmenter_gives_the_models_logits(picture, tiling):
    segmenter = Segmenter.from_pretrained("emoji-tiny", device="cpu", tiling=tiling)
    model = CLIPSegForImageSegmentation.from_pretrained("emoji-tiny", refiner=None)
    plain = Segmenter(model, CLIPSegProcessor.from_pretrained("emoji-tiny"), tiling=tiling)
    found, base = (one(picture, ["a cat", "a dog"])[0].logits for one in (segmenter, plain))
    assert np.abs(found - base).max() > 0.1
    if tiling is None:
        inputs = segmenter.processor(images=picture, text=["a cat", "a dog"], return_tensors="pt")
        with torch.no_grad():
            expected = segmenter.model(**inputs).logits
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_it_is_published_with_the_rest(tmp_path):
    command = ["publish", "emoji-tiny", "me/refined", "--license", "mit", "--data-license", "mit", "--dry-run", "-o"]
    result = CliRunner().invoke(app, [*command, str(tmp_path / "look")])
    assert result.exit_code == 0, result.output
    assert filecmp.cmp(tmp_path / "look" / "refiner.safetensors", Path(EMOJI_TINY) / "refiner.safetensors", False)
    assert CLIPSegForImageSegmentation.from_pretrained(tmp_path / "look").refiner is not None
