"""Pre-training a small CLIP on the emoji world."""

import dataclasses
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

from clipseg_hf import EMOJI_TINY, CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.data.emoji_world.emoji_glyphs import GlyphSheet, load_concepts
from clipseg_hf.training.pretraining.captioned_pictures import (
    CaptionedPicture,
    CaptionedPictures,
    normalize_pictures,
)
from clipseg_hf.training.pretraining.pretrain import contrastive_loss, hard_negatives, pretrain
from clipseg_hf.training.pretraining.pretrain_recipe import PretrainRecipe, Stage
from clipseg_hf.training.pretraining.regions import Regions, find_regions, region_loss
from clipseg_hf.training.pretraining.small_clip import embed_patches, load_clip, see_some_patches, train_tokenizer

pytestmark = pytest.mark.needs_font

STAGE = "stages: [{{steps: 1, batch_size: 2, image_size: 32, single_share: 1, {}}}]"
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
        item, again = drawn[0][index], drawn[1][index]
        np.testing.assert_array_equal(item.picture, again.picture)
        assert (item.caption, item.names) == (again.caption, again.names)
    assert len(drawn[0]) == 4
    assert drawn[0][0].picture.shape == (64, 64, 3)


def test_caption_names_what_is_shown():
    dog = [concept for concept in load_concepts() if concept.name == "dog"]
    pictures = CaptionedPictures(Stage(1, 20, 64, 1.0), 0, dog, GlyphSheet(), seed=0)
    items = [pictures[index] for index in range(20)]
    assert all("dog" in item.caption and item.names == ("dog",) and item.swapped is None for item in items)


def test_swapped_caption_exchanges_the_things_of_a_relation():
    concepts = [concept for concept in load_concepts() if concept.name in ("dog", "clown face", "rose")]
    pictures = CaptionedPictures(Stage(1, 60, 160, 0.0), 0, concepts, GlyphSheet(), seed=0)
    related = [item for item in map(pictures.__getitem__, range(60)) if item.swapped is not None]
    assert len(related) > 5
    for item in related:
        found, swapped = (
            re.search("(dog|clown face|rose) (left of|right of|above|below) (dog|clown face|rose)", text)
            for text in (item.caption, item.swapped)
        )
        assert swapped.groups() == found.groups()[::-1]
        assert item.swapped.replace(swapped[0], found[0]) == item.caption
        assert {found[1], found[3]} <= set(item.names)


NAMES = ["dog", "rose", "fox", "cat"]


def test_hard_negatives_are_all_names_but_those_in_the_picture():
    picture = np.zeros((1, 1, 3), np.uint8)
    items = [
        CaptionedPicture(picture, "a photo of a dog above cat.", ("dog", "cat"), "a photo of a cat above dog."),
        CaptionedPicture(picture, "a rose.", ("rose",)),
    ]
    captions, true = hard_negatives(items, NAMES, np.random.default_rng(0))
    assert len(captions) == 5 and captions[-1] == "a photo of a cat above dog."
    assert all(name in caption for name, caption in zip(NAMES, captions[:4], strict=True))
    assert true.tolist() == [[True, False, False, True, False], [False, True, False, False, False]]


def test_loss_with_hard_negatives():
    pictures = torch.eye(2)
    texts = torch.cat([torch.eye(2), torch.eye(2)])  # the captions, and two others that say the same
    true = torch.tensor([[True, False], [False, False]])
    loss = contrastive_loss(pictures, texts, torch.tensor(1.0), ["a", "b"], true)
    # the first picture is asked (1, 0, -, 0), the second (0, 1, 0, 1), and captions, as ever, the two pictures
    asked = [math.log((math.e + 2) / math.e), math.log((2 * math.e + 2) / math.e)]
    captions = math.log(1 + math.exp(-1))
    assert loss.item() == pytest.approx((sum(asked) / 2 + captions) / 2)


def test_regions_are_of_things_that_training_phrases_may_name():
    seen = next(concept for concept in load_concepts() if concept.seen)
    unseen = next(concept for concept in load_concepts() if not concept.seen)
    pictures = CaptionedPictures(Stage(1, 12, 160, 0.0), 0, [seen, unseen], GlyphSheet(), seed=0, regions=True)
    items = [pictures[index] for index in range(12)]
    assert any(unseen.name in item.names for item in items)
    for item in items:
        assert set(item.regions) == {seen.name} & set(item.names)
        assert all(mask.shape == (160, 160) and mask.dtype == bool and mask.any() for mask in item.regions.values())


