"""CLIP's vision tower: left early, at any size, and masked inside."""

import pytest
import torch

from clipseg_hf.modeling.layers.vision import embed_tokens, extract_activations, patch_grid, run_masked_images


def test_a_grid_counts_rows_and_columns():
    assert patch_grid(torch.zeros(2, 3, 32, 64), 16) == (2, 4)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 350, 352), "pixel_values are 350 x 352, .* patch size 16: resize them to 336 x 352 or 352 x 352"),
        ((1, 3, 5, 40), "resize them to 16 x 32 or 16 x 48"),
        ((3, 32, 32), r"pixel_values have the shape \(3, 32, 32\), expected \(images, channels, height, width\)"),
    ],
)
def test_sizes_that_do_not_work_come_with_sizes_that_do(shape, message):
    with pytest.raises(ValueError, match=message):
        patch_grid(torch.zeros(shape), 16)


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 96), (32, 80)])
def test_leaving_early_gives_what_the_whole_tower_gives(tiny, height, width):
    clip, images = tiny.clip(), tiny.images(2, height, width)
    states = clip.vision_model(images, interpolate_pos_encoding=True, output_hidden_states=True).hidden_states
    found = extract_activations(clip.vision_model, images, extract_layers=[3, 0, 1])
    for activation, layer in zip(found, [3, 0, 1], strict=True):
        assert torch.equal(activation, states[layer + 1])  # states begin with the embeddings


@pytest.mark.parametrize("extract_layers", [[0], [1, 3], [4]])
def test_no_layer_beyond_the_last_one_wanted_runs(tiny, extract_layers):
    clip, calls = tiny.clip(), []
    for number, layer in enumerate(clip.vision_model.encoder.layers):
        layer.register_forward_hook(lambda *_, number=number: calls.append(number))
    extract_activations(clip.vision_model, tiny.images(1), extract_layers)
    assert calls == list(range(max(extract_layers) + 1))


@torch.no_grad()
@pytest.mark.parametrize("mode", ["cls_last", "cls_all", "patches_all"])
def test_a_mask_of_ones_is_no_mask(tiny, mode):
    clip, images = tiny.clip(), tiny.images(2)
    plain = clip.get_image_features(images).pooler_output
    masked = embed_tokens(clip, run_masked_images(clip, images, torch.ones(2, 64, 64, dtype=torch.bool), mode))
    torch.testing.assert_close(masked[:, 0], plain, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("mode", ["cls_last", "cls_all", "patches_all"])
def test_each_image_has_its_own_mask(tiny, mode):
    clip, images = tiny.clip(), tiny.images(2)
    masks = torch.zeros(2, 64, 64)
    masks[0, :32], masks[1, :, 48:] = 1, 1
    together = run_masked_images(clip, images, masks, mode)
    for number in range(2):
        alone = run_masked_images(clip, images[number : number + 1], masks[number : number + 1], mode)
        torch.testing.assert_close(together[number : number + 1], alone, atol=1e-5, rtol=1e-5)
    assert (together - run_masked_images(clip, images, masks.flip(0), mode)).abs().max() > 1e-4


@torch.no_grad()
def test_an_empty_mask_in_one_layer_attends_everywhere_alike(tiny):
    """Scores of 0 are equal weights: by hand, CLS then gets the mean of the values (its own score apart)."""
    clip, images = tiny.clip(num_hidden_layers=1), tiny.images(1)
    vision = clip.vision_model
    layer = vision.encoder.layers[0]
    hidden = vision.pre_layrnorm(vision.embeddings(images))
    normed = layer.layer_norm1(hidden)
    heads = (1, 17, 4, 12)
    query, key, value = (
        p(normed).view(heads) for p in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj)
    )
    scores = torch.zeros(4, 17)
    scores[:, 0] = (query[0, 0] * key[0, 0]).sum(-1) / 12**0.5
    weights = scores.softmax(-1)  # (heads, tokens)
    attended = torch.einsum("ht,thd->hd", weights, value[0]).flatten()
    cls = hidden[:, 0] + layer.self_attn.out_proj(attended)
    cls = cls + layer.mlp(layer.layer_norm2(cls))
    expected = clip.visual_projection(vision.post_layernorm(cls))
    found = embed_tokens(clip, run_masked_images(clip, images, torch.zeros(1, 64, 64), "cls_all")[:, 0])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_masks_that_do_not_fit(tiny):
    with pytest.raises(ValueError, match='mask_mode="cls" is unknown, choose one of cls_last, cls_all, patches_all'):
        run_masked_images(tiny.clip(), tiny.images(1), torch.ones(1, 64, 64), "cls")
    with pytest.raises(
        ValueError, match=r"conditional_masks have the shape \(2, 64, 64\), expected \(1, height, width\)"
    ):
        run_masked_images(tiny.clip(), tiny.images(1), torch.ones(2, 64, 64))
