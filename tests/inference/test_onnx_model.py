"""What can be told of a model in ONNX without exporting one."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipseg_hf import EMOJI_TINY
from clipseg_hf.inference import Segmenter
from clipseg_hf.inference.onnx_model import OnnxModel
from clipseg_hf.modeling import mix_prompts


@pytest.fixture
def graphs(tmp_path):
    """A folder that looks like an export, to those who do not run it."""
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "decoder.onnx").touch()
    (tmp_path / "config.json").write_text('{"vision_config": {"patch_size": 16}, "extract_layers": [1]}')
    return tmp_path


@given(st.integers(1, 5), st.booleans(), st.booleans(), st.integers(0, 10**6))
def test_vectors_mix_as_in_torch(prompts, has_texts, has_images, seed):
    numbers = np.random.default_rng(seed)
    model = OnnxModel.__new__(OnnxModel)
    given = {"texts": has_texts, "images": has_images or not has_texts}
    rows, owners = {}, {}
    for name, is_given in given.items():
        owners[name] = np.concatenate([np.arange(prompts), numbers.integers(0, prompts, 3)]) if is_given else None
        rows[name] = numbers.normal(size=(prompts + 3, 4)).astype(np.float32) if is_given else None
    if has_texts and given["images"] and prompts > 1:  # one prompt has only a text, another only an image
        owners["texts"][owners["texts"] == 0] = 1
        owners["images"][owners["images"] == 1] = 0
    weights = numbers.random(prompts).tolist()
    found = model.mix(rows["texts"], rows["images"], owners["texts"], owners["images"], weights)
    tensors = [None if one is None else torch.from_numpy(one) for one in (*rows.values(), *owners.values())]
    expected = mix_prompts(*tensors, torch.tensor(weights), num_prompts=prompts)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_checkpoint_that_was_not_exported():
    with pytest.raises(
        FileNotFoundError, match=r"holds no ONNX graphs .* write them by `clipseg-hf export onnx MODEL OUT`"
    ):
        Segmenter.from_pretrained("emoji-tiny", backend="onnx")
    with pytest.raises(ValueError, match="backend is 'torch' or 'onnx', got 'jax'"):
        Segmenter.from_pretrained(EMOJI_TINY, backend="jax")


def test_what_was_not_exported_and_what_is_not_there(graphs):
    with pytest.raises(ValueError, match=r"has no graphs of dtype int8; there are float32"):
        OnnxModel(graphs, dtype="int8")
    with pytest.raises(
        ValueError, match=r"The device abacus:1 cannot be used here: this onnxruntime has .*CPUExecution"
    ):
        OnnxModel(graphs, device="abacus:1")
    with pytest.raises(ValueError, match="num_threads=0 must be a positive number, or None for one a core"):
        OnnxModel(graphs, num_threads=0)


@pytest.mark.parametrize(
    ("given", "weight"), [({}, 0.5), ({"image_prompt_weight": None}, 0.5), ({"image_prompt_weight": 0}, 0)]
)
def test_an_example_weighs_beside_a_text_what_the_configuration_says(graphs, given, weight):
    config = json.loads((graphs / "config.json").read_text())
    (graphs / "config.json").write_text(json.dumps(config | given))
    assert OnnxModel(graphs).image_prompt_weight == weight


def test_sizes_that_do_not_fit_are_refused_as_in_torch(graphs):
    model = OnnxModel(graphs, device="cpu")
    with pytest.raises(
        ValueError, match=r"pixel_values are 40 x 64, but .* multiples of the patch size 16: resize them to 32"
    ):
        next(model.encode_images(np.zeros((1, 3, 40, 64), np.float32)))
    with pytest.raises(ValueError, match="conditional_pixel_values are 40 x 64"):
        model.encode_prompts(conditional_pixel_values=np.zeros((1, 3, 40, 64), np.float32))


def test_an_option_that_there_is_not(tmp_path):
    with pytest.raises(TypeError, match=r"An ONNX model takes no nun_threads; of the Hub it takes revision, token"):
        Segmenter.from_pretrained(tmp_path, backend="onnx", nun_threads=2)
