"""What prompts are called, and how a command line's lists become prompts."""

from pathlib import Path

import pytest
from PIL import Image

from clipseg_hf.inference.prompt_reading import make_prompts
from clipseg_hf.inference.prompts import Prompt


def test_labels():
    picture = Image.new("RGB", (4, 4))
    assert Prompt("a cat").label == "a cat"
    assert Prompt(image="pets/cat.jpg").label == "like cat.jpg"
    assert Prompt("a cat", image=Path("cat.jpg")).label == "a cat + like cat.jpg"
    assert Prompt(image=(Path("one.jpg"), "two.jpg")).label == "like one.jpg, two.jpg"
    assert Prompt(image=picture).label == "example image"
    assert Prompt("a cat", label="tabby").label == "tabby"


def test_texts_and_examples_stay_apart_without_mix():
    prompts = make_prompts(["a cat", "a dog"], ["e.jpg"], ["m.png"])
    assert [(p.text, p.image, p.mask) for p in prompts] == [
        ("a cat", None, None),
        ("a dog", None, None),
        (None, "e.jpg", "m.png"),
    ]


def test_mix_puts_them_together():
    prompts = make_prompts(["a cat", "a dog"], ["e.jpg", "f.jpg"], [], mix=0.25)
    assert [(p.text, p.image, p.mask, p.weight) for p in prompts] == [
        ("a cat", "e.jpg", None, 0.25),
        ("a dog", "f.jpg", None, 0.25),
    ]
    assert [prompt.weight for prompt in make_prompts(["a cat"], ["e.jpg"], [], mix="own")] == [None]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (([], [], []), "nothing to look for: give --prompt TEXT, or --image-prompt FILE"),
        ((["a"], [], ["m.png"]), "1 --mask do not fit 0 --image-prompt"),
        (([], ["e.jpg", "f.jpg"], ["m.png"]), "1 --mask do not fit 2 --image-prompt: give one for each"),
        ((["a", "b"], ["e.jpg"], [], 0.5), "--mix puts each --prompt together .* there are 2 and 1 of them"),
    ],
)
def test_errors(given, message):
    with pytest.raises(ValueError, match=message):
        make_prompts(*given)


def test_a_mask_belongs_to_an_image():
    with pytest.raises(ValueError, match="mask says where the thing is in its example: give image= with it"):
        Prompt("a cat", mask="m.png")


def test_several_examples_in_a_list():
    prompt = Prompt(image=["a.jpg", "b.jpg"], mask=["c.png", None])
    assert (prompt.image, prompt.mask, prompt.label) == (("a.jpg", "b.jpg"), ("c.png", None), "like a.jpg, b.jpg")


def test_prompts_that_ask_nothing_are_refused_at_once():
    with pytest.raises(ValueError, match="A Prompt needs a text, an image, or both"):
        Prompt()
    with pytest.raises(ValueError, match=r"weight is the image's share, in \[0, 1\]; got 3"):
        Prompt("a cat", "cat.jpg", weight=3)
