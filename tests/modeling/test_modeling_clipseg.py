"""The model: any number of prompts for each image, of texts, images or both, kept or computed at once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipseg_hf.modeling import CLIPSegForImageSegmentation, CLIPSegVisionFeatures
from clipseg_hf.modeling.configuration import row_width


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.fixture(scope="module", params=[None, {"text": 3, "image": 4}], ids=["vectors", "tokens"])
def shared(tiny, request):
    """One model for tests that only ask it, and one that attends to the prompts' tokens."""
    return tiny.model(use_complex_transposed_convolution=True, prompt_tokens=request.param)


def one_by_one(model, tiny_images, prompts, prompt_to_image, **arguments) -> torch.Tensor:
    """Logits of each prompt asked alone."""
    logits = [
        model(
            pixel_values=tiny_images[image : image + 1],
            **{name: rows[number : number + 1] for name, rows in prompts.items()},
            **arguments,
        ).logits
        for number, image in enumerate(prompt_to_image)
    ]
    return torch.cat(logits)


@torch.no_grad()
@settings(max_examples=12)
@given(
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    images=st.integers(1, 3),
    ragged=st.lists(st.integers(0, 2), min_size=1, max_size=6),
    chunk=st.one_of(st.none(), st.integers(1, 7)),
)
def test_prompts_at_once_are_prompts_one_by_one(shared, tiny, size, images, ragged, chunk):
    height, width = 16 * size[0], 16 * size[1]
    pixel_values = tiny.images(images, height, width)
    ragged = [number % images for number in ragged]
    prompts = {"input_ids": tiny.tokens(len(ragged))}
    outputs = shared(
        pixel_values=pixel_values, **prompts, prompt_to_image=torch.tensor(ragged), decode_chunk_size=chunk
    )
    assert outputs.logits.shape == (len(ragged), height, width)
    assert outputs.prompt_to_image.tolist() == ragged
    close(outputs.logits, one_by_one(shared, pixel_values, prompts, ragged))


@torch.no_grad()
def test_pairs_and_many_prompts_of_one_image_need_no_pairing(shared, tiny):
    prompts = {"input_ids": tiny.tokens(3)}
    pairs = shared(pixel_values=tiny.images(3), **prompts)
    close(pairs.logits, one_by_one(shared, tiny.images(3), prompts, [0, 1, 2]))
    many = shared(pixel_values=tiny.images(1), **prompts)
    assert many.prompt_to_image.tolist() == [0, 0, 0]
    close(many.logits, one_by_one(shared, tiny.images(1), prompts, [0, 0, 0]))


def test_one_image_and_one_prompt_keep_their_axes(shared, tiny):
    outputs = shared(pixel_values=tiny.images(1, 32, 48), input_ids=tiny.tokens(1))
    assert outputs.logits.shape == (1, 32, 48)
    assert outputs.conditional_embeddings.shape == (1, row_width(shared.config))
    assert outputs.prompt_to_image.tolist() == [0]


@torch.no_grad()
def test_an_image_that_no_prompt_asks_about_does_no_harm(shared, tiny):
    outputs = shared(pixel_values=tiny.images(2), input_ids=tiny.tokens(1), prompt_to_image=torch.tensor([1]))
    close(outputs.logits, shared(pixel_values=tiny.images(2)[1:], input_ids=tiny.tokens(1)).logits)


@torch.no_grad()
def test_weights_0_and_1_are_the_pure_prompts_exactly(shared, tiny):
    images, texts, examples = tiny.images(2), tiny.tokens(2), tiny.images(2, 80, 48, seed=1)
    text = shared(pixel_values=images, input_ids=texts).logits
    image = shared(pixel_values=images, conditional_pixel_values=examples).logits
    both = {"pixel_values": images, "input_ids": texts, "conditional_pixel_values": examples}
    assert torch.equal(shared(**both, image_prompt_weight=0.0).logits, text)
    assert torch.equal(shared(**both, image_prompt_weight=1.0).logits, image)
    by_prompt = shared(**both, image_prompt_weight=torch.tensor([0.0, 1.0])).logits
    close(by_prompt, torch.stack([text[0], image[1]]))
    assert not torch.allclose(shared(**both).logits, text)