def test_an_example_is_shown_as_the_processor_shows_it(monkeypatch):
    """One thing of a scene of the emoji world, where it lies if training phrases may name it, and its name."""
    seen = next(concept for concept in load_concepts() if concept.seen)
    unseen = next(concept for concept in load_concepts() if not concept.seen)
    settings = {"context": 2.0, "background": 0.0}
    stage, concepts = Stage(1, 12, 160, 1.0, example=settings), [seen, unseen]
    pictures = CaptionedPictures(stage, 0, concepts, GlyphSheet(), seed=0, regions=True)
    processor, shown = CLIPSegProcessor.from_pretrained(EMOJI_TINY), set()
    show, scenes = pictures.examples.show, []
    monkeypatch.setattr(pictures.examples, "show", lambda scene, *more: scenes.append(scene) or show(scene, *more))
    for number in range(12):
        item = pictures[number]
        (name,) = item.names
        shown.add(name)
        assert name in item.caption and item.swapped is None
        mask = scenes[-1].mask([n for n, each in enumerate(scenes[-1].instances) if each.concept.name == name])
        expected = processor(
            visual_prompt=scenes[-1].image,
            visual_prompt_masks=mask,
            visual_prompt_settings=settings,
            size={"height": 160, "width": 160},
            return_tensors="pt",
        )["conditional_pixel_values"]
        torch.testing.assert_close(normalize_pictures(item.picture[None]), expected, atol=0.5 / 255 / 0.26, rtol=0)
        assert set(item.regions) == ({name} if name == seen.name else set())
        ground = np.array([123, 117, 104])  # CLIP's mean colour
        for region in item.regions.values():
            thing = (item.picture != ground).any(-1)
            assert region.any() and (thing & ~region).sum() < 0.1 * thing.sum() and not (region & ~thing).sum() > 20
    assert shown == {seen.name, unseen.name}


def test_regions_by_patches():
    left = np.zeros((4, 4), bool)
    left[:, :2] = True
    corner = np.zeros((4, 4), bool)
    corner[3, 3] = True
    picture = np.zeros((4, 4, 3), np.uint8)
    items = [
        CaptionedPicture(picture, "a rose.", ("rose",)),
        CaptionedPicture(picture, "a cat and dog.", ("cat", "dog"), regions={"cat": left, "dog": corner}),
    ]
    regions = find_regions(items, NAMES, 2)
    assert regions.shares.tolist() == [[1, 0, 1, 0], [0, 0, 0, 0.25]]
    assert regions.picture.tolist() == [1, 1]
    assert regions.name.tolist() == [NAMES.index("cat"), NAMES.index("dog")]
    some = regions.at(torch.tensor([[0, 1], [3, 0]]))  # the patches that were seen of each picture
    assert some.shares.tolist() == [[0, 1], [0.25, 0]]
    none = find_regions(items[:1], NAMES, 2).at(torch.tensor([[1, 2]]))
    assert none.shares.shape == (0, 2)
    embeds = torch.ones(1, 2, 3, requires_grad=True)
    loss = region_loss(embeds, torch.ones(4, 3), torch.tensor(1.0), none)
    loss.backward()  # a step without regions is a step all the same
    assert loss.item() == 0


def test_region_loss_is_a_mean_over_regions_of_their_patches():
    patches, names = torch.eye(2)[None], torch.eye(2)  # the first patch is the first name, the second the second
    right, wrong = math.log(1 + math.exp(-1)), math.log(1 + math.e)
    regions = Regions(
        torch.tensor([[1.0, 0.5], [0.0, 0.25], [0.0, 0.0]]), torch.tensor([0, 0, 0]), torch.tensor([0, 1, 1])
    )
    loss = region_loss(patches, names, torch.tensor(1.0), regions)
    first = (right + 0.5 * wrong) / 1.5
    assert loss.item() == pytest.approx((first + right) / 2)  # and the third, of which nothing is seen, does not count


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


