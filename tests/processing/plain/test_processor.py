"""`PlainProcessor` reads what `CLIPSegProcessor` writes and gives its numbers."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from transformers import ViTImageProcessorPil

from clipseg_hf import CLIPSegProcessor
from clipseg_hf.assets import EMOJI_SCENES, EMOJI_TINY
from clipseg_hf.processing.plain.image_processor import PlainImageProcessor
from clipseg_hf.processing.plain.processor import PlainProcessor

SCENE = f"{EMOJI_SCENES}/images/9.jpg"


@pytest.fixture(scope="module")
def both():
    return PlainProcessor.from_folder(EMOJI_TINY), CLIPSegProcessor.from_pretrained(EMOJI_TINY)


@pytest.mark.parametrize("resample", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
@pytest.mark.parametrize("options", [{}, {"do_normalize": False}, {"do_rescale": False}, {"do_resize": False}])
def test_pixels_are_those_of_transformers(options, resample):
    settings = {"size": {"height": 48, "width": 80}, "resample": int(resample), "image_std": [0.2, 0.3, 0.4], **options}
    theirs = ViTImageProcessorPil(**settings)
    with Image.open(SCENE) as picture:
        expected = theirs(picture.convert("RGB"), return_tensors="np")["pixel_values"][0]
        found = PlainImageProcessor.from_dict(theirs.to_dict())([picture.convert("RGB")])["pixel_values"][0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == np.float32


def test_the_files_say_the_same(both):
    plain, full = both
    for name in ("mask_thresholds", "patch_size", "visual_prompt_settings"):
        assert getattr(plain, name) == getattr(full, name)


@pytest.mark.parametrize(
    "prompts",
    [
        {"text": ["a dog", "the small fox left of the tree", "Ünïcode 狐!"]},
        {"text": [None, "dog"], "visual_prompt": [SCENE, SCENE], "visual_prompt_masks": [np.eye(240, 320) > 0, None]},
        {"text": ["dog"], "prompt_templates": ["a {}.", "one photo of a {}"]},
        {"visual_prompt": [(SCENE, SCENE)], "visual_prompt_masks": [(None, np.eye(240, 320) > 0)]},
    ],
)
def test_prompts_and_pictures_are_the_same_arrays(both, prompts):
    if "visual_prompt" in prompts:
        with Image.open(SCENE) as picture:
            mask = np.eye(picture.height, picture.width) > 0
        masks = [
            tuple(None if m is None else mask for m in each) if isinstance(each, tuple) else each
            for each in prompts["visual_prompt_masks"]
        ]
        prompts = prompts | {"visual_prompt_masks": [mask if isinstance(each, np.ndarray) else each for each in masks]}
    found, expected = (processor(images=SCENE, return_tensors="np", **prompts) for processor in both)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)
        assert np.issubdtype(found[name].dtype, np.floating) == np.issubdtype(value.dtype, np.floating)
    assert found.original_sizes == expected.original_sizes and found.prompt_kinds == expected.prompt_kinds


def test_what_is_cut_is_told_alike(both):
    long = "fox " * 40
    for processor in both:
        with pytest.warns(UserWarning, match="A text of 42 tokens is cut to 32, the end of it will not be looked for"):
            ids = processor(text=long, return_tensors="np")["input_ids"]
        assert ids.shape == (1, 32)
    assert processor(text="fox", return_tensors="np")["input_ids"].shape[1] < 32


def test_errors(both, tmp_path):
    plain, _ = both
    with pytest.raises(ValueError, match="Without torch, return_tensors is 'np', got 'pt'"):
        plain(text="a", return_tensors="pt")
    with pytest.raises(ValueError, match="There is nothing to do: give text, images or visual_prompt"):
        plain()
    with pytest.raises(ValueError, match="visual_prompt_masks has no effect without visual_prompt"):
        plain(text="a", visual_prompt_masks=np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"crops its pictures \(do_center_crop\): that needs transformers"):
        PlainImageProcessor.from_dict({"do_center_crop": True})
    shutil.copytree(EMOJI_TINY, tmp_path / "half", ignore=shutil.ignore_patterns("tokenizer.json", "*.safetensors"))
    with pytest.raises(FileNotFoundError, match=r"There is no file .*tokenizer\.json"):
        PlainProcessor.from_folder(tmp_path / "half")
    settings = json.loads((tmp_path / "half" / "tokenizer_config.json").read_text())
    assert settings["model_max_length"] == 32  # what the test above relies on