@torch.no_grad()
def test_a_mixed_prompt_is_the_mean_of_the_vectors(shared, tiny):
    texts, examples = tiny.tokens(2), tiny.images(2, seed=1)
    text = shared.get_conditional_embeddings(input_ids=texts)
    image = shared.get_conditional_embeddings(conditional_pixel_values=examples)
    weight = torch.tensor([0.3, 0.8])
    mixed = shared.get_conditional_embeddings(
        input_ids=texts, conditional_pixel_values=examples, image_prompt_weight=weight
    )
    close(mixed, weight[:, None] * image + (1 - weight[:, None]) * text)


@torch.no_grad()
def test_a_checkpoint_says_how_much_an_example_weighs_where_nobody_does(tiny, tmp_path):
    both = {"input_ids": tiny.tokens(2), "conditional_pixel_values": tiny.images(2, seed=1)}
    model = tiny.model().eval()
    half = model.get_conditional_embeddings(**both)
    assert torch.equal(half, model.get_conditional_embeddings(**both, image_prompt_weight=0.5))
    model.config.image_prompt_weight = 0.0
    model.save_pretrained(tmp_path)
    loaded = CLIPSegForImageSegmentation.from_pretrained(tmp_path)
    text = loaded.get_conditional_embeddings(input_ids=both["input_ids"])
    assert torch.equal(loaded.get_conditional_embeddings(**both), text)
    assert torch.equal(loaded(pixel_values=tiny.images(2), **both).conditional_embeddings, text)
    close(loaded.get_conditional_embeddings(**both, image_prompt_weight=0.5), half)
    chosen = CLIPSegForImageSegmentation.from_pretrained(tmp_path, image_prompt_weight=0.5)
    close(chosen.get_conditional_embeddings(**both), half)
    with pytest.raises(ValueError, match="image_prompt_weight=3 must be in"):
        CLIPSegForImageSegmentation.from_pretrained(tmp_path, image_prompt_weight=3)


@torch.no_grad()
def test_prompts_of_a_text_an_image_both_and_several_images(shared, tiny):
    texts, examples = tiny.tokens(2), tiny.images(4, seed=1)
    text = shared.get_conditional_embeddings(input_ids=texts)
    image = shared.get_conditional_embeddings(conditional_pixel_values=examples)
    outputs = shared(
        pixel_values=tiny.images(1),
        input_ids=texts,
        text_to_prompt=torch.tensor([0, 2]),
        conditional_pixel_values=examples,
        conditional_to_prompt=torch.tensor([1, 2, 1, 3]),
        image_prompt_weight=0.25,
    )
    expected = torch.stack([text[0], (image[0] + image[2]) / 2, 0.25 * image[1] + 0.75 * text[1], image[3]])
    close(outputs.conditional_embeddings, expected)


@torch.no_grad()
def test_several_templates_of_a_prompt_are_averaged(shared, tiny):
    rows = shared.get_conditional_embeddings(input_ids=tiny.tokens(4))
    outputs = shared(pixel_values=tiny.images(1), input_ids=tiny.tokens(4), text_to_prompt=torch.tensor([0, 1, 0, 1]))
    close(outputs.conditional_embeddings, torch.stack([rows[[0, 2]].mean(0), rows[[1, 3]].mean(0)]))


@torch.no_grad()
def test_what_is_kept_gives_the_same_as_one_call(shared, tiny):
    images, texts = tiny.images(2, 48, 80), tiny.tokens(3)
    prompt_to_image = torch.tensor([1, 0, 1])
    whole = shared(pixel_values=images, input_ids=texts, prompt_to_image=prompt_to_image)
    features = shared.get_vision_features(images)
    embeddings = shared.get_conditional_embeddings(input_ids=texts)
    assert features.grid == (3, 5)
    assert features.num_images == 2
    assert [tuple(embeds.shape) for embeds in features.vision_embeds] == [(2, 16, 48)] * 3
    kept = shared(vision_embeds=features, conditional_embeddings=embeddings, prompt_to_image=prompt_to_image)
    assert torch.equal(kept.logits, whole.logits)
    second = shared(vision_embeds=features.select(1), conditional_embeddings=embeddings[:1])
    close(second.logits, whole.logits[:1])


@torch.no_grad()
def test_features_can_be_selected_and_moved(shared, tiny):
    features = shared.get_vision_features(tiny.images(3))
    for choice in (slice(1, 3), [1, 2], torch.tensor([1, 2])):
        assert torch.equal(features.select(choice).vision_embeds[0], features.vision_embeds[0][1:])
    half = features.to(dtype=torch.bfloat16)
    assert half.vision_embeds[2].dtype == torch.bfloat16
    embeddings = shared.get_conditional_embeddings(input_ids=tiny.tokens(3))
    logits = shared(vision_embeds=half, conditional_embeddings=embeddings.bfloat16()).logits
    assert logits.dtype == torch.float32
    assert (logits - shared(vision_embeds=features, conditional_embeddings=embeddings).logits).abs().max() < 0.1