def test_recipes_of_the_embedded_checkpoint():
    recipe = PretrainRecipe.from_yaml(RECIPE)
    assert recipe.vision_width == 192
    assert recipe.stages[0] == Stage(1500, 256, 96, 1.0)
    sizes = [f.name for f in dataclasses.fields(recipe) if f.name.split("_")[0] in ("vision", "text", "patch", "image")]
    longer, regions, examples = (
        PretrainRecipe.from_yaml(RECIPE.with_name(f"emoji-clip-{x}.yaml")) for x in ("longer", "regions", "examples")
    )
    assert all(getattr(recipe, name) == getattr(x, name) for name in sizes for x in (longer, regions))
    assert {name for name in sizes if getattr(examples, name) != getattr(recipe, name)} == {"vision_layers"}
    shown = CLIPSegProcessor.from_pretrained(EMOJI_TINY).visual_prompt_settings
    assert examples.new_layers_only and examples.learned_share == 0.4 and examples.stages[0].example_settings() == shown
    assert regions.region_weight == 1 and regions.model_name_or_path == "outputs/emoji-clip-longer"
    assert longer.hard_negatives and longer.stages[0].patch_share == 0.5


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
        ("stages: []\nhard_negatives: 1", "hard_negatives takes true or false, got 1 (int)"),
        ("stages: []\nmodel_name_or_path: 1", "model_name_or_path takes a text or null, got 1 (int)"),
        (
            STAGE.format("patch_share: 1") + "\nregion_weight: 1",
            "region_weight needs hard_negatives: true, whose names",
        ),
        ("stages: []\nregion_weight: -1", "region_weight is a number of at least 0, got -1"),
        (STAGE.format("patch_share: 1.5"), "patch_share is a number of at most 1, got 1.5"),
        (STAGE.format("example: 1"), "example takes fields of VisualPromptSettings, got 1"),
        (STAGE.format("example: {contxt: 1}"), "visual_prompt_settings has no contxt; there are crop, context"),
        (
            STAGE.format("example: {}").replace("single_share: 1", "single_share: 0.5"),
            "An example shows one thing: with it, single_share is 1, got 0.5",
        ),
        (
            STAGE.format("patch_share: 1") + "\nnew_layers_only: true",
            "new_layers_only needs model_name_or_path, the CLIP",
        ),
        (STAGE.format("patch_share: 1") + "\nlearned_share: 0.5", "in [0, 1], got 0.5; name that CLIP, or leave"),
        (
            STAGE.format("patch_share: 1") + "\nmodel_name_or_path: x\nlearned_share: 1.5",
            "learned_share is a share of the way from the CLIP of model_name_or_path, in [0, 1], got 1.5",
        ),
        (STAGE.format("patch_share: 0"), "patch_share is a number above 0: CLIP must see some of a picture"),
    ],
)
def test_wrong_recipes_are_refused(tmp_path, text, message):
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        PretrainRecipe.from_yaml(tmp_path / "recipe.yaml")


SMALL = {
    "vision_width": 32, "vision_layers": 3, "vision_heads": 2, "image_size": 64,
    "text_width": 32, "text_layers": 1, "text_heads": 2, "projection_dim": 16, "vocabulary": 600, "precision": "no",
}  # fmt: skip


def test_pretraining_makes_a_clip_that_takes_a_decoder(tmp_path):
    recipe = PretrainRecipe(stages=(Stage(3, 4, 32, 1.0), Stage(2, 4, 64, 0.5)), **SMALL)
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

    further = dataclasses.replace(
        recipe, stages=(Stage(2, 4, 64, 0.0, 0.5),), model_name_or_path=str(tmp_path / "one"), hard_negatives=True
    )
    pretrain(further, tmp_path / "further", workers=0)
    three = CLIPModel.from_pretrained(tmp_path / "further").state_dict()
    assert not any(torch.equal(one[name], three[name]) for name in one if "weight" in name and one[name].ndim > 1)
    assert all((one[name] - three[name]).abs().max() < 0.02 for name in one)  # it went on from there
    pretrain(dataclasses.replace(further, region_weight=1.0), tmp_path / "regions", workers=0)
    four = CLIPModel.from_pretrained(tmp_path / "regions").state_dict()
    assert not torch.equal(three["visual_projection.weight"], four["visual_projection.weight"])
    captions = [CLIPTokenizer.from_pretrained(tmp_path / name)("a grey cat").input_ids for name in ("one", "further")]
    assert captions[0] == captions[1]
    with pytest.raises(ValueError, match=r"asks for vision_config.hidden_size = 48, but .*one has 32; .* change the"):
        pretrain(dataclasses.replace(further, vision_width=48), tmp_path / "none", workers=0)


