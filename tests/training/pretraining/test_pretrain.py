"""Pre-training a small CLIP on the emoji world."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPModel, CLIPTokenizer

from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.data.emoji_world.emoji_glyphs import GlyphSheet, load_concepts
from clipseg_hf.training.pretraining.captioned_pictures import CaptionedPictures, normalize_pictures
from clipseg_hf.training.pretraining.pretrain import contrastive_loss, pretrain
from clipseg_hf.training.pretraining.pretrain_recipe import PretrainRecipe, Stage
from clipseg_hf.training.pretraining.small_clip import train_tokenizer

pytestmark = pytest.mark.needs_font

RECIPE = Path(__file__).parents[3] / "examples" / "recipes" / "emoji-clip.yaml"


def test_loss_of_a_perfect_and_an_undecided_batch():
    embeds, scale = torch.eye(2), torch.tensor(1.0)
    undecided = contrastive_loss(torch.ones(2, 2), torch.ones(2, 2), scale, ["a", "b"])
    assert undecided.item() == pytest.approx(math.log(2))
    # similarities are 1 and 0: -log(e / (e + 1)) for pictures and for captions alike
    assert contrastive_loss(embeds, embeds, scale, ["a", "b"]).item() == pytest.approx(math.log(1 + math.exp(-1)))


def test_same_caption_is_no_negative():
    loss = contrastive_loss(torch.ones(2, 2), torch.ones(2, 2), torch.tensor(1.0), ["a", "a"])
    assert loss.item() == 0


def test_pictures_are_the_same_whenever_they_are_drawn():
    stage, glyphs = Stage(2, 2, 64, 0.5), GlyphSheet()
    drawn = [CaptionedPictures(stage, 0, load_concepts(), glyphs, seed=3) for _ in range(2)]
    for index in (3, 0, 1):
        (picture, caption), (again, same) = drawn[0][index], drawn[1][index]
        np.testing.assert_array_equal(picture, again)
        assert caption == same
    assert len(drawn[0]) == 4
    assert drawn[0][0][0].shape == (64, 64, 3)


def test_caption_names_what_is_shown():
    dog = [concept for concept in load_concepts() if concept.name == "dog"]
    pictures = CaptionedPictures(Stage(1, 20, 64, 1.0), 0, dog, GlyphSheet(), seed=0)
    assert all("dog" in pictures[index][1] for index in range(20))


def test_normalized_pictures():
    pixels = normalize_pictures(np.full((1, 2, 2, 3), 255, np.uint8))
    assert pixels.shape == (1, 3, 2, 2)
    torch.testing.assert_close(pixels[0, :, 0, 0], torch.tensor([1.9303, 2.0749, 2.1459]), atol=1e-4, rtol=0)


def test_tokenizer_works_as_clips(tmp_path):
    tokenizer = train_tokenizer(["a red apple", "a green apple", "the grey cat"] * 3, 560, 8)
    encoded = tokenizer("A Red apple", padding="max_length").input_ids
    assert encoded[0] == tokenizer.bos_token_id
    assert encoded[4] == tokenizer.eos_token_id  # three words, one token each
    assert tokenizer.decode(encoded, skip_special_tokens=True).strip() == "a red apple"
    assert tokenizer("ünseen wörds").input_ids  # bytes it never saw are still tokens
    tokenizer.save_pretrained(tmp_path)
    assert CLIPTokenizer.from_pretrained(tmp_path)("a red apple").input_ids == tokenizer("a red apple").input_ids
    with pytest.raises(ValueError, match="must hold CLIP's 512 byte tokens and 2 special ones, got 100"):
        train_tokenizer(["a"], 100, 8)


def test_recipe_of_the_embedded_checkpoint():
    recipe = PretrainRecipe.from_yaml(RECIPE)
    assert recipe.vision_width == 192
    assert recipe.stages[0] == Stage(1500, 256, 96, 1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages: []", "at least one stage"),
        ("stages: [{steps: 1, batch_size: 2, image_size: 50, single_share: 1}]", "50 pixels, which patches of 16"),
        ("stages: [{steps: 1, batch_size: 2, image_size: 32, single_share: 1}]\nlearnin_rate: 1", "['learnin_rate']"),
        (
            "stages: [{steps: 1, batch_size: 2, image_size: 32, single_share: 1}]\nprecision: fp16",
            "'bf16' or 'no', got 'fp16'",
        ),
        ("", "recipe.yaml: expected `key: value` lines, found None"),
        ("seed: 1", "recipe.yaml: stages must be given, found {'seed': 1}"),
        ("stages: 3", "recipe.yaml: stages are a list, got 3"),
        ("stages: [3]", "recipe.yaml: expected `key: value` lines, found 3"),
        ("stages: [{steps: 1}]", "batch_size, image_size, single_share must be given, found {'steps': 1}"),
        ("stages: []\npatch_size: 0", "recipe.yaml: patch_size is a number of at least 1, got 0"),
        ("stages: []\nlearning_rate: .nan", "learning_rate is a number of at least 0, got nan"),
        ("stages: []\nseed: [1]", "seed takes a whole number, got [1] (list)"),
    ],
)
def test_wrong_recipes_are_refused(tmp_path, text, message):
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        PretrainRecipe.from_yaml(tmp_path / "recipe.yaml")


def test_pretraining_makes_a_clip_that_takes_a_decoder(tmp_path):
    recipe = PretrainRecipe(
        stages=(Stage(3, 4, 32, 1.0), Stage(2, 4, 64, 0.5)),
        vision_width=32, vision_layers=3, vision_heads=2, image_size=64,
        text_width=32, text_layers=1, text_heads=2, projection_dim=16, vocabulary=600, precision="no",
    )  # fmt: skip
    measured = pretrain(recipe, tmp_path / "one", workers=0)
    assert set(measured) == {"loss", "top1", "top5"}
    assert json.loads((tmp_path / "one" / "pretraining.json").read_text())["measured"] == measured
    model = CLIPSegForImageSegmentation.from_clip(tmp_path / "one", extract_layers=(0, 2))
    processor = CLIPSegProcessor.from_clip(tmp_path / "one", size=64)
    picture = np.zeros((64, 64, 3), np.uint8)
    logits = model(**processor(text=["a cat", "a dog"], images=picture, return_tensors="pt")).logits
    assert logits.shape == (2, 64, 64)

    again = pretrain(recipe, tmp_path / "two", workers=0)
    assert again == measured
    one, two = (CLIPModel.from_pretrained(tmp_path / name).state_dict() for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)
