"""Original checkpoints in, folders that `from_pretrained` takes out."""

import json
from pathlib import Path

import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from clipseg_hf.inference import Segmenter
from clipseg_hf.inference.files import convert_file

KEYS = Path(__file__).parents[1] / "fixtures" / "reference" / "checkpoint_keys.json"
LAYERS = (0, 1, 2)


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A file with the names and shapes of the published one."""
    names = json.loads(KEYS.read_text())["rd64_uni"]
    path = tmp_path_factory.mktemp("original") / "rd64-uni.pth"
    torch.save({name: torch.randn(shape) * 0.05 for name, shape in names}, path)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory, checkpoint) -> Path:
    """As wide as ViT-B/16, so that the decoder fits, and as shallow as can be."""
    folder = tmp_path_factory.mktemp("models") / "clip"
    tower = {"intermediate_size": 64, "num_hidden_layers": 3}
    Segmenter.from_pretrained(checkpoint).processor.tokenizer.save_pretrained(folder)
    text = tower | {"hidden_size": 32, "num_attention_heads": 2, "vocab_size": 190}
    text |= {"bos_token_id": 188, "eos_token_id": 189}
    CLIPModel(CLIPConfig(text_config=text, vision_config=tower | {"patch_size": 16})).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("decoder_only", [False, True])
def test_a_converted_checkpoint_segments(original, clip, tmp_path, picture, decoder_only):
    out = convert_file(original, tmp_path / "out", clip=str(clip), extract_layers=LAYERS, decoder_only=decoder_only)
    assert (out / "decoder.safetensors").exists() == decoder_only
    segmenter = Segmenter.from_pretrained(out, device="cpu")
    weights = torch.load(original, weights_only=True)
    assert torch.equal(segmenter.model.decoder.film_mul.weight, weights["film_mul.weight"])
    # the pictures as the original prepares them
    assert tuple(segmenter.processor.image_processor.image_mean) == (0.485, 0.456, 0.406)
    assert dict(segmenter.processor.image_processor.size) == {"height": 352, "width": 352}
    assert segmenter(picture, "a cat")[0].masks.shape == (1, 60, 80)


def test_errors(original, clip, tmp_path):
    def convert(file, out=tmp_path / "out", base=clip):
        convert_file(file, out, clip=str(base), extract_layers=LAYERS)

    with pytest.raises(FileNotFoundError, match=r"There is no file .*none\.pth"):
        convert(tmp_path / "none.pth")
    with pytest.raises(FileExistsError, match="is not empty; name a new folder"):
        convert(original, out=clip)
    with pytest.raises(ConnectionError, match="have its CLIP downloaded on a machine that can"):
        convert(original, base="nobody/clip")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ValueError, match=r"text\.pth: it holds no PyTorch weights, or more than can be read safely"):
        convert(tmp_path / "text.pth")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list\.pth: found a list, expected a state dict"):
        convert(tmp_path / "list.pth")
    assert not (tmp_path / "out").exists()
