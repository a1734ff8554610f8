"""The same numbers, names and files as transformers' own CLIPSeg."""

import importlib

import pytest
import torch
import transformers
from PIL import Image

import clipseg_hf
from clipseg_hf.modeling import CLIPSegForImageSegmentation

StockModel = transformers.CLIPSegForImageSegmentation
NO_DIFFERENCE = {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set(), "error_msgs": []}


def stock_twin(model: CLIPSegForImageSegmentation) -> StockModel:
    """Stock's model with the same weights, which fit without a missing or unexpected key."""
    attention = (
        model.config._attn_implementation if StockModel._supports_sdpa else "eager"
    )  # older ones know eager only
    twin, info = StockModel.from_pretrained(
        None,
        config=model.config,
        state_dict=model.state_dict(),
        attn_implementation=attention,
        output_loading_info=True,
    )
    assert info == NO_DIFFERENCE
    return twin


def largest_difference(model: CLIPSegForImageSegmentation, twin: StockModel, **inputs: torch.Tensor) -> float:
    with torch.no_grad():
        expected, found = twin(**inputs).logits, model(**inputs).logits
    assert found.shape == expected.shape
    assert 0.05 < expected.std() < 5, "logits of a sane scale, or the tolerance means nothing"
    return (found - expected).abs().max().item()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("refined", [False, True])
@pytest.mark.parametrize("reduce_dim", [16, 64])
def test_logits_of_tiny_models_are_stocks(tiny, attention, refined, reduce_dim):
    model = tiny.model(attention, reduce_dim=reduce_dim, use_complex_transposed_convolution=refined)
    twin = stock_twin(model)
    assert model.clip.vision_model.config._attn_implementation == attention
    for side in (64, 96):
        images = tiny.images(2, side, side)
        attention_mask = torch.tensor([[1] * 6, [1] * 5 + [0]])
        prompts = (
            {"input_ids": tiny.tokens(2), "attention_mask": attention_mask},
            {"conditional_pixel_values": tiny.images(2, 64, 64, seed=1)},
            {"conditional_embeddings": torch.randn(2, 24)},
        )
        for prompt in prompts:
            assert largest_difference(model, twin, pixel_values=images, **prompt) < 1e-5


@pytest.mark.parametrize(
    ("reduce_dim", "refined", "attention", "side"),
    [(64, True, "sdpa", 352), (16, False, "eager", 224)],
)
def test_logits_of_a_vit_b16_are_stocks(vit_b16, tiny, reference, reduce_dim, refined, attention, side):
    vit_b16.set_attn_implementation(attention)
    model = CLIPSegForImageSegmentation.from_clip(
        vit_b16, reduce_dim=reduce_dim, use_complex_transposed_convolution=refined
    )
    tiny.fill(model.decoder)
    twin = stock_twin(model)
    vit_b16.set_attn_implementation("sdpa")
    images = reference.query_pixel_values()[:, :, :side, :side]
    prompts = (
        {"input_ids": reference.prompt_token_ids()[:1]},
        {"conditional_pixel_values": images[1:, :, :224, :224]},
        {"conditional_embeddings": reference.normal(3, 1, 512)},
    )
    for prompt in prompts:
        assert largest_difference(model, twin, pixel_values=images[:1], **prompt) < 1e-5


def test_the_decoder_uses_relu_whatever_its_config_says_as_stock_does(tiny, prompts):
    model = tiny.model(decoder_hidden_act="quick_gelu")
    assert largest_difference(model, stock_twin(model), **prompts) < 1e-5
    assert torch.equal(model(**prompts).logits, tiny.model(decoder_hidden_act="relu")(**prompts).logits)


def test_loss_hidden_states_and_attentions_are_stocks(tiny, prompts):
    model = tiny.model("eager")
    twin = stock_twin(model)
    labels = torch.rand(2, 64, 64).round()
    arguments = {**prompts, "labels": labels, "output_hidden_states": True, "output_attentions": True}
    expected, found = twin(**arguments), model(**arguments)
    torch.testing.assert_close(found.loss, expected.loss)
    torch.testing.assert_close(found.pooled_output, expected.pooled_output)
    torch.testing.assert_close(found.conditional_embeddings, expected.conditional_embeddings)
    for part in ("vision_model_output", "decoder_output"):
        for name in ("hidden_states", "attentions"):
            torch.testing.assert_close(found[part][name], expected[part][name], atol=1e-5, rtol=1e-5)


