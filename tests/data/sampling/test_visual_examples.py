"""Visual prompts from the object's surroundings alone, against the processor's from the whole image."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViTImageProcessorPil

from clipseg_hf.data.sampling.samples import Support
from clipseg_hf.data.sampling.visual_examples import VisualPromptMaker
from clipseg_hf.processing import CLIPSegProcessor, VisualPromptSettings

SIZE = (100, 130)


def make_processor(processor, size=48, resample=Image.Resampling.BILINEAR, mean=(0.485, 0.456, 0.406), **settings):
    image_processor = ViTImageProcessorPil(
        size={"height": size, "width": size}, resample=resample, image_mean=list(mean), image_std=[0.229, 0.224, 0.225]
    )
    return CLIPSegProcessor(
        image_processor, processor.tokenizer, visual_prompt_settings=VisualPromptSettings(**settings)
    )


def support(left, top, right, bottom, size=SIZE) -> Support:
    """A box, one corner cut off, on an image of smooth noise."""
    random = np.random.default_rng(left)
    image = Image.fromarray(random.integers(0, 256, (size[0] // 4, size[1] // 4, 3), dtype=np.uint8))
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    mask[top, left] = mask.sum() == 1
    return Support(np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC)), mask, 0, 0)


BOXES = {
    "middle": (40, 30, 80, 60),
    "corner": (0, 0, 20, 50),
    "other corner": (100, 70, 130, 100),
    "one pixel": (50, 50, 51, 51),
    "strip": (10, 40, 120, 43),
    "everything": (0, 0, 130, 100),
}


def expect(processor, supports):
    images = [Image.fromarray(one.image) for one in supports]
    prompts = processor(visual_prompt=images, visual_prompt_masks=[one.mask for one in supports], return_tensors="pt")
    return prompts["conditional_pixel_values"]


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
@pytest.mark.parametrize("size", [48, 100, 160])
def test_the_method_s_own(processor, box, size):
    processor = make_processor(processor, size)
    prompts = VisualPromptMaker(processor)([support(*box)])
    difference = (prompts - expect(processor, [support(*box)])).abs()
    assert prompts.shape == (1, 3, size, size)
    assert difference.max() < 0.04  # two steps of 8 bits, normalised: both resize to whole numbers


@pytest.mark.parametrize(
    "settings",
    [
        {"context": 0.5},
        {"blur": False},
        {"background": 0.0},
        {"crop": False},
        {"crop": False, "blur": False},
        {"highlight": "red", "crop": False},
        {"highlight": "red"},
        {"highlight": "outline"},
        {"highlight": "outline", "crop": False, "outline_width": 5},
    ],
    ids=str,
)
def test_all_settings(processor, settings):
    processor = make_processor(processor, 64, mean=(0.5, 0.5, 0.5), **settings)
    supports = [support(*BOXES["middle"]), support(*BOXES["corner"])]
    difference = (VisualPromptMaker(processor)(supports) - expect(processor, supports)).abs()
    assert difference.mean() < 3e-3  # a sixth of a step of 8 bits
    assert difference.max() < 0.1


@pytest.mark.parametrize("name", BOXES)
def test_what_is_made_in_bytes_is_right_where_contrast_is_highest(processor, name):
    """White on black, pixel by pixel and in stripes: the worst there is for a blur that takes a short cut."""
    random = np.random.default_rng(0)
    for pixels in (random.integers(0, 2, (*SIZE, 1)) * 255, np.arange(SIZE[1])[None, :, None] // 9 % 2 * 255):
        image = np.broadcast_to(pixels, (*SIZE, 3)).astype(np.uint8)
        example = Support(image, support(*BOXES[name]).mask, 0, 0)
        large = make_processor(processor, 100)
        difference = (VisualPromptMaker(large)([example]) - expect(large, [example])).abs()
        assert difference.max() < 0.08
        assert difference.mean() < 0.02  # a step of 8 bits


def test_an_object_thinner_than_a_pixel_of_the_prompt(processor):
    processor = make_processor(processor, context=0.0)
    mask = np.zeros((200, 50), bool)
    mask[:, 25] = True
    example = Support(np.full((200, 50, 3), 200, np.uint8), mask, 0, 0)
    assert (VisualPromptMaker(processor)([example]) - expect(processor, [example])).abs().max() < 0.04


def test_the_processor_s_filter(processor):
    processor = make_processor(processor, resample=Image.Resampling.BICUBIC)
    supports = [support(*box) for box in BOXES.values()]
    assert (VisualPromptMaker(processor)(supports) - expect(processor, supports)).abs().max() < 0.06


def test_images_of_several_sizes_in_one_batch(processor):
    supports = [support(10, 10, 30, 30, (60, 40)), support(3, 3, 9, 30, (48, 48)), support(10, 10, 90, 90, (200, 100))]
    prompts = VisualPromptMaker(processor)(supports)
    assert prompts.shape == (3, 3, 48, 48)
    assert torch.isfinite(prompts).all()
    assert (prompts - expect(processor, supports)).abs().max() < 0.06


def test_an_empty_mask_is_an_error(processor):
    with pytest.raises(ValueError, match="is empty"):
        VisualPromptMaker(processor)([support(0, 0, 0, 0)])