def test_new_layers_change_pictures_vectors_and_nothing_else(tmp_path):
    start = PretrainRecipe(stages=(Stage(2, 4, 32, 1.0),), **SMALL)
    pretrain(start, tmp_path / "start", workers=0)
    examples = (Stage(3, 4, 64, 1.0, example={"context": 1.0}),)
    changes = {"model_name_or_path": str(tmp_path / "start"), "new_layers_only": True, "vision_layers": 5}
    recipe = dataclasses.replace(
        start, stages=examples, hard_negatives=True, region_weight=1.0, learning_rate=0.01, **changes
    )
    measured = pretrain(recipe, tmp_path / "more", workers=0)
    assert json.loads((tmp_path / "more" / "pretraining.json").read_text())["measured"] == measured
    before, after = (CLIPModel.from_pretrained(tmp_path / name) for name in ("start", "more"))
    assert after.config.vision_config.num_hidden_layers == 5
    old, new = before.state_dict(), after.state_dict()
    changed = {name for name in old if not new[name].equal(old[name])}
    ends = ("vision_model.post_layernorm.weight", "vision_model.post_layernorm.bias", "visual_projection.weight")
    assert changed == set(ends)
    added = {name.split("layers.")[1].split(".")[0] for name in new.keys() - old.keys()}
    assert added == {"3", "4"}

    # a decoder on those blocks reads the same, and so do words; a picture is another vector
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    models = [
        CLIPSegForImageSegmentation.from_clip(tmp_path / name, extract_layers=(0, 2)) for name in ("start", "more")
    ]
    one, two = (model.get_vision_features(pixels) for model in models)
    assert all(a.equal(b) for a, b in zip(one.vision_embeds, two.vision_embeds, strict=True))
    vectors = [model.get_conditional_embeddings(conditional_pixel_values=pixels) for model in models]
    assert not torch.allclose(*vectors)

    half = pretrain(dataclasses.replace(recipe, learned_share=0.5), tmp_path / "half", workers=0)
    assert half["loss"] == measured["loss"]  # of the training, which is the same
    between = CLIPModel.from_pretrained(tmp_path / "half").state_dict()
    for name in ends:
        torch.testing.assert_close(between[name], (old[name] + new[name]) / 2)
    last = "vision_model.encoder.layers.4.mlp.fc2.weight"  # which began as nothing
    torch.testing.assert_close(between[last], new[last] / 2)

    with pytest.raises(ValueError, match=r"on top of the 3 of .*start, but vision_layers = 3 are no more than it has"):
        pretrain(dataclasses.replace(recipe, vision_layers=3), tmp_path / "none", workers=0)


def test_a_new_layer_begins_as_nothing(tmp_path):
    pretrain(PretrainRecipe(stages=(Stage(1, 4, 32, 1.0),), **SMALL), tmp_path, workers=0)
    recipe = PretrainRecipe(
        stages=(Stage(1, 4, 32, 1.0),),
        model_name_or_path=str(tmp_path),
        new_layers_only=True,
        **{**SMALL, "vision_layers": 4},
    )
    grown, _ = load_clip(recipe)
    pixels = torch.randn(2, 3, 64, 64)
    same = CLIPModel.from_pretrained(tmp_path).get_image_features(pixels).pooler_output
    torch.testing.assert_close(grown.get_image_features(pixels).pooler_output, same)
    learning = {name.split(".weight")[0].split(".bias")[0] for name, p in grown.named_parameters() if p.requires_grad}
    assert {name for name in learning if "layers" not in name} == {"vision_model.post_layernorm", "visual_projection"}
    assert {name.split("layers.")[1].split(".")[0] for name in learning if "layers" in name} == {"3"}


def test_patches_choose_among_names_that_regions_may_have(tmp_path, monkeypatch):
    """The others would be wrong at every patch, and so pushed away from what they name as well."""
    asked = []

    def watched(patch_embeds, name_embeds, scale, regions):
        asked.append((len(name_embeds), regions.name))
        return region_loss(patch_embeds, name_embeds, scale, regions)

    monkeypatch.setattr("clipseg_hf.training.pretraining.pretrain.region_loss", watched)
    recipe = PretrainRecipe(stages=(Stage(4, 8, 64, 1.0),), hard_negatives=True, region_weight=1.0, **SMALL)
    pretrain(recipe, tmp_path, workers=0)
    seen = [concept.seen for concept in load_concepts()]
    assert 0 < sum(seen) < len(seen)
    assert {number for number, _ in asked} == {sum(seen)}
    shown = torch.cat([names for _, names in asked])
    assert len(shown) and shown.max() < sum(seen)


