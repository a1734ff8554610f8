"""A model with a refiner, as one graph and as its steps; and asked by `Segmenter` without torch."""

import numpy as np
import pytest
import torch

from clipseg_hf import CLIPSegForImageSegmentation
from clipseg_hf.export.graphs import make_graphs, write_graph
from clipseg_hf.inference.onnx_model import GRAPHS, OnnxModel

ort = pytest.importorskip("onnxruntime")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the export takes a minute

CLOSE = 1e-3  # logits of up to 17, added in another order, and flat windows magnify what differs by 1 / eps = 66
CASES = [(256, 256, 4), (96, 320, 17), (16, 16, 1)]  # height, width, prompts


@pytest.fixture(scope="module")
def model():
    model = CLIPSegForImageSegmentation.from_pretrained("emoji-tiny", refiner={"channels": 8})
    torch.nn.init.normal_(model.refiner.finish.weight, generator=torch.Generator().manual_seed(0))
    return model


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("refined")
    (folder / GRAPHS).mkdir()
    for graph in make_graphs(model):
        if graph.name in ("model", "image_encoder", "decoder"):
            write_graph(graph, folder / GRAPHS)
    model.config.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("height", "width", "prompts"), CASES)
@torch.no_grad()
def test_the_graphs_are_the_model(model, folder, height, width, prompts):
    generator = torch.Generator().manual_seed(height)
    pixels = torch.randn(1, 3, height, width, generator=generator)
    text = model.config.text_config
    ids = torch.randint(2, text.vocab_size - 2, (prompts, 5), generator=generator)
    ids[:, 0], ids[:, -1] = text.bos_token_id, text.eos_token_id
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    expected = model(pixel_values=pixels, **inputs).logits.numpy()
    assert np.abs(expected - base_logits(model, pixels, inputs)).max() > 0.01, "the refiner does something"

    session = ort.InferenceSession(folder / GRAPHS / "model.onnx")
    whole = {"pixel_values": pixels, **inputs}
    (found,) = session.run(None, {name: tensor.numpy() for name, tensor in whole.items()})
    np.testing.assert_allclose(found, expected, atol=CLOSE)

    runner = OnnxModel(folder, device="cpu")
    (features,) = runner.encode_images(pixels.numpy())
    found = runner.decode(features, model.get_conditional_embeddings(**inputs).numpy())
    np.testing.assert_allclose(found, expected, atol=CLOSE)


def base_logits(model, pixels, inputs):
    refiner, model.refiner = model.refiner, None
    try:
        return model(pixel_values=pixels, **inputs).logits.numpy()
    finally:
        model.refiner = refiner
