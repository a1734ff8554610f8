"""The numbers of the original implementation, from weights that our own converter brings over."""

import pytest
import torch

from clipseg_hf.modeling.conversion import convert_original_checkpoint


@pytest.fixture(scope="module")
def encoded(vit_b16, reference, original_state_dicts):
    """What both decoders share: activations of the query images, and the three kinds of embeddings."""
    model = convert_original_checkpoint(original_state_dicts("rd64_uni"), vit_b16, extract_layers=(3, 7, 9))
    query, prompt = reference.query_pixel_values(), reference.prompt_pixel_values()
    return {
        "features": model.get_vision_features(query),
        "features_224": model.get_vision_features(query[:, :, :224, :224]),
        "text_features": model.get_conditional_embeddings(input_ids=reference.prompt_token_ids()),
        "image_features": model.get_conditional_embeddings(conditional_pixel_values=query),
        "prompt_image_features": model.get_conditional_embeddings(conditional_pixel_values=prompt),
    }


def assert_same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["rd64_uni", "rd64_refined"])
def test_all_arrays_of_the_decoders(kind, encoded, vit_b16, reference, original_state_dicts, reference_arrays):
    model = convert_original_checkpoint(original_state_dicts(kind), vit_b16, extract_layers=(3, 7, 9))
    arrays = reference_arrays(f"decoder_{kind}")
    for name in ("text_features", "image_features", "prompt_image_features"):
        assert_same(encoded[name], arrays[name])
    for name, activation in zip(("act3", "act9"), encoded["features"].vision_embeds[::2], strict=True):
        assert_same(activation[:, :5, :8].transpose(0, 1), arrays[name])  # (batch, token, C) -> (token, batch, C)

    text, image = encoded["text_features"], encoded["prompt_image_features"]
    prompts = {"logits_text": text, "logits_image": image, "logits_mix": 0.3 * image + 0.7 * text}
    for name, embeddings in prompts.items():
        logits = model(vision_embeds=encoded["features"], conditional_embeddings=embeddings).logits
        assert_same(logits[:, ::8, ::8], arrays[name])
    logits = model(vision_embeds=encoded["features_224"], conditional_embeddings=text).logits
    assert_same(logits[:, ::8, ::8], arrays["logits_text_224"])


@torch.no_grad()
def test_one_call_with_text_image_and_weight(vit_b16, reference, original_state_dicts, reference_arrays):
    model = convert_original_checkpoint(original_state_dicts("rd64_uni"), vit_b16, extract_layers=(3, 7, 9))
    outputs = model(
        input_ids=reference.prompt_token_ids()[:1],
        pixel_values=reference.query_pixel_values()[:1],
        conditional_pixel_values=reference.prompt_pixel_values()[:1],
        image_prompt_weight=0.3,
    )
    assert_same(outputs.logits[:, ::8, ::8], reference_arrays("decoder_rd64_uni")["logits_mix"][:1])


@torch.no_grad()
def test_clip_based_masking(vit_b16, reference, original_state_dicts, reference_arrays):
    model = convert_original_checkpoint(original_state_dicts("rd64_uni"), vit_b16)
    images = reference.query_pixel_values()[:, :, :224, :224]
    arrays = reference_arrays("clip_masking")
    assert_same(model.get_conditional_embeddings(conditional_pixel_values=images), arrays["none"])
    # reference name -> ours; both images in one batch, each with its own mask
    for name, mode in {"cls_layer11": "cls_last", "cls_all": "cls_all", "patches_all": "patches_all"}.items():
        embeddings = model.get_conditional_embeddings(
            conditional_pixel_values=images, conditional_masks=arrays["masks"], mask_mode=mode
        )
        assert_same(embeddings, arrays[name])
        assert (embeddings - arrays["none"]).abs().max() > 1e-3, "the mask must matter"
