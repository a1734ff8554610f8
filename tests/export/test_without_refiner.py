"""A model without a refiner, as stock's are, and one that attends to prompts' tokens, as one graph and as its steps."""

import numpy as np
import pytest
import torch

from clipseg_hf import CLIPSegForImageSegmentation
from clipseg_hf.export.graphs import make_graphs, write_graph
from clipseg_hf.inference.onnx_model import GRAPHS, OnnxModel

ort = pytest.importorskip("onnxruntime")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the export takes a minute

CLOSE = {"atol": 1e-4, "rtol": 2e-5}  # logits of up to 17, added in another order
CASES = [(256, 256, 4), (96, 320, 17), (16, 16, 1)]  # height, width, prompts


@pytest.fixture(scope="module", params=[None, {"text": 4, "image": 9}], ids=["vectors", "tokens"])
def model(request):
    model = CLIPSegForImageSegmentation.from_pretrained("emoji-tiny", refiner=None, prompt_tokens=request.param)
    for attention in model.decoder.attends.values():
        # some three times what training makes of them; 1 would magnify rounding
        torch.nn.init.normal_(attention.out_proj.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    return model


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    (folder / GRAPHS).mkdir()
    for graph in make_graphs(model):
        if graph.name != "prompt_encoder_text":
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

    session = ort.InferenceSession(folder / GRAPHS / "model.onnx")
    whole = {"pixel_values": pixels, **inputs}
    (found,) = session.run(None, {name: tensor.numpy() for name, tensor in whole.items()})
    np.testing.assert_allclose(found, expected, **CLOSE)

    runner = OnnxModel(folder, device="cpu")
    (features,) = runner.encode_images(pixels.numpy())
    found = runner.decode(features, model.get_conditional_embeddings(**inputs).numpy())
    np.testing.assert_allclose(found, expected, **CLOSE)

    session = ort.InferenceSession(folder / GRAPHS / "prompt_encoder_image.onnx")
    (found,) = session.run(None, {"conditional_pixel_values": pixels.numpy()})
    np.testing.assert_allclose(found, model.get_conditional_embeddings(conditional_pixel_values=pixels), **CLOSE)
