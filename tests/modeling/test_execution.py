"""Other ways to run the model: lower precision, compiled, with gradient checkpoints, inside of Trainer."""

import inspect

import pytest
import torch
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments, masking_utils


@pytest.fixture
def inputs(tiny):
    return {
        "pixel_values": tiny.images(2),
        "input_ids": tiny.tokens(3),
        "conditional_pixel_values": tiny.images(2, seed=1),
        "conditional_to_prompt": torch.tensor([0, 2]),
        "prompt_to_image": torch.tensor([0, 1, 1]),
        "labels": torch.ones(3, 64, 64),
    }


@pytest.mark.parametrize("refined", [False, True])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_autocast_trains(tiny, inputs, refined, attention):
    model = tiny.model(attention, use_complex_transposed_convolution=refined, decoder_dropout=0.1)
    exact = model(**inputs).loss
    model.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = model(**inputs)
    outputs.loss.backward()
    assert outputs.logits.dtype == torch.bfloat16
    assert outputs.loss.dtype == torch.float32
    assert abs(outputs.loss - exact) < 0.1
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.decoder.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights_take_float32_inputs(tiny, inputs, dtype):
    model = tiny.model(use_complex_transposed_convolution=True)
    exact = model(**inputs).logits
    outputs = model.to(dtype)(**inputs)
    assert outputs.logits.dtype == dtype
    assert torch.isfinite(outputs.loss)
    assert (outputs.logits.float() - exact).abs().mean() < 0.03 * exact.abs().mean() + 0.02


def test_from_pretrained_in_bfloat16(tiny, inputs, tmp_path):
    tiny.model().save_pretrained(tmp_path)
    model = type(tiny.model()).from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model(**inputs).logits.dtype == torch.bfloat16


@pytest.mark.parametrize("refined", [False, True])
def test_the_decode_path_compiles_into_one_graph(tiny, refined):
    model = tiny.model(use_complex_transposed_convolution=refined)
    features = model.get_vision_features(tiny.images(2, 64, 32))
    inputs = {
        "vision_embeds": features,
        "conditional_embeddings": torch.randn(3, 24),
        "prompt_to_image": torch.tensor([0, 1, 1]),
    }
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        expected, found = model(**inputs), compiled(**inputs)
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-5, rtol=1e-5)


SHALLOW = {"extract_layers": [0], "vision_config": {"num_hidden_layers": 1}, "text_config": {"num_hidden_layers": 1}}


def test_the_whole_model_compiles_into_one_graph(tiny, inputs):
    model = tiny.model(**SHALLOW)
    arguments = {name: value for name, value in inputs.items() if name != "labels"}
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(**arguments).logits, model(**arguments).logits, atol=1e-5, rtol=1e-5)


class OnlyLogits(torch.nn.Module):
    """The model as a graph with one output."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values, input_ids, attention_mask, prompt_to_image):
        return self.model(
            pixel_values=pixel_values,
            input_ids=input_ids,
            attention_mask=attention_mask,
            prompt_to_image=prompt_to_image,
        ).logits


@torch.no_grad()
def test_one_exported_graph_serves_any_number_of_images_prompts_and_pixels(tiny):
    model = OnlyLogits(tiny.model(use_complex_transposed_convolution=True, **SHALLOW))

    def example(images, prompts, height, width, length):
        input_ids = tiny.tokens(prompts, length)
        pairing = torch.arange(prompts) % images
        return tiny.images(images, height, width), input_ids, torch.ones_like(input_ids), pairing

    auto = torch.export.Dim.AUTO
    images, prompts = (torch.export.Dim(name, min=2, max=1000) for name in ("images", "prompts"))
    shapes = ({0: images, 2: auto, 3: auto}, {0: prompts, 1: auto}, {0: prompts, 1: auto}, {0: prompts})
    graph = torch.export.export(model, example(2, 3, 64, 96, 6), dynamic_shapes=shapes).module()
    for other in (example(2, 3, 64, 96, 6), example(3, 7, 96, 32, 9)):
        torch.testing.assert_close(graph(*other), model(*other), atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated")  # the older transformers' name
@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpoints_change_no_gradient(tiny, inputs, reentrant):
    model = tiny.model().train()
    model(**inputs).loss.backward()
    expected = [parameter.grad.clone() for parameter in model.decoder.parameters()]
    model.zero_grad()
    calls = []
    model.decoder.layers[1].mlp.register_forward_hook(lambda *_: calls.append(1))
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    model(**inputs).loss.backward()
    assert len(calls) == 2, "the block's inside runs once more on the way back"
    for found, wanted in zip(model.decoder.parameters(), expected, strict=True):
        torch.testing.assert_close(found.grad, wanted)


class TinyDataset(Dataset):
    """Four images with a text and a mask each, as `Trainer` likes them."""

    def __init__(self, tiny):
        self.images, self.texts = tiny.images(4), tiny.tokens(4)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, number):
        labels = torch.zeros(64, 64)
        labels[:, : 16 * number] = 1
        return {"pixel_values": self.images[number], "input_ids": self.texts[number], "labels": labels}


def test_transformers_trainer_takes_a_step_and_evaluates(tiny, tmp_path):
    model = tiny.model()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=2, report_to=[], use_cpu=True, save_steps=1
    )
    trainer = Trainer(model, arguments, train_dataset=TinyDataset(tiny), eval_dataset=TinyDataset(tiny))
    result = trainer.train()
    assert result.training_loss > 0
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed
    assert all(name.startswith("decoder.") for name in changed)
    assert trainer.evaluate()["eval_loss"] > 0
    assert trainer.predict(TinyDataset(tiny)).predictions[0].shape == (4, 64, 64)
    again = type(model).from_pretrained(tmp_path / "checkpoint-1")
    batch = {"pixel_values": tiny.images(1), "input_ids": tiny.tokens(1)}
    torch.testing.assert_close(again(**batch).logits, model.eval()(**batch).logits)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("refined", [False, True])
def test_linear_layers_can_be_quantized_to_int8(tiny, inputs, refined):
    model = tiny.model(use_complex_transposed_convolution=refined)
    quantized = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    assert not isinstance(quantized.decoder.film_mul, torch.nn.Linear)
    for context in (torch.no_grad(), torch.enable_grad()):
        with context:
            exact, logits = model(**inputs).logits, quantized(**inputs).logits
        assert (logits - exact).abs().mean() < 0.05 * exact.abs().mean()
    nobody = quantized.get_conditional_embeddings(input_ids=torch.zeros(0, 7, dtype=torch.long), batch_size=0)
    assert nobody.shape == (0, 24)


class _Traceable(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values, input_ids):
        return self.model(pixel_values=pixel_values, input_ids=input_ids).logits


@pytest.mark.skipif(
    "cache_position" in inspect.getsource(masking_utils.sdpa_mask),
    reason="this version of transformers takes the traced length of a text for positions: no CLIP of it can be traced",
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("refined", [False, True])
@pytest.mark.parametrize("gradients", [False, True])
def test_a_model_can_be_traced_with_and_without_gradients(tiny, refined, gradients):
    model = tiny.model(use_complex_transposed_convolution=refined)
    images, tokens = tiny.images(5), tiny.tokens(5)  # more prompts than are decoded at once without gradients
    with torch.set_grad_enabled(gradients):
        traced = torch.jit.trace(_Traceable(model), (images, tokens))
    other = (tiny.images(5, seed=3), tokens.flip(0))
    torch.testing.assert_close(traced(*other), model(pixel_values=other[0], input_ids=other[1]).logits)