def test_only_the_layers_that_are_read_run(tiny):
    model, calls = tiny.model(extract_layers=[0, 2]), []
    for number, layer in enumerate(model.clip.vision_model.encoder.layers):
        layer.register_forward_hook(lambda *_, number=number: calls.append(number))
    inputs = {"pixel_values": tiny.images(1), "input_ids": tiny.tokens(4)}
    model(**inputs)
    assert calls == [0, 1, 2]  # once for four prompts
    for asked in ("output_hidden_states", "output_attentions"):
        calls.clear()
        outputs = model(**inputs, **{asked: True})
        assert calls == [0, 1, 2, 3, 4]
        assert outputs.pooled_output.shape == (1, 24)


@torch.no_grad()
def test_hidden_states_are_those_of_all_chunks(shared, tiny):
    inputs = {"pixel_values": tiny.images(1), "input_ids": tiny.tokens(3)}
    whole = shared(**inputs, output_hidden_states=True, output_attentions=True).decoder_output
    parts = shared(**inputs, output_hidden_states=True, output_attentions=True, decode_chunk_size=2).decoder_output
    assert [state.shape for state in parts.hidden_states] == [(3, 17, 16)] * 4
    assert [weights.shape for weights in parts.attentions] == [(3, 4, 17, 17)] * 3
    for name in ("hidden_states", "attentions"):
        for found, expected in zip(parts[name], whole[name], strict=True):
            close(found, expected)


def test_a_config_can_ask_for_hidden_states(tiny):
    model = tiny.model(output_hidden_states=True)
    assert model(pixel_values=tiny.images(1), input_ids=tiny.tokens(1)).decoder_output.hidden_states


@torch.no_grad()
def test_clip_based_masking_needs_images_and_changes_them(shared, tiny):
    examples, masks = tiny.images(2, seed=1), torch.zeros(2, 100, 100)
    masks[:, :50] = 1
    inputs = {"pixel_values": tiny.images(2), "conditional_pixel_values": examples}
    plain, masked = shared(**inputs).logits, shared(**inputs, conditional_masks=masks, mask_mode="cls_last").logits
    assert not torch.allclose(plain, masked)
    with pytest.raises(ValueError, match="conditional_masks need conditional_pixel_values"):
        shared.get_conditional_embeddings(input_ids=tiny.tokens(2), conditional_masks=masks)


def test_labels_give_the_loss_that_the_config_names(tiny):
    inputs = {"pixel_values": tiny.images(2), "input_ids": tiny.tokens(2), "labels": torch.rand(2, 30, 50) > 0.5}
    losses = {kind: tiny.model(loss_type=kind)(**inputs).loss.item() for kind in ("bce", "focal", "dice", "bce_dice")}
    assert losses["bce_dice"] == pytest.approx(losses["bce"] + losses["dice"], abs=1e-6)
    assert len(set(losses.values())) == 4
    ignored = inputs | {"labels": torch.full((2, 30, 50), 7)}
    assert tiny.model()(**ignored, ignore_index=7).loss == 0


def test_what_the_processor_adds_is_taken(shared, tiny):
    inputs = {"pixel_values": tiny.images(1), "input_ids": tiny.tokens(1), "original_sizes": [(480, 640)]}
    assert shared(**inputs).logits.shape == (1, 64, 64)