def test_positional_arguments_have_stocks_order(model, prompts):
    mask = torch.ones_like(prompts["input_ids"])
    by_position = model(prompts["input_ids"], prompts["pixel_values"], None, None, mask, None, torch.zeros(2, 64, 64))
    by_name = model(**prompts, labels=torch.zeros(2, 64, 64))
    assert torch.equal(by_position.logits, by_name.logits)
    assert torch.equal(by_position.loss, by_name.loss)
    twin = stock_twin(model)
    expected = twin.get_conditional_embeddings(2, prompts["input_ids"], mask)
    torch.testing.assert_close(model.get_conditional_embeddings(2, prompts["input_ids"], mask), expected)


def test_outputs_are_tuples_where_asked_for(model, prompts):
    outputs = model(**prompts)
    assert isinstance(outputs, transformers.models.clipseg.modeling_clipseg.CLIPSegImageSegmentationOutput)
    assert outputs.pooled_output is None
    assert outputs.vision_model_output is None
    as_tuple = model(**prompts, return_dict=False)
    assert isinstance(as_tuple, tuple)
    assert torch.equal(as_tuple[0], outputs.logits)


@pytest.mark.parametrize("refined", [False, True])
def test_either_class_loads_what_the_other_saves(tiny, prompts, tmp_path, refined):
    model = tiny.model(use_complex_transposed_convolution=refined, decoder_dropout=0.1, loss_type="dice")
    model.save_pretrained(tmp_path / "ours")
    twin, info = StockModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert info == NO_DIFFERENCE
    assert twin.config.decoder_dropout == 0.1
    assert twin.state_dict().keys() == model.state_dict().keys()

    twin.save_pretrained(tmp_path / "stock")
    again, info = CLIPSegForImageSegmentation.from_pretrained(tmp_path / "stock", output_loading_info=True)
    assert info == NO_DIFFERENCE
    assert again.config.loss_type == "dice"
    assert torch.equal(again(**prompts).logits, model(**prompts).logits)


def test_only_auto_model_for_image_segmentation_changes_its_answer(model, tmp_path):
    model.save_pretrained(tmp_path)
    config_class = type(model.config)
    autos = {name: getattr(transformers, name) for name in dir(transformers) if name.startswith("AutoModel")}
    autos = {name: auto for name, auto in autos.items() if hasattr(auto, "_model_mapping")}

    def answers() -> dict[str, object]:
        return {name: auto._model_mapping.get(config_class, None) for name, auto in autos.items()}

    transformers.AutoModelForImageSegmentation._model_mapping._extra_content.pop(config_class, None)
    before = answers()
    importlib.reload(clipseg_hf)
    after = answers()
    assert {name for name in autos if before[name] is not after[name]} == {"AutoModelForImageSegmentation"}
    assert isinstance(transformers.AutoModelForImageSegmentation.from_pretrained(tmp_path), CLIPSegForImageSegmentation)
    assert isinstance(transformers.AutoModel.from_pretrained(tmp_path), transformers.CLIPSegModel)
    assert isinstance(transformers.AutoConfig.from_pretrained(tmp_path), transformers.CLIPSegConfig)


def test_stocks_pipeline_says_what_to_use_instead(model, tmp_path):
    model.save_pretrained(tmp_path)
    processor = transformers.ViTImageProcessorPil(size={"height": 64, "width": 64})
    pipeline = transformers.pipeline("image-segmentation", model=str(tmp_path), image_processor=processor)
    assert isinstance(pipeline.model, CLIPSegForImageSegmentation)
    with pytest.raises(ValueError, match=r"no prompt.*clipseg_hf\.CLIPSegProcessor"):
        pipeline(Image.new("RGB", (64, 64)))


def test_set_attn_implementation_reaches_all_parts(tiny, prompts):
    model = tiny.model("sdpa")
    logits = model(**prompts).logits
    model.set_attn_implementation("eager")
    assert model.clip.text_model.config._attn_implementation == "eager"
    assert model(**prompts, output_attentions=True).vision_model_output.attentions
    torch.testing.assert_close(model(**prompts).logits, logits, atol=1e-5, rtol=1e-5)
