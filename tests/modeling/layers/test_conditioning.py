"""From texts and images to one vector for each prompt, and from prompts to images."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipseg_hf.modeling.layers.conditioning import mix_prompts, resolve_prompt_to_image

TEXTS = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
IMAGES = torch.tensor([[0.0, 10.0], [0.0, 20.0]])


def test_texts_and_images_mix_by_the_weight():
    # x = a s + (1 - a) t
    assert mix_prompts(TEXTS, IMAGES, image_prompt_weight=0.25).tolist() == [[0.75, 2.5], [2.25, 5.0]]
    weights = torch.tensor([0.0, 1.0])
    assert mix_prompts(TEXTS, IMAGES, image_prompt_weight=weights).tolist() == [[1.0, 0.0], [0.0, 20.0]]


def test_several_texts_of_a_prompt_are_averaged():
    assert mix_prompts(TEXTS, None, text_to_prompt=torch.tensor([0, 0])).tolist() == [[2.0, 0.0]]


def test_several_images_of_a_prompt_are_averaged():
    assert mix_prompts(None, IMAGES, image_to_prompt=torch.tensor([0, 0])).tolist() == [[0.0, 15.0]]


def test_a_prompt_with_one_of_both_uses_it_purely():
    mixed = mix_prompts(TEXTS, IMAGES, torch.tensor([0, 1]), torch.tensor([1, 2]), image_prompt_weight=0.5)
    assert mixed.tolist() == [[1.0, 0.0], [1.5, 5.0], [0.0, 20.0]]


def test_texts_in_order_and_images_for_some():
    mixed = mix_prompts(TEXTS, IMAGES[:1], image_to_prompt=torch.tensor([1]), image_prompt_weight=1.0)
    assert mixed.tolist() == [[1.0, 0.0], [0.0, 10.0]]


@given(st.integers(1, 5), st.integers(0, 10_000))
def test_weights_0_and_1_are_the_pure_prompts_exactly(count, seed):
    texts, images = torch.randn(2, count, 8, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(mix_prompts(texts, images, image_prompt_weight=0), texts)
    assert torch.equal(mix_prompts(texts, images, image_prompt_weight=1), images)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, None), "no prompt: pass input_ids, conditional_pixel_values or both"),
        ((TEXTS, IMAGES[:1]), r"2 text\(s\) and 1 image\(s\) do not pair one to one: pass text_to_prompt"),
        ((TEXTS, None, torch.tensor([0])), r"text_to_prompt has the shape \(1,\), expected \(2,\)"),
        ((TEXTS, None, torch.tensor([0, 2])), r"prompt\(s\) \[1\] of 3 have neither a text nor an image"),
        (
            (TEXTS, IMAGES, None, torch.tensor([0, 2])),
            "conditional_to_prompt names the prompts 0 to 2, but there are 2",
        ),
        ((TEXTS, None, torch.tensor([0, -1])), "text_to_prompt names the prompts -1 to 0"),
        ((TEXTS, IMAGES, None, None, 1.5), r"image_prompt_weight=1.5 must be in \[0, 1\]: 0 is the text alone"),
        (
            (TEXTS, IMAGES, None, None, torch.tensor([0.5])),
            r"image_prompt_weight has the shape \(1,\), expected .*\(2,\)",
        ),
        ((TEXTS, None, None, None, 0.5, 3), r"2 text\(s\) for 3 prompt\(s\): .* by text_to_prompt"),
        ((None, IMAGES, None, None, 0.5, 1), r"2 image\(s\) for 1 prompt\(s\): .* by conditional_to_prompt"),
    ],
)
def test_prompts_that_do_not_fit_together(arguments, message):
    with pytest.raises(ValueError, match=message):
        mix_prompts(*arguments)


def test_numbers_of_prompts_are_integers():
    with pytest.raises(TypeError, match=r"text_to_prompt has the type torch\.float32, expected integers"):
        mix_prompts(TEXTS, None, torch.tensor([0.0, 1.0]))


def test_a_missing_pairing_is_one_to_one_or_all_to_the_only_image():
    assert resolve_prompt_to_image(None, 3, 3, "cpu").tolist() == [0, 1, 2]
    assert resolve_prompt_to_image(None, 3, 1, "cpu").tolist() == [0, 0, 0]
    assert resolve_prompt_to_image(torch.tensor([1, 0, 1], dtype=torch.int32), 3, 2, "cpu").tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("prompt_to_image", "prompts", "images", "message"),
    [
        (None, 3, 2, "3 prompts for 2 images do not pair one to one: pass prompt_to_image"),
        (
            torch.tensor([0, 1]),
            3,
            2,
            r"prompt_to_image has the shape \(2,\), expected \(3,\): one for each of 3 prompts",
        ),
        (torch.tensor([0, 1, 2]), 3, 2, "prompt_to_image names the images 0 to 2, but there are 2, numbered from 0"),
    ],
)
def test_pairings_that_cannot_be(prompt_to_image, prompts, images, message):
    with pytest.raises(ValueError, match=message):
        resolve_prompt_to_image(prompt_to_image, prompts, images, "cpu")