PIXELS, TEXTS, VECTORS = torch.zeros(2, 3, 64, 64), torch.full((3, 6), 99), torch.zeros(3, 24)
OTHER_FEATURES = CLIPSegVisionFeatures(vision_embeds=(torch.zeros(1, 17, 48),), grid=(4, 4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pixel_values": PIXELS, "input_ids": TEXTS}, "3 prompts for 2 images do not pair one to one"),
        ({"input_ids": TEXTS}, "query images either as pixel_values or as vision_embeds"),
        (
            {"pixel_values": PIXELS, "vision_embeds": OTHER_FEATURES, "input_ids": TEXTS},
            "query images either as pixel_values or as vision_embeds",
        ),
        ({"pixel_values": PIXELS}, "no prompt: pass input_ids, conditional_pixel_values or conditional_embeddings"),
        ({"pixel_values": torch.zeros(1, 3, 64, 70), "input_ids": TEXTS}, "resize them to 64 x 64 or 64 x 80"),
        (
            {"pixel_values": PIXELS, "conditional_pixel_values": torch.zeros(2, 3, 70, 64)},
            "conditional_pixel_values are 70 x 64",
        ),
        (
            {"pixel_values": PIXELS, "input_ids": TEXTS, "conditional_embeddings": VECTORS},
            "conditional_embeddings stand in place of input_ids: pass one or the other",
        ),
        (
            {"pixel_values": PIXELS, "conditional_embeddings": torch.zeros(3, 25)},
            r"conditional_embeddings have the shape \(3, 25\), expected \(prompts, (24|192)\)",
        ),
        (
            {"vision_embeds": OTHER_FEATURES, "conditional_embeddings": VECTORS},
            r"vision_embeds hold 1 activation, this model reads 3 \(extract_layers=\[0, 1, 3\]\)",
        ),
        (
            {"pixel_values": PIXELS, "input_ids": TEXTS, "prompt_to_image": torch.tensor([0, 1, 2])},
            "prompt_to_image names the images 0 to 2, but there are 2",
        ),
        (
            {"pixel_values": PIXELS, "input_ids": TEXTS, "prompt_to_image": torch.tensor([0, 1])},
            r"3 text\(s\) for 2 prompt\(s\)",
        ),
        (
            {"pixel_values": PIXELS[:1], "input_ids": TEXTS, "decode_chunk_size": 0},
            "decode_chunk_size=0 must be a positive number of prompts, or None",
        ),
        (
            {"pixel_values": PIXELS[:1], "input_ids": TEXTS, "labels": torch.zeros(2, 64, 64)},
            r"labels have the shape \(2, 64, 64\), expected \(3, height, width\)",
        ),
    ],
)
def test_inputs_that_do_not_fit_together(shared, arguments, message):
    with pytest.raises(ValueError, match=message):
        shared(**arguments)


def test_features_are_what_get_vision_features_returns(shared, tiny):
    with pytest.raises(TypeError, match="vision_embeds is a tuple, expected what get_vision_features returns"):
        shared(vision_embeds=(tiny.images(1),), input_ids=tiny.tokens(1))


def test_a_misspelt_argument_is_refused(shared, tiny):
    with pytest.raises(TypeError, match="promt_to_image"):
        shared(pixel_values=tiny.images(1), input_ids=tiny.tokens(1), promt_to_image=torch.tensor([0]))


@torch.no_grad()
def test_the_output_says_of_what_kind_each_prompt_was(shared, tiny):
    image, texts, examples = tiny.images(1), tiny.tokens(2), tiny.images(2)
    assert shared(pixel_values=image, input_ids=texts).prompt_kinds == ["text", "text"]
    assert shared(pixel_values=image, conditional_pixel_values=examples).prompt_kinds == ["image", "image"]
    both = shared(
        pixel_values=image,
        input_ids=texts,
        text_to_prompt=torch.tensor([0, 1]),
        conditional_pixel_values=examples,
        conditional_to_prompt=torch.tensor([1, 2]),
    )
    assert both.prompt_kinds == ["text", "mixed", "image"]
    assert "prompt_kinds" not in both  # no entry of the tuple
    again = shared(pixel_values=image, conditional_embeddings=both.conditional_embeddings)
    assert again.prompt_kinds is None


@torch.no_grad()
def test_pairings_may_be_lists(shared, tiny):
    arguments = {"pixel_values": tiny.images(2), "input_ids": tiny.tokens(3)}
    close(
        shared(**arguments, prompt_to_image=[0, 1, 1]).logits,
        shared(**arguments, prompt_to_image=torch.tensor([0, 1, 1])).logits,
    )


@torch.no_grad()
def test_no_prompts_give_no_masks(shared, tiny):
    image = tiny.images(1)
    width = row_width(shared.config)
    for none in (
        {"conditional_embeddings": torch.zeros(0, width)},
        {"input_ids": tiny.tokens(1)[:0]},
        {"conditional_pixel_values": tiny.images(1)[:0]},
    ):
        assert shared(pixel_values=image, **none).logits.shape == (0, *image.shape[2:])


def test_the_loss_function_is_that_of_the_configuration(shared, caplog):
    """transformers would look for a loss of its own by the same field, and warn."""
    logits, labels = torch.tensor([[[0.0]]]), torch.ones(1, 1, 1)
    with caplog.at_level("WARNING", "transformers"):
        torch.testing.assert_close(shared.loss_function(logits, labels), torch.log(torch.tensor(2.0)))
    assert not caplog.records
