"""A refiner: nothing changes before it is trained, and afterwards what the pixels say."""

import copy
import json

import numpy as np
import pytest
import torch

from clipseg_hf.modeling import CLIPSegForImageSegmentation, CLIPSegVisionFeatures
from clipseg_hf.modeling.layers.guidance import fit_lines, look
from clipseg_hf.modeling.layers.refiner import PixelRefiner
from clipseg_hf.processing.masks.guided_filter import GuidedFilter

RELEASED = {"reduce_dim": 64, "extract_layers": [1, 3, 4], "projection_dim": 512}


def with_refiner(tiny, trained: bool = True, **fields) -> CLIPSegForImageSegmentation:
    model = tiny.model(refiner={"channels": 4}, **fields)
    if not trained:
        model.refiner.finish.weight.data.zero_()
        model.refiner.finish.bias.data.zero_()
    return model


@pytest.fixture
def refined(tiny) -> CLIPSegForImageSegmentation:
    return with_refiner(tiny)


def without(model) -> CLIPSegForImageSegmentation:
    base = copy.deepcopy(model)
    base.refiner = None
    return base


def test_a_fresh_one_changes_nothing(tiny, prompts):
    torch.manual_seed(0)
    plain = CLIPSegForImageSegmentation.from_clip(tiny.clip(), extract_layers=(0, 1), reduce_dim=16)
    torch.manual_seed(0)
    fresh = CLIPSegForImageSegmentation.from_clip(tiny.clip(), extract_layers=(0, 1), reduce_dim=16, refiner={})
    assert fresh.refiner.stem.out_channels == 8 and fresh.refiner.stem.weight.std() > 0.1
    assert not fresh.refiner.finish.weight.any() and not fresh.refiner.finish.bias.any()
    with torch.no_grad():
        assert torch.equal(fresh(**prompts).logits, plain(**prompts).logits)
    fresh(**prompts, labels=torch.zeros(2, 64, 64)).loss.backward()
    assert fresh.refiner.finish.weight.grad.any() and fresh.decoder.film_mul.weight.grad.any()


def zeroed(channels: int = 4) -> PixelRefiner:
    refiner = PixelRefiner(dim=8, channels=channels)
    for parameter in refiner.parameters():
        parameter.data.zero_()
    return refiner


def test_a_linear_function_of_the_colours_by_hand():
    """Without tokens and trust, the last layer's sums are three slopes and a shift for each pixel's colour."""
    refiner = zeroed()
    refiner.finish.bias.data = torch.tensor([0.0, 0.2, -0.1, 0, 0.05])
    pixels = torch.rand(1, 3, 6, 10, generator=torch.Generator().manual_seed(0))
    logits = torch.zeros(1, 6, 10)
    found = refiner(torch.zeros(1, 1, 1, 8), logits, refiner.encode(pixels))
    line = 4 * (0.2 * pixels[:, 0] - 0.1 * pixels[:, 1] + 0.05)
    torch.testing.assert_close(found, line)


def test_it_is_the_guided_filter_where_that_is_trusted():
    """The one in NumPy, but for how sizes are changed."""
    refiner = zeroed()
    refiner.finish.bias.data[0] = 1.0
    picture = np.kron(np.random.default_rng(0).random((4, 5, 3)), np.ones((16, 16, 1))).astype(np.float32)
    logits = np.full((64, 80), -3.9, dtype=np.float32)
    logits[10:30, 20:45] = 2.5  # not where the squares of colour are
    pixels = torch.from_numpy((picture - 0.45) / 0.26).permute(2, 0, 1)[None]
    with torch.no_grad():
        found = refiner(torch.zeros(1, 1, 1, 8), torch.from_numpy(logits)[None], refiner.encode(pixels))[0].numpy()
    drawn_in = 4 * np.arctanh(logits / 4)  # which the filter's limit makes of them what the refiner takes as it is
    expected = GuidedFilter(radius=8, eps=1e-3, limit=4).filter(drawn_in, picture)
    assert np.abs(expected - logits).mean() > 0.4
    assert np.abs(found - expected).mean() < 0.1
    assert ((found > 0) != (expected > 0)).mean() < 0.02


def test_no_logit_moves_by_more_than_its_limit(refined, prompts):
    refined.refiner.finish.bias.data += 1e4
    with torch.no_grad():
        moved = refined(**prompts).logits - without(refined)(**prompts).logits
    assert moved.abs().max() <= 8.001 and moved.abs().max() > 7.9


@pytest.mark.parametrize("shape", [(8, 12), (5, 3), (1, 1)])
def test_lines_fit_what_is_one(shape):
    """Values that are linear in the guide have slopes and shift of their own everywhere."""
    guide = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0)) * 3
    lines = fit_lines(guide[:, 1:2] * 0.5 + 1, look(guide))
    values = (lines[:, :3] * guide).sum(1) + lines[:, 3]
    torch.testing.assert_close(values, guide[:, 1] * 0.5 + 1, atol=0.05, rtol=0)


