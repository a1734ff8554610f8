"""Pictures and prompts in, masks at the pictures' own sizes out, with a tiny model of random weights."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPSegConfig
from transformers import CLIPSegForImageSegmentation as StockModel

from clipseg_hf.modeling import CLIPSegForImageSegmentation


@pytest.fixture
def config(tokenizer):
    text = {"vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "eos_token_id": tokenizer.eos_token_id}
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision |= {"image_size": 32, "patch_size": 16}
    decoder = {"extract_layers": [0, 1], "reduce_dim": 8, "decoder_intermediate_size": 16}
    return CLIPSegConfig(text_config=text, vision_config=vision, projection_dim=12, **decoder)


@pytest.fixture
def model(config):
    torch.manual_seed(0)
    return CLIPSegForImageSegmentation(config).eval()


def noise(height, width):
    return Image.fromarray(np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8))


def box_mask(height, width):
    mask = np.zeros((height, width), dtype=bool)
    mask[height // 4 : height // 2, width // 3 :] = True
    return mask


def test_ragged_prompts_of_all_kinds(small, model):
    images = [noise(30, 40), noise(50, 20)]
    inputs = small(
        [["a cat", None], ["the dog"]],
        images,
        [[None, noise(24, 24)], [(noise(9, 9), noise(31, 8))]],
        [[None, box_mask(24, 24)], [(None, box_mask(31, 8))]],
        segmentation_maps=[box_mask(30, 40), box_mask(30, 40), box_mask(50, 20)],
        return_tensors="pt",
    )
    with torch.inference_mode():
        outputs = model(**inputs)
    assert outputs.loss.isfinite()
    results = small.post_process_prompted_segmentation(outputs, inputs.original_sizes, prompt_kinds=inputs.prompt_kinds)
    assert [[found.mask.shape for found in of_image] for of_image in results] == [[(30, 40)] * 2, [(50, 20)]]
    maps = small.post_process_semantic_segmentation(outputs, inputs.original_sizes, background_threshold=0)
    assert [tuple(found.shape) for found in maps] == [(30, 40), (50, 20)]
    assert set(maps[0].unique().tolist()) <= {1, 2} and maps[1].unique().tolist() == [1]


def test_templates_are_averaged(small, model):
    with torch.inference_mode():
        both = model(**small("cat", noise(32, 32), prompt_templates=["a {}.", "the {}."], return_tensors="pt"))
        single = [model(**small(text, noise(32, 32), return_tensors="pt")) for text in ("a cat.", "the cat.")]
    expected = (single[0].conditional_embeddings + single[1].conditional_embeddings) / 2
    torch.testing.assert_close(both.conditional_embeddings, expected)


def test_a_picture_with_its_own_aspect_ratio(small, model):
    inputs = small(["a cat", "the dog"], noise(60, 100), size={"shortest_edge": 32}, return_tensors="pt")
    assert inputs.pixel_values.shape == (1, 3, 32, 48)
    with torch.inference_mode():
        outputs = model(**inputs)
    (found,) = small.post_process_prompted_segmentation(outputs, inputs.original_sizes)
    assert [f.mask.shape for f in found] == [(60, 100)] * 2


def test_transformers_model_takes_the_same_inputs(small, config):
    stock = StockModel(config).eval()
    inputs = small(["a cat", "the dog"], [noise(30, 40), noise(50, 20)], return_tensors="pt")
    with torch.inference_mode():
        outputs = stock(**inputs)
    results = small.post_process_prompted_segmentation(outputs, inputs.original_sizes)
    assert [of_image[0].mask.shape for of_image in results] == [(30, 40), (50, 20)]


def test_a_checkpoint_s_thresholds_reach_its_processor(small, model, tmp_path):
    model.config.mask_thresholds = {"text": 0.45, "presence": 0.6}
    small.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    loaded = type(small).from_pretrained(tmp_path)
    assert loaded.mask_thresholds == {"text": 0.45, "image": 0.3, "mixed": 0.3, "presence": 0.6}