def test_pretraining_that_was_cut_ends_in_the_same_weights(tmp_path, monkeypatch):
    stages = Stage(3, 4, 32, 1.0), Stage(3, 4, 64, 0.5, 0.5)
    recipe = PretrainRecipe(stages=stages, hard_negatives=True, region_weight=1.0, save_steps=2, **SMALL)
    measured = pretrain(recipe, tmp_path / "whole", workers=0)
    assert not (tmp_path / "whole" / "unfinished.safetensors").exists()

    seen = []

    def cut_in_the_sixth_step(*given):
        seen.append(given)
        if len(seen) == 6:
            raise KeyboardInterrupt
        return contrastive_loss(*given)

    monkeypatch.setattr("clipseg_hf.training.pretraining.pretrain.contrastive_loss", cut_in_the_sixth_step)
    with pytest.raises(KeyboardInterrupt):
        pretrain(recipe, tmp_path / "cut", workers=0)
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["unfinished.safetensors"]
    other = dataclasses.replace(recipe, learning_rate=1e-4, seed=1)
    with pytest.raises(
        ValueError, match=r"by another recipe, which differs in learning_rate, seed; name another folder"
    ):
        pretrain(other, tmp_path / "cut", workers=0)
    assert pretrain(recipe, tmp_path / "cut", workers=0) == measured
    assert len(seen) == 6 + 2  # the last two steps, from the fourth on
    one, two = (CLIPModel.from_pretrained(tmp_path / name).state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert sorted(path.name for path in (tmp_path / "cut").iterdir()) == sorted(
        path.name for path in (tmp_path / "whole").iterdir()
    )

    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "unfinished.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=r"is not what a training leaves behind .*; remove it, and it starts anew"):
        pretrain(recipe, tmp_path / "broken", workers=0)


def test_clip_sees_some_patches_where_they_are():
    config = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    vision = CLIPVisionConfig(**config, image_size=32, patch_size=8)
    text = CLIPTextConfig(**config, vocab_size=10)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision))
    pixels, seen = torch.randn(3, 3, 32, 32), []
    model.vision_model.pre_layrnorm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model.get_image_features(pixels)
    with see_some_patches(model, 0.25) as told:
        model.get_image_features(pixels)
    with see_some_patches(model, 1.0) as told_all:
        whole = model.get_image_features(pixels)
    every, some, again = seen
    torch.testing.assert_close(every, again)
    assert every.shape == (3, 17, 8) and some.shape == (3, 5, 8)
    chosen = [[row.tolist().index(token.tolist()) for token in found] for row, found in zip(every, some, strict=True)]
    assert all(places[0] == 0 and len(set(places)) == 5 for places in chosen)
    assert len({tuple(places) for places in chosen}) > 1  # other patches of each picture
    assert [[place - 1 for place in places[1:]] for places in chosen] == told[0].tolist()
    assert told_all[0].tolist() == [list(range(16))] * 3
    assert embed_patches(model, whole.last_hidden_state).shape == (3, 16, model.projection_dim)


def test_the_command_says_what_is_wrong_in_one_line(tmp_path):
    sizes = "".join(f"{name}: {value}\n" for name, value in SMALL.items() if name != "precision")
    recipe = tmp_path / "recipe.yaml"

    def run(start: str) -> list[str]:
        recipe.write_text(f"{STAGE.format('patch_share: 1')}\n{sizes}model_name_or_path: {start}\n")
        command = [sys.executable, "-m", "clipseg_hf.training.pretraining", str(recipe), "-o", str(tmp_path / "clip")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 2 and not (tmp_path / "clip").exists()
        return [line for line in done.stderr.splitlines() if line]

    (missing,) = run("outputs/no-such-clip")
    assert missing.startswith("error: ") and "outputs/no-such-clip" in missing
    assert "make it first, by the recipe that this one goes on from" in missing
    (other,) = run("emoji-tiny")
    assert other.endswith("emoji-tiny is a model of type 'clipseg'; pretraining goes on from a CLIP.")
