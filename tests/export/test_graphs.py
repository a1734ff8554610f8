"""The graphs give the model's numbers at every size, number of prompts and length of text."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPSegConfig

import clipseg_hf
from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.export.graphs import make_graphs, write_graph

ort = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow  # the export takes a minute
# Logits of up to 17, added in another order; and the refiner's flat windows magnify what differs by 1 / eps = 66.
REFINED = {"atol": 1e-3, "rtol": 2e-5}

CASES = [  # height, width, prompts, tokens
    (256, 256, 4, 8),
    (160, 160, 1, 3),  # the size that the position embeddings are made for
    (96, 320, 17, 5),
    (208, 64, 2, 32),
    (16, 16, 3, 4),
]


@pytest.fixture(scope="module")
def model():
    return CLIPSegForImageSegmentation.from_pretrained("emoji-tiny")


@pytest.fixture(scope="module")
def run(exported):
    sessions = {path.stem: ort.InferenceSession(path) for path in (exported / "onnx").glob("*.onnx")}

    def run(name, **inputs):
        return sessions[name].run(None, {key: np.asarray(value) for key, value in inputs.items()})

    return run


def _inputs(model, height, width, prompts, tokens):
    generator = torch.Generator().manual_seed(height + width + prompts)
    pixels = torch.randn(1, 3, height, width, generator=generator)
    text = model.config.text_config
    ids = torch.randint(2, text.vocab_size - 2, (prompts, tokens), generator=generator)
    ids[:, 0], ids[:, -1] = text.bos_token_id, text.eos_token_id
    attention = torch.ones_like(ids)
    ids[0, 2:] = text.eos_token_id  # one that is padded
    attention[0, 3:] = 0
    return pixels, ids, attention


@pytest.mark.parametrize(("height", "width", "prompts", "tokens"), CASES)
@torch.no_grad()
def test_one_graph_is_the_model(model, run, height, width, prompts, tokens):
    pixels, ids, attention = _inputs(model, height, width, prompts, tokens)
    expected = model(pixel_values=pixels, input_ids=ids, attention_mask=attention).logits.numpy()
    (found,) = run("model", pixel_values=pixels, input_ids=ids, attention_mask=attention)
    np.testing.assert_allclose(found, expected, **REFINED)


@pytest.mark.parametrize(("height", "width", "prompts", "tokens"), CASES)
@torch.no_grad()
def test_the_steps_are_the_model_s(model, run, height, width, prompts, tokens):
    pixels, ids, attention = _inputs(model, height, width, prompts, tokens)
    features = model.get_vision_features(pixels)
    texts = model.get_conditional_embeddings(input_ids=ids, attention_mask=attention)
    examples = pixels.expand(prompts, -1, -1, -1) * torch.linspace(0.5, 1, prompts)[:, None, None, None]
    images = model.get_conditional_embeddings(conditional_pixel_values=examples)

    seen = run("image_encoder", pixel_values=pixels)
    for found, expected in zip(seen[:3], features.vision_embeds, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=2e-5)  # added in another order
    for found, expected in zip(seen[3:], features.pixel_features, strict=True):  # with inverses of small variances
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=2e-4)
    np.testing.assert_allclose(
        run("prompt_encoder_text", input_ids=ids, attention_mask=attention)[0], texts, atol=1e-4, rtol=0
    )
    np.testing.assert_allclose(
        run("prompt_encoder_image", conditional_pixel_values=examples)[0], images, atol=1e-4, rtol=0
    )
    names = ("activation_1", "activation_3", "activation_5", "pixel_features_0", "pixel_features_1")
    for vectors in (texts, images):
        expected = model(vision_embeds=features, conditional_embeddings=vectors).logits
        inputs = dict(zip(names, seen, strict=True))
        (found,) = run("decoder", conditional_embeddings=vectors, grid=features.grid, **inputs)
        np.testing.assert_allclose(found, expected, **REFINED)


@pytest.mark.parametrize(("prompts", "tokens"), [(1, 77), (17, 3), (3, 40)])
def test_texts_as_long_as_the_released_checkpoints_take(long, prompts, tokens):
    network, session = long
    pixels, ids, attention = _inputs(network, 48, 80, prompts, tokens)
    with torch.no_grad():
        expected = network(pixel_values=pixels, input_ids=ids, attention_mask=attention).logits
    inputs = {"pixel_values": pixels, "input_ids": ids, "attention_mask": attention}
    (found,) = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=2e-5)  # logits of up to 17, added in another order


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A small model with random weights, that takes 77 tokens; and its graph."""
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2}
    ends = {"bos_token_id": 98, "eos_token_id": 99, "pad_token_id": 99, "vocab_size": 100}
    config = CLIPSegConfig(
        text_config={**tower, **ends, "max_position_embeddings": 77},
        vision_config={**tower, "image_size": 64, "patch_size": 16},
        projection_dim=32,
        reduce_dim=16,
        extract_layers=[0, 1],
        decoder_intermediate_size=32,
    )
    network = CLIPSegForImageSegmentation(config).eval()
    graph = next(graph for graph in make_graphs(network) if graph.name == "model")
    return network, ort.InferenceSession(write_graph(graph, tmp_path_factory.mktemp("long")))


def test_the_export_is_laid_out_for_transformers_js(exported):
    session = ort.InferenceSession(exported / "onnx" / "model.onnx")
    assert {each.name for each in session.get_inputs()} == {"pixel_values", "input_ids", "attention_mask"}
    assert [each.name for each in session.get_outputs()] == ["logits"]
    files = {"config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"}
    assert files <= {path.name for path in exported.iterdir()}


def test_no_graph_names_a_file_of_this_machine(exported):
    """As the exporter's stack traces would."""
    places = [str(Path(clipseg_hf.__file__).parent).encode(), b".py"]
    for path in (exported / "onnx").iterdir():
        assert not [place for place in places if place in path.read_bytes()], path.name


def test_the_processor_of_an_export_is_the_checkpoint_s(exported):
    found, expected = (CLIPSegProcessor.from_pretrained(name) for name in (exported, "emoji-tiny"))
    assert found.mask_thresholds == expected.mask_thresholds
    assert found.image_processor.to_dict() == expected.image_processor.to_dict()
