"""A refiner takes part wherever a model is asked: its logits are the model's."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.cli import app
from clipseg_hf.inference import Segmenter, Tiling


@pytest.fixture(scope="module")
def refined(tmp_path_factory):
    """A checkpoint whose refiner does something, though nothing that is of use."""
    model = CLIPSegForImageSegmentation.from_pretrained("emoji-tiny", refiner={"channels": 8})
    torch.nn.init.normal_(model.refiner.finish.weight, generator=torch.Generator().manual_seed(0))
    folder = tmp_path_factory.mktemp("refined")
    model.save_pretrained(folder)
    CLIPSegProcessor.from_pretrained("emoji-tiny").save_pretrained(folder)
    return folder


@pytest.mark.parametrize("tiling", [None, Tiling(tile_size=64)])
def test_segmenter_gives_the_models_logits(refined, picture, tiling):
    segmenter = Segmenter.from_pretrained(refined, device="cpu", tiling=tiling)
    plain = Segmenter.from_pretrained("emoji-tiny", device="cpu", tiling=tiling)
    found, base = (one(picture, ["a cat", "a dog"])[0].logits for one in (segmenter, plain))
    assert np.abs(found - base).max() > 0.1
    if tiling is None:
        inputs = segmenter.processor(images=picture, text=["a cat", "a dog"], return_tensors="pt")
        with torch.no_grad():
            expected = segmenter.model(**inputs).logits
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_it_is_published_with_the_rest(refined, tmp_path):
    command = ["publish", str(refined), "me/refined", "--license", "mit", "--data-license", "mit", "--dry-run", "-o"]
    result = CliRunner().invoke(app, [*command, str(tmp_path / "look")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "look" / "refiner.safetensors").read_bytes() == (refined / "refiner.safetensors").read_bytes()
    assert CLIPSegForImageSegmentation.from_pretrained(tmp_path / "look").refiner is not None
