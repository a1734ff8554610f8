"""From any CLIP, and from checkpoints of all kinds."""

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPModel

from clipseg_hf.modeling import CLIPSegForImageSegmentation


@pytest.mark.parametrize(
    ("vision", "projection_dim", "size"),
    [
        ({"patch_size": 32}, 512, 224),  # B/32
        ({"patch_size": 16}, 512, 352),  # B/16
        (
            {"patch_size": 14, "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16},
            768,
            336,
        ),  # L/14
    ],
)
def test_shapes_of_the_released_clips(vision, projection_dim, size):
    """On the meta device, where only shapes are computed."""
    config = CLIPConfig(vision_config=vision, projection_dim=projection_dim)
    with torch.device("meta"):
        model = CLIPSegForImageSegmentation.from_clip(CLIPModel(config))
        outputs = model(
            pixel_values=torch.zeros(1, 3, size, size + vision["patch_size"]),
            conditional_embeddings=torch.zeros(3, projection_dim),
        )
    assert outputs.logits.shape == (3, size, size + vision["patch_size"])
    assert list(model.config.extract_layers) == [3, 7, 9]


@pytest.mark.parametrize("patch", [14, 16, 32])
def test_a_fresh_decoder_on_a_small_clip_of_any_patch_size(tiny, patch):
    clip = tiny.clip(patch_size=patch, image_size=4 * patch)
    model = CLIPSegForImageSegmentation.from_clip(clip, extract_layers=[1, 4], reduce_dim=8, decoder_dropout=0.1)
    assert model.clip is clip
    assert not model.training
    assert model.config.decoder_dropout == 0.1
    outputs = model(pixel_values=tiny.images(1, 2 * patch, 3 * patch), input_ids=tiny.tokens(2))
    assert outputs.logits.shape == (2, 2 * patch, 3 * patch)


def test_a_clip_checkpoint_by_name(tiny, tmp_path, prompts):
    tiny.clip().save_pretrained(tmp_path / "clip")
    arguments = {"extract_layers": (0, 2), "reduce_dim": 16}
    models = [
        CLIPSegForImageSegmentation.from_clip(clip, generator=torch.Generator().manual_seed(7), **arguments, **loading)
        for clip, loading in ((tmp_path / "clip", {"attn_implementation": "eager"}), (tiny.clip(), {}))
    ]
    torch.testing.assert_close(models[0](**prompts).logits, models[1](**prompts).logits, atol=1e-5, rtol=0)
    assert models[0].config.base_model_name_or_path == str(tmp_path / "clip")
    assert models[1].config.base_model_name_or_path is None
    assert models[0].config._attn_implementation == models[0].clip.vision_model.config._attn_implementation == "eager"


def test_from_clip_knows_what_is_no_clip(tiny, tmp_path):
    tiny.model().save_pretrained(tmp_path / "clipseg")
    with pytest.raises(ValueError, match=r"is a CLIPSeg already: load it by CLIPSegForImageSegmentation\.from_pretr"):
        CLIPSegForImageSegmentation.from_clip(tmp_path / "clipseg")
    transformers.BertConfig().save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match="bert is a model of type 'bert', expected 'clip'"):
        CLIPSegForImageSegmentation.from_clip(tmp_path / "bert")
    with pytest.raises(ValueError, match=r"extract_layers=\[3, 7, 9\] must name .* from 0 to 4"):
        CLIPSegForImageSegmentation.from_clip(tiny.clip())
    with pytest.raises(TypeError, match=r"\['revision'\] are for loading a CLIP by name, but a CLIPModel was given"):
        CLIPSegForImageSegmentation.from_clip(tiny.clip(), revision="main")


def test_from_pretrained_knows_what_is_no_clipseg(tiny, tmp_path):
    tiny.clip().save_pretrained(tmp_path / "clip")
    with pytest.raises(
        ValueError, match=r"clip is a bare CLIP without a decoder: .*\.from_clip puts a fresh one on it"
    ):
        CLIPSegForImageSegmentation.from_pretrained(tmp_path / "clip")
    transformers.BertConfig().save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match="bert is a model of type 'bert', expected 'clipseg'"):
        CLIPSegForImageSegmentation.from_pretrained(tmp_path / "bert")
    with pytest.raises(OSError, match="nowhere"):
        CLIPSegForImageSegmentation.from_pretrained(tmp_path / "nowhere")


def test_fields_can_be_set_while_loading(tiny, tmp_path):
    model = tiny.model()
    model.save_pretrained(tmp_path)
    loaded = CLIPSegForImageSegmentation.from_pretrained(tmp_path, loss_type="focal", decoder_dropout=0.2)
    assert loaded.decoder.layers[0].dropout == 0.2
    assert loaded.config.loss_type == "focal"
    config = transformers.CLIPSegConfig.from_pretrained(tmp_path)
    assert CLIPSegForImageSegmentation.from_pretrained(tmp_path, config=config).config.reduce_dim == 16
    with pytest.raises(ValueError, match='loss_type="jaccard" is unknown'):
        CLIPSegForImageSegmentation.from_pretrained(tmp_path, loss_type="jaccard")
    with pytest.raises(TypeError, match="los_type"):
        CLIPSegForImageSegmentation.from_pretrained(tmp_path, los_type="focal")


def test_a_float16_checkpoint_loads_as_float32_unless_asked(tiny, tmp_path):
    tiny.model().half().save_pretrained(tmp_path)
    assert next(iter(load_file(tmp_path / "model.safetensors").values())).dtype == torch.float16
    assert CLIPSegForImageSegmentation.from_pretrained(tmp_path).dtype == torch.float32
    assert CLIPSegForImageSegmentation.from_pretrained(tmp_path, dtype="auto").dtype == torch.float16
    assert CLIPSegForImageSegmentation.from_pretrained(tmp_path, dtype=torch.float16).dtype == torch.float16


def test_a_missing_decoder_weight_is_drawn_as_in_a_fresh_model(tiny, tmp_path):
    """A checkpoint with another readout: its own weights where they fit, sane ones where not."""
    tiny.model(use_complex_transposed_convolution=False).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"use_complex_transposed_convolution": True}))
    model, info = CLIPSegForImageSegmentation.from_pretrained(tmp_path, output_loading_info=True)
    assert len(info["missing_keys"]) == 6
    weight = model.decoder.transposed_convolution[0].weight  # (16, 16, 3, 3)
    assert 0.9 * 144**-0.5 < weight.abs().max() <= 144**-0.5
    torch.testing.assert_close(model.decoder.film_mul.weight, tiny.model().decoder.film_mul.weight)