@pytest.mark.parametrize("size", [(48, 80), (64, 64), (16, 16)])
def test_any_size_and_many_prompts_of_many_images(refined, tiny, size):
    images, vectors = tiny.images(2, *size), torch.randn(5, 24)
    owners = torch.tensor([0, 1, 1, 0, 1])
    with torch.no_grad():
        features = refined.get_vision_features(images)
        logits = refined(vision_embeds=features, conditional_embeddings=vectors, prompt_to_image=owners).logits
        alone = [
            refined(pixel_values=images[owner : owner + 1], conditional_embeddings=vectors[n : n + 1]).logits[0]
            for n, owner in enumerate(owners)
        ]
        chunked = refined(
            vision_embeds=features, conditional_embeddings=vectors, prompt_to_image=owners, decode_chunk_size=2
        ).logits
        base = without(refined)(pixel_values=images, conditional_embeddings=vectors, prompt_to_image=owners).logits
    assert logits.shape == (5, *size)
    assert (logits - torch.stack(alone)).abs().max() < 1e-5 and (logits - chunked).abs().max() < 1e-5
    assert (logits - base).abs().max() > 0.01


def test_odd_patches_work(tiny):
    model = with_refiner(tiny, vision_config={"patch_size": 7, "image_size": 28})
    with torch.no_grad():
        assert model(pixel_values=tiny.images(1, 21, 35), input_ids=tiny.tokens(1)).logits.shape == (1, 21, 35)


def test_pixels_are_read_once_for_an_image(refined, tiny):
    reads = []
    refined.refiner.stem.register_forward_hook(lambda *_: reads.append(1))
    with torch.no_grad():
        features = refined.get_vision_features(tiny.images(1))
        for _ in range(3):
            refined(vision_embeds=features, conditional_embeddings=torch.randn(4, 24))
    assert len(reads) == 1
    assert torch.equal(features.select(0).pixel_features[1], features.pixel_features[1])
    assert features.to(dtype=torch.bfloat16).pixel_features[0].dtype == torch.bfloat16


def test_features_without_pixels_take_them_beside(refined, prompts):
    features = without(refined).get_vision_features(prompts["pixel_values"])
    assert features.pixel_features is None
    texts = {"input_ids": prompts["input_ids"]}
    expected = refined(**prompts).logits
    assert torch.equal(refined(vision_embeds=features, pixel_values=prompts["pixel_values"], **texts).logits, expected)
    with pytest.raises(ValueError, match="vision_embeds hold no pixel_features, which this model's refiner reads"):
        refined(vision_embeds=features, **texts)
    whole = refined.get_vision_features(prompts["pixel_values"])
    with pytest.raises(ValueError, match="one of both"):
        refined(vision_embeds=whole, **prompts)
    kept = CLIPSegVisionFeatures(whole.vision_embeds, whole.grid)
    assert torch.equal(without(refined)(vision_embeds=kept, **texts).logits, without(refined)(**prompts).logits)


def test_half_precision_and_hidden_states(refined, prompts):
    with torch.no_grad():
        expected = refined(**prompts).logits
        assert torch.equal(refined(**prompts, output_hidden_states=True).logits, expected)
        inputs = {**prompts, "pixel_values": prompts["pixel_values"].bfloat16()}
        halved = copy.deepcopy(refined).bfloat16()(**inputs).logits
        assert halved.dtype == torch.bfloat16 and expected.std() > 1
        assert (halved - expected).abs().mean() < 0.03 and (halved - expected).abs().max() < 0.5
        with torch.autocast("cpu", torch.bfloat16):
            assert (refined(**prompts).logits - expected).abs().max() < 0.2


def test_a_frozen_decoder_gets_no_gradients_and_stays_in_evaluation_mode(refined, prompts):
    refined.freeze_decoder()
    refined.train()
    assert refined.refiner.training and not refined.decoder.training and not refined.clip.training
    refined(**prompts, labels=torch.zeros(2, 64, 64)).loss.backward()
    assert {name.split(".")[0] for name, p in refined.named_parameters() if p.grad is not None} == {"refiner"}
    assert {name.split(".")[0] for name, p in refined.named_parameters() if p.requires_grad} == {"refiner"}


@pytest.mark.parametrize("intermediate", [512, 2048])
def test_its_weights_are_at_most_a_twentieth_of_the_decoders(tiny, intermediate):
    """Of emoji-tiny's decoder, and of the released ones."""
    fields = {**RELEASED, "decoder_intermediate_size": intermediate, "refiner": {}}
    fields |= {"vision_config": {"hidden_size": 192}, "use_complex_transposed_convolution": True}
    model = CLIPSegForImageSegmentation(tiny.config(**fields))
    decoder, refiner = (sum(p.numel() for p in part.parameters()) for part in (model.decoder, model.refiner))
    assert 0.004 < refiner / decoder < 0.05 and refiner == 4_774


# Its settings


def test_a_checkpoints_refiner_of_another_width_is_refused(refined, tmp_path):
    refined.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"does not fit this model's refiner: its refiner\.\S+ is \[.*, expected \["):
        CLIPSegForImageSegmentation.from_pretrained(tmp_path, refiner={"channels": 8})


@pytest.mark.parametrize(
    ("refiner", "message"),
    [
        ("big", r"refiner='big' must be None, \{\} or \{\"channels\": 8\}"),
        ({"width": 8}, r"refiner=\{'width': 8\} must be None"),
        ({"channels": 5}, "an even number of at least 4, got 5"),
        ({"channels": 2}, "an even number of at least 4, got 2"),
    ],
)
def test_other_settings_are_refused(tiny, tmp_path, refiner, message):
    with pytest.raises(ValueError, match=message):
        tiny.model(refiner=refiner)
    tiny.model().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"refiner": refiner}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        CLIPSegForImageSegmentation.from_pretrained(tmp_path)
