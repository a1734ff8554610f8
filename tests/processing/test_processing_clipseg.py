import json
import pickle
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, CLIPConfig, CLIPImageProcessorPil, CLIPSegConfig
from transformers.models.clipseg.processing_clipseg import CLIPSegProcessor as StockProcessor

from clipseg_hf import EMOJI_TINY
from clipseg_hf.processing import CLIPSegProcessor, VisualPromptSettings, make_visual_prompt


def noise(height=30, width=40, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def box_mask(height=30, width=40):
    mask = np.zeros((height, width), dtype=bool)
    mask[5:20, 10:30] = True
    return mask


# --- as transformers' processor ---------------------------------------------------------------------------------------

TEXT, PAIR = ["a cat", "the dog"], [noise(), noise(50, 20, seed=1)]


@pytest.mark.parametrize(
    "arguments",
    [
        {"text": TEXT, "images": PAIR, "padding": True, "return_tensors": "pt"},
        {"text": TEXT, "images": PAIR, "padding": "max_length", "return_tensors": "pt"},
        {"text": TEXT, "images": PAIR, "padding": "max_length", "max_length": 12, "truncation": True},
        {"text": TEXT, "images": PAIR, "text_kwargs": {"padding": True}, "return_tensors": "np"},
        {"text": TEXT, "images": PAIR, "padding": True, "return_tensors": "np"},
        {"text": TEXT, "images": PAIR},
        {"text": "a cat", "images": noise(), "return_tensors": "pt"},
        {"text": "a cat", "return_tensors": "pt"},
        {"text": TEXT},
        {"images": noise(), "return_tensors": "pt"},
        {"images": PAIR},
        {"images": [np.array(image) for image in PAIR], "return_tensors": "pt"},
        {"images": torch.from_numpy(np.array(noise())).permute(2, 0, 1), "return_tensors": "pt"},
        {"images": torch.rand(2, 3, 24, 20), "do_rescale": False, "return_tensors": "pt"},
        {"images": torch.randn(3, 24, 20), "do_resize": False, "do_rescale": False, "return_tensors": "pt"},
        {"images": PAIR, "visual_prompt": PAIR, "return_tensors": "pt"},
        {"visual_prompt": PAIR[0], "return_tensors": "pt"},
        {"images": PAIR, "size": {"height": 64, "width": 48}, "do_normalize": False, "return_tensors": "pt"},
        {"images": PAIR, "size": 32, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
        {"images": PAIR[0], "do_resize": False, "do_rescale": False, "return_tensors": "pt"},
        {"images": PAIR, "do_center_crop": True, "crop_size": {"height": 224, "width": 200}, "return_tensors": "pt"},
    ],
)
def test_equals_stock(processor, stock, arguments):
    expected, found = stock(**arguments), processor(**arguments)
    assert set(found.keys()) == set(expected.keys())
    for key, value in expected.items():
        assert type(found[key]) is type(value)
        if isinstance(value, torch.Tensor):
            assert found[key].dtype == value.dtype and torch.equal(found[key], value)
        else:
            for one, other in zip(found[key], value, strict=True):
                assert np.array_equal(one, other) and np.asarray(one).dtype == np.asarray(other).dtype


def test_text_comes_first(processor, stock):
    found, expected = processor(TEXT, PAIR), stock(TEXT, PAIR)
    assert found["input_ids"] == expected["input_ids"]
    assert np.array_equal(found["pixel_values"], expected["pixel_values"])


def test_floats_between_zero_and_one_are_pictures_too(processor):
    """Stock divides them by 255 once more."""
    image = np.array(noise())
    for options in ({}, {"do_resize": False}):
        expected = processor(images=image, return_tensors="pt", **options).pixel_values
        found = processor(images=torch.from_numpy(image / 255.0), return_tensors="pt", **options).pixel_values
        torch.testing.assert_close(found, expected)
        with pytest.raises(ValueError, match=r"images holds values from -1 to -1, .* pass do_resize=False, do_rescale"):
            processor(images=np.full((6, 6, 3), -1.0), **options)


def test_tensors_can_be_asked_for_in_a_group_of_options(processor):
    for group in ("common_kwargs", "text_kwargs"):
        inputs = processor(TEXT, PAIR, **{group: {"return_tensors": "pt"}})
        assert inputs.input_ids.shape == (2, 6) and inputs.pixel_values.shape == (2, 3, 352, 352)


def test_texts_are_padded_where_stock_would_fail(processor):
    assert processor(["cat", "a dog"], return_tensors="pt").input_ids.shape == (2, 6)


# --- files ------------------------------------------------------------------------------------------------------------


def test_files_go_both_ways(processor, stock, tmp_path):
    processor.save_pretrained(tmp_path / "ours")
    stock.save_pretrained(tmp_path / "stock")
    arguments = {"text": TEXT, "images": PAIR, "padding": True, "return_tensors": "pt"}
    expected = stock(**arguments)
    for loaded in (
        StockProcessor.from_pretrained(tmp_path / "ours"),
        CLIPSegProcessor.from_pretrained(tmp_path / "ours"),
        CLIPSegProcessor.from_pretrained(tmp_path / "stock"),
    ):
        found = loaded(**arguments)
        assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_a_call_leaves_no_trace_in_the_files(processor, tmp_path):
    processor(TEXT, return_tensors="pt")
    processor.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "tokenizer.json").read_text())
    assert saved["truncation"] is None and saved["padding"] is None


def test_own_settings_are_kept(tokenizer, processor, tmp_path):
    settings = VisualPromptSettings(crop=False, background=0.5)
    ours = CLIPSegProcessor(processor.image_processor, tokenizer, 8, settings, {"text": 0.4, "presence": 0.2})
    ours.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "processor_config.json").read_text())["visual_prompt_settings"]["background"] == 0.5
    loaded = CLIPSegProcessor.from_pretrained(tmp_path)
    assert loaded.visual_prompt_settings == settings and loaded.patch_size == 8
    assert loaded.mask_thresholds == {"text": 0.4, "image": 0.3, "mixed": 0.3, "presence": 0.2}
    changed = CLIPSegProcessor.from_pretrained(
        tmp_path, patch_size=4, visual_prompt_settings={"blur": False}, mask_thresholds={"image": 0.1}
    )
    assert changed.visual_prompt_settings == VisualPromptSettings(crop=False, background=0.5, blur=False)
    assert changed.patch_size == 4
    assert changed.mask_thresholds == loaded.mask_thresholds | {"image": 0.1}  # what is not named stays
    assert "patch_size" not in changed.tokenizer.init_kwargs


def test_legacy_checkpoints_are_read(stock, tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    legacy = {
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "ViTFeatureExtractor",
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "resample": 2,
        "size": 352,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(legacy))
    config = CLIPSegConfig(vision_config={"patch_size": 32}, mask_thresholds={"mixed": 0.25})
    config.save_pretrained(tmp_path)
    loaded = CLIPSegProcessor.from_pretrained(tmp_path)
    arguments = {"text": TEXT, "images": PAIR, "padding": True, "return_tensors": "pt"}
    expected, found = stock(**arguments), loaded(**arguments)
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert loaded.patch_size == 32  # of the model beside it
    assert loaded.mask_thresholds == {"text": 0.3, "image": 0.3, "mixed": 0.25, "presence": 0.3}


@pytest.mark.parametrize(
    ("patch", "native", "size"), [(16, 224, 352), (32, 224, 352), (14, 224, 350), (14, 336, 350), (16, 128, 208)]
)
def test_from_clip(tokenizer, tmp_path, patch, native, size):
    vision = {"patch_size": patch, "image_size": native}
    CLIPConfig(vision_config=vision).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    made = CLIPSegProcessor.from_clip(tmp_path)  # without a file for images: CLIP's own statistics
    assert dict(made.image_processor.size) == {"height": size, "width": size} and made.patch_size == patch
    assert made.image_processor.image_mean[0] == pytest.approx(0.48145466)
    CLIPImageProcessorPil(image_mean=[0.1, 0.2, 0.3], image_std=[1.0, 1.0, 2.0]).save_pretrained(tmp_path)
    made = CLIPSegProcessor.from_clip(tmp_path, size=(4 * patch, 8 * patch))
    assert tuple(made.image_processor.image_mean) == (0.1, 0.2, 0.3)
    assert tuple(made.image_processor.image_std) == (1.0, 1.0, 2.0)
    assert made("a cat", noise(), return_tensors="pt").pixel_values.shape == (1, 3, 4 * patch, 8 * patch)
    with pytest.raises(ValueError, match=rf"100 x {patch} cannot be cut into patches of {patch}; \d+ x {patch} can"):
        CLIPSegProcessor.from_clip(tmp_path, size=(100, patch))


def test_from_clip_refuses_another_model(tmp_path):
    CLIPSegConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"expects a CLIP checkpoint, but .* is of type 'clipseg'.*from_pretrained"):
        CLIPSegProcessor.from_clip(tmp_path)


# --- prompts and images -----------------------------------------------------------------------------------------------


def test_one_image_with_many_prompts(small):
    inputs = small(["a cat", "a dog", "the phone"], noise(), return_tensors="pt")
    assert inputs.pixel_values.shape == (1, 3, 32, 32) and len(inputs.input_ids) == 3
    assert "prompt_to_image" not in inputs and inputs.prompt_kinds == ["text"] * 3


def test_nested_prompts(small):
    inputs = small([["a cat", "a dog"], [], ["the phone"]], [*PAIR, noise(8, 8)], return_tensors="pt")
    assert inputs.prompt_to_image.tolist() == [0, 0, 2]
    flat = small(["a cat", "a dog", "the phone"], return_tensors="pt")
    assert torch.equal(inputs.input_ids, flat.input_ids)
    assert "prompt_to_image" not in small([["a cat"], ["a dog"]], PAIR)  # one to one
    assert "prompt_to_image" not in small([["a cat", "a dog"]], noise())


def test_templates_become_rows_of_one_prompt(small):
    inputs = small(["cat", "dog"], prompt_templates=["a {}.", "the {}."], return_tensors="pt")
    assert inputs.text_to_prompt.tolist() == [0, 0, 1, 1]
    rows = small(["a cat.", "the cat.", "a dog.", "the dog."], return_tensors="pt")
    assert torch.equal(inputs.input_ids, rows.input_ids)
    single = small(["cat"], prompt_templates="a {}.")
    assert "text_to_prompt" not in single and single["input_ids"] == small(["a cat."])["input_ids"]


def test_texts_and_images_side_by_side(small):
    mask = box_mask()
    inputs = small(
        [["a cat", None], ["the dog"]],
        PAIR,
        [[None, noise()], [(noise(), PAIR[1])]],
        [[None, mask], [(mask, None)]],
        return_tensors="pt",
    )
    assert inputs.prompt_to_image.tolist() == [0, 0, 1]
    assert inputs.text_to_prompt.tolist() == [0, 2]
    assert inputs.conditional_to_prompt.tolist() == [1, 2, 2]
    assert inputs.conditional_pixel_values.shape == (3, 3, 32, 32)
    assert inputs.prompt_kinds == ["text", "image", "mixed"]
    both = small(["a cat"], noise(), noise(), mask, return_tensors="pt")
    assert "text_to_prompt" not in both and "conditional_to_prompt" not in both and both.prompt_kinds == ["mixed"]


def test_original_sizes_stand_beside_the_model_s_arguments(small, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    noise(30, 40).save(tmp_path / "a.png", exif=exif)
    inputs = small("cat", [tmp_path / "a.png"], return_tensors="pt")
    assert inputs.original_sizes == inputs["original_sizes"] == [(40, 30)]
    assert "original_sizes" not in dict(**inputs)
    assert inputs.to("cpu").original_sizes == [(40, 30)]
    assert pickle.loads(pickle.dumps(inputs)).original_sizes == [(40, 30)]
    assert small("cat").original_sizes is None and small(images=noise()).prompt_kinds is None


def test_aspect_ratio_is_kept_and_rounded_to_the_patch(tokenizer, processor):
    keep = CLIPSegProcessor(type(processor.image_processor)(size={"shortest_edge": 64}), tokenizer)
    assert keep(images=noise(30, 40), return_tensors="pt").pixel_values.shape == (1, 3, 64, 80)  # 85.3 -> 80
    assert keep(images=noise(90, 31), return_tensors="pt").pixel_values.shape == (1, 3, 192, 64)  # 185.8 -> 192
    limited = {"shortest_edge": 64, "longest_edge": 96}
    assert keep(images=noise(10, 40), size=limited, return_tensors="pt").pixel_values.shape == (1, 3, 32, 96)
    expected = processor(images=noise(30, 40), size={"height": 64, "width": 80}, return_tensors="pt").pixel_values
    found = processor(images=noise(30, 40), size={"shortest_edge": 64}, return_tensors="pt").pixel_values
    assert torch.equal(found, expected)
    both = keep(images=[noise(30, 40)], visual_prompt=[noise(50, 20)], return_tensors="pt")
    assert both.conditional_pixel_values.shape == (1, 3, 64, 64)  # example images share one size


def test_images_of_different_shapes_in_one_batch(processor):
    images = [noise(30, 40), noise(50, 20), np.zeros((8, 8), np.uint8), Image.new("RGBA", (5, 90))]
    together = processor(images=images, return_tensors="pt").pixel_values
    alone = [processor(images=image, return_tensors="pt").pixel_values[0] for image in images]
    assert torch.equal(together, torch.stack(alone))
    with pytest.raises(ValueError, match=r"pixel_values of different sizes cannot form one batch: 64 x 80, 160 x 64"):
        processor(images=PAIR, size={"shortest_edge": 64}, return_tensors="pt")


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1)])
def test_a_side_of_one_pixel(processor, shape):
    inputs = processor("cat", noise(*shape), return_tensors="pt")
    assert inputs.pixel_values.shape == (1, 3, 352, 352) and inputs.original_sizes == [shape]
    mask = np.ones(shape, bool)
    assert processor(visual_prompt=noise(*shape), visual_prompt_masks=mask, return_tensors="pt").data
    labels = processor("cat", noise(*shape), segmentation_maps=mask, return_tensors="pt").labels
    assert labels.shape == (1, 352, 352) and labels.min() == 1


def test_an_endless_strip_is_refused_where_it_would_grow(processor):
    with pytest.raises(ValueError, match=r"images\[0\] of 1 x 500 pixels would become 352 x 176000 with shortest_edge"):
        processor(images=[noise(1, 500)], size={"shortest_edge": 352})


# --- visual prompts ---------------------------------------------------------------------------------------------------

MODES = {
    "bg10": {"crop": False, "blur": False},
    "bg0": {"crop": False, "blur": False, "background": 0.0},
    "blur": {"crop": False, "background": 1.0},
    "blur_bg10": {"crop": False},
    "crop_small": {"blur": False, "background": 1.0},
    "crop_blur": {"background": 1.0},
    "crop_blur_bg10": {},
    "red": {"crop": False, "highlight": "red"},
}


@pytest.mark.parametrize("mode", MODES)
def test_visual_prompts_equal_the_original_implementation(processor, mode):
    with np.load(Path(__file__).parents[1] / "fixtures" / "visual_prompts.npz") as reference:
        image, mask, expected = reference["image"], reference["mask"], reference[mode]
    inputs = processor(
        visual_prompt=image,  # normalised already
        visual_prompt_masks=mask,
        visual_prompt_settings=MODES[mode],
        size=64,
        do_resize=False,
        do_rescale=False,
        do_normalize=False,
        return_tensors="pt",
    )
    torch.testing.assert_close(inputs.conditional_pixel_values[0], torch.from_numpy(expected), atol=1e-6, rtol=0)


def test_a_visual_prompt_at_the_model_s_size_needs_no_detour(small):
    image, mask = noise(32, 32), box_mask(32, 32)
    pixels = small(images=image, return_tensors="pt").pixel_values
    expected = make_visual_prompt(pixels, torch.from_numpy(mask)[None], 32)
    found = small(visual_prompt=image, visual_prompt_masks=mask, return_tensors="pt").conditional_pixel_values
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("crop", [True, False])
def test_visual_prompts_of_several_shapes(small, crop):
    images = [noise(30, 40), noise(200, 90, seed=1), noise(30, 40, seed=2)]
    masks = [box_mask(), box_mask(200, 90), box_mask().astype(np.uint8) * 255]
    options = {"visual_prompt_settings": {"crop": crop}, "return_tensors": "pt"}
    together = small(visual_prompt=images, visual_prompt_masks=masks, **options).conditional_pixel_values
    for i in range(3):
        alone = small(visual_prompt=images[i], visual_prompt_masks=masks[i], **options).conditional_pixel_values
        torch.testing.assert_close(together[i : i + 1], alone)
    stacked = small(visual_prompt=[images[0]] * 2, visual_prompt_masks=torch.ones(2, 30, 40), **options)
    assert stacked.conditional_pixel_values.shape == (2, 3, 32, 32)


def test_a_center_crop_leaves_masked_prompts_alone(small):
    options = {"visual_prompt": noise(), "visual_prompt_masks": box_mask(), "return_tensors": "pt"}
    cropped = small(**options, do_center_crop=True, crop_size=16).conditional_pixel_values
    assert torch.equal(cropped, small(**options).conditional_pixel_values)


def test_columns_of_a_data_set_are_lists(small):
    rows = datasets.Dataset.from_dict({"phrase": TEXT})
    inputs = small(rows["phrase"], PAIR, return_tensors="pt")
    assert torch.equal(inputs.input_ids, small(TEXT, PAIR, return_tensors="pt").input_ids)


def test_an_object_of_one_pixel_survives_shrinking(small):
    mask = np.zeros((640, 480), bool)
    mask[333, 111] = True
    inputs = small(visual_prompt=noise(640, 480), visual_prompt_masks=mask, return_tensors="pt")
    assert inputs.conditional_pixel_values.isfinite().all()


def test_a_mask_follows_its_picture_s_exif(small, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(30, 40).save(tmp_path / "a.png", exif=exif)
    upright = small(visual_prompt=tmp_path / "a.png", visual_prompt_masks=box_mask(40, 30), return_tensors="pt")
    assert upright.conditional_pixel_values.shape == (1, 3, 32, 32)
    with pytest.raises(ValueError, match=r"visual_prompt_masks\[0\] is 30 x 40 pixels .* its picture is 40 x 30"):
        small(visual_prompt=tmp_path / "a.png", visual_prompt_masks=box_mask(30, 40))


# --- errors -----------------------------------------------------------------------------------------------------------


def test_long_texts_are_cut_with_a_warning(small):
    phrase = "cat " * 100
    with pytest.warns(UserWarning, match=r"A text of 102 tokens is cut to 77, .*: 'cat cat .*'"):
        inputs = small(["cat", phrase], return_tensors="pt")
    assert inputs.input_ids.shape == (2, 77)
    assert inputs.input_ids[1, -1] == small.tokenizer.eos_token_id  # the end stays
    with pytest.warns(UserWarning, match="102 tokens is cut to 10"):
        small(phrase, max_length=10, truncation=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert small("cat " * 75, return_tensors="pt").input_ids.shape == (1, 77)  # just fits
        assert len(small(phrase, truncation=False)["input_ids"][0]) == 102  # as asked for


def test_every_option_of_cutting_is_told_with_the_whole_length(small):
    phrase = "dog cat " * 10  # 3 + 1 tokens, ten times, and two at the ends
    for options in ({}, {"padding": "max_length"}, {"stride": 2}):
        with pytest.warns(UserWarning, match="A text of 42 tokens is cut to 9"):
            assert len(small(["cat", phrase], max_length=9, **options)["input_ids"][1]) == 9
    backend = small.tokenizer.backend_tokenizer
    assert backend.truncation is None and backend.padding is None  # nothing of it would be saved


def test_threads_share_a_processor(small):
    """Texts of many lengths, some cut, padded or not: each thread gets what it would get alone."""
    calls = [(["cat " * (3 * n + k) for k in range(1, 4)], {"max_length": 10 + n}) for n in range(12)]
    calls += [(texts, options | {"padding": "max_length"}) for texts, options in calls]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = [small(texts, return_tensors="pt", **options).input_ids for texts, options in calls]

        def ask(number):
            texts, options = calls[number % len(calls)]
            return small(texts, return_tensors="pt", **options).input_ids

        with ThreadPoolExecutor(6) as threads:
            together = list(threads.map(ask, range(12 * len(calls))))
    assert all(torch.equal(found, alone[n % len(calls)]) for n, found in enumerate(together))


def test_a_tokenizer_without_a_limit_is_cut_to_clip_s(small):
    limit, small.tokenizer.model_max_length = small.tokenizer.model_max_length, int(1e30)
    with pytest.warns(UserWarning, match="is cut to 77"):
        assert small("cat " * 100, return_tensors="pt").input_ids.shape == (1, 77)
    small.tokenizer.model_max_length = limit


IMAGE, MASK = noise(), box_mask()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "nothing to do: give text, images or visual_prompt"),
        ({"text": ""}, ValueError, r"text\[0\] is an empty phrase \(''\)"),
        ({"text": [["cat"], ["dog", "  "]]}, ValueError, r"text\[1\]\[1\] is an empty phrase \('  '\)"),
        ({"text": []}, ValueError, "text is an empty list"),
        ({"text": [[], []]}, ValueError, "text holds 2 empty lists"),
        ({"text": [["cat"], "dog"]}, ValueError, r"mixes single prompts and lists of prompts \(place 1 is no list\)"),
        ({"text": ["cat", 3]}, TypeError, r"text\[1\] is a int, expected a string"),
        ({"text": IMAGE, "images": "cat"}, TypeError, "order of the arguments is text, images"),
        ({"text": ["cat", None]}, ValueError, r"text\[1\] is None: a prompt needs a text, an image, or both"),
        ({"text": ["cat"] * 3, "images": PAIR}, ValueError, "3 prompts for 2 images: give one prompt for each"),
        ({"text": "cat", "images": PAIR}, ValueError, "1 prompt for 2 images: give"),
        ({"text": [["cat"]] * 3, "images": PAIR}, ValueError, "in 3 lists, one for each image, but there are 2 images"),
        ({"visual_prompt": IMAGE, "images": PAIR}, ValueError, "1 prompt for 2 images: give"),
        ({"images": []}, ValueError, "images is empty, expected at least one"),
        (
            {"text": ["a", "b"], "visual_prompt": [IMAGE]},
            ValueError,
            "text has 2 prompts but visual_prompt has 1 prompt",
        ),
        (
            {"text": [["a"], ["b"]], "visual_prompt": [IMAGE, IMAGE]},
            ValueError,
            r"2 prompts in lists of \[1, 1\] but visual_prompt has 2 prompts",
        ),
        (
            {"text": ["a", None], "visual_prompt": [IMAGE, None]},
            ValueError,
            r"text\[1\] and visual_prompt\[1\] is None",
        ),
        (
            {"text": "a", "visual_prompt_masks": MASK},
            ValueError,
            "visual_prompt_masks has no effect without visual_prompt",
        ),
        (
            {"visual_prompt": [IMAGE, IMAGE], "visual_prompt_masks": [MASK]},
            ValueError,
            "visual_prompt has 2 prompts but visual_prompt_masks has 1 prompt",
        ),
        (
            {"text": "a", "visual_prompt": [None], "visual_prompt_masks": [MASK]},
            ValueError,
            r"visual_prompt\[0\] is None but has a mask",
        ),
        (
            {"visual_prompt": [(IMAGE, IMAGE)], "visual_prompt_masks": [MASK]},
            ValueError,
            r"visual_prompt\[0\] is a tuple of 2 images: its masks are a tuple of as many",
        ),
        ({"visual_prompt": [()]}, ValueError, "is a tuple of 0 images"),
        (
            {"visual_prompt": [IMAGE], "visual_prompt_masks": [MASK & False]},
            ValueError,
            r"visual_prompt_masks\[0\] is empty: .* at least one pixel",
        ),
        (
            {"visual_prompt": [[IMAGE], [IMAGE]], "visual_prompt_masks": [[MASK], [MASK[:20]]]},
            ValueError,
            r"visual_prompt_masks\[1\]\[0\] is 20 x 40 pixels .* but its picture is 30 x 40",
        ),
        (
            {"visual_prompt": IMAGE, "visual_prompt_masks": MASK * 7},
            ValueError,
            r"visual_prompt_masks\[0\] holds 0, 7, expected a mask of bool, 0/1, 0/255 or float in \[0, 1\]",
        ),
        (
            {"visual_prompt": IMAGE, "visual_prompt_masks": MASK, "visual_prompt_settings": {"blurr": 1}},
            TypeError,
            "has no blurr; there are crop, ",
        ),
        (
            {"visual_prompt": IMAGE, "visual_prompt_masks": MASK, "visual_prompt_settings": 3},
            TypeError,
            "VisualPromptSettings or a dict, got a int",
        ),
        (
            {"visual_prompt": IMAGE, "visual_prompt_settings": {}},
            ValueError,
            "visual_prompt_settings has no effect without visual_prompt_masks: give both, or neither",
        ),
        ({"images": IMAGE, "ignore_index": 255}, ValueError, "ignore_index has no effect without segmentation_maps"),
        ({"text": "a", "prompt_templates": []}, ValueError, "prompt_templates is empty"),
        ({"text": "a", "prompt_templates": ["a photo"]}, ValueError, "template 'a photo' needs exactly one {}"),
        ({"text": "a", "prompt_templates": [3]}, TypeError, "prompt template is a string, got a int"),
        ({"images": IMAGE, "prompt_templates": ["{}"]}, ValueError, "prompt_templates has no effect without text"),
        ({"text": "a", "segmentation_maps": MASK}, ValueError, "segmentation_maps has no effect without images"),
        (
            {"images": IMAGE, "segmentation_maps": MASK, "do_center_crop": True, "crop_size": 224},
            ValueError,
            "segmentation_maps do not go with do_center_crop",
        ),
        ({"text": "a", "paddding": True}, TypeError, "knows no option 'paddding'. Did you mean 'padding'"),
        ({"text": "a", "visual_prompt_mask": MASK}, TypeError, "Did you mean 'visual_prompt_masks'"),
        (
            {"images": IMAGE, "size": {"max_height": 3, "max_width": 3}},
            ValueError,
            "'height', 'width'.* or .*'shortest",
        ),
        ({"images": ["nothing.png"]}, FileNotFoundError, r"images\[0\] \(nothing.png\): there is no such file"),
        ({"images": 3}, TypeError, "images is a int, expected a PIL image"),
        (
            {"images": torch.zeros(5, 6, 6), "do_rescale": False},
            ValueError,
            "no outer axis is 1, 3 or 4 channels",
        ),
        ({"images": torch.zeros(4, 6, 6), "do_rescale": False}, ValueError, "has 4 channels, expected 3 in a picture"),
    ],
)
def test_errors_name_the_cause_and_the_input(small, arguments, error, message):
    with pytest.raises(error, match=message):
        small(**arguments)


# --- what users pass --------------------------------------------------------------------------------------------------


def test_a_tuple_of_examples_is_one_prompt_wherever_it_stands(small):
    """The vectors of its rows are averaged, so each of them belongs to prompt 0."""
    alone = small(visual_prompt=(IMAGE, IMAGE), visual_prompt_masks=(MASK, MASK), return_tensors="pt")
    listed = small(visual_prompt=[(IMAGE, IMAGE)], visual_prompt_masks=[(MASK, MASK)], return_tensors="pt")
    for inputs in (alone, listed):
        assert inputs["conditional_to_prompt"].tolist() == [0, 0]
        assert inputs.prompt_kinds == ["image"]
    assert torch.equal(alone["conditional_pixel_values"], listed["conditional_pixel_values"])
    both = small("cat", visual_prompt=(IMAGE, IMAGE), return_tensors="pt")
    assert both.prompt_kinds == ["mixed"]
    with pytest.raises(ValueError, match="text has 2 prompts but visual_prompt has 1 prompt"):
        small(["cat", "dog"], visual_prompt=(IMAGE, IMAGE))


@pytest.mark.parametrize("text", [np.array(["cat", "dog"]), ("cat", "dog"), ["cat", "dog"]])
def test_texts_in_any_sequence(small, text):
    expected = small(["cat", "dog"], return_tensors="pt")
    assert torch.equal(small(text, return_tensors="pt").input_ids, expected.input_ids)


def test_texts_in_nested_tuples_are_lists_for_each_image(small):
    inputs = small((("cat", "dog"), ("cat",)), images=PAIR, return_tensors="pt")
    assert inputs["prompt_to_image"].tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("wrong", "right"), [("visual_promt", "visual_prompt"), ("visual_prompt_mask", "visual_prompt_masks")]
)
def test_a_typo_is_told(small, wrong, right):
    with pytest.raises(TypeError, match=f"knows no option '{wrong}'. Did you mean '{right}'?"):
        small("cat", **{wrong: IMAGE})


def test_a_bool_map_of_one_prompt_among_index_maps(small):
    index_map = np.zeros((30, 40), np.uint8)
    index_map[:10], index_map[10:20] = 1, 2
    images = [noise(30, 40), noise(30, 40)]
    maps = [index_map, index_map == 1]
    labels = small([["cat", "dog"], ["cat"]], images, segmentation_maps=maps, return_tensors="pt")["labels"]
    assert torch.equal(labels[0], labels[2]) and labels[0].sum() > 0


def test_the_output_s_kinds_of_prompts_choose_the_thresholds(small):
    small.mask_thresholds |= {"text": 0.2, "image": 0.6}
    outputs = SimpleNamespace(logits=torch.zeros(2, 4, 4), prompt_kinds=["text", "image"])
    masks = small.post_process_prompted_segmentation(outputs, [(4, 4), (4, 4)])
    assert [bool(found[0].mask.any()) for found in masks] == [True, False]
    masks = small.post_process_prompted_segmentation(outputs, [(4, 4), (4, 4)], prompt_kinds="image")
    assert not masks[0][0].mask.any()
    maps = small.post_process_semantic_segmentation(outputs, [(4, 4), (4, 4)])
    assert [int(found.max()) for found in maps] == [1, 0]


@pytest.mark.parametrize("threshold", [np.float32(0.5), np.array(0.5), torch.tensor(0.5), np.array([0.5]), [0.5]])
def test_thresholds_of_any_number_type(small, threshold):
    outputs = SimpleNamespace(logits=torch.tensor([[[1.0, -1.0]]]))
    assert small.post_process_prompted_segmentation(outputs, threshold=threshold)[0][0].mask.tolist() == [[True, False]]


def test_outputs_and_sizes_of_another_shape_are_told(small):
    with pytest.raises(TypeError, match=r"outputs is what the model returns, .* got a Tensor"):
        small.post_process_prompted_segmentation(torch.zeros(1, 4, 4))
    with pytest.raises(ValueError, match=r"a list with one \(height, width\) for each image; got \(10, 10\)"):
        small.post_process_prompted_segmentation(SimpleNamespace(logits=torch.zeros(1, 4, 4)), (10, 10))


def test_the_auto_class_gives_this_processor():
    processor = AutoProcessor.from_pretrained(EMOJI_TINY)
    assert type(processor) is CLIPSegProcessor
    assert processor.mask_thresholds == CLIPSegProcessor.from_pretrained(EMOJI_TINY).mask_thresholds
    assert StockProcessor is not CLIPSegProcessor


def test_a_checkpoint_without_its_vocabulary_is_refused(tmp_path):
    """Transformers makes an empty one, to which all words are alike."""
    shutil.copytree(EMOJI_TINY, tmp_path / "copy")
    (tmp_path / "copy" / "tokenizer.json").unlink()
    message = r"The tokenizer of .*copy knows no word: was its tokenizer\.json .* left behind when .* was copied\?"
    with pytest.raises(ValueError, match=message):
        CLIPSegProcessor.from_pretrained(tmp_path / "copy")


@pytest.mark.parametrize("file", ["config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_damaged_file_is_named(file, tmp_path):
    shutil.copytree(EMOJI_TINY, tmp_path / "copy")
    (tmp_path / "copy" / file).write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises((ValueError, OSError), match=file.replace(".", r"\.")):
        CLIPSegProcessor.from_pretrained(tmp_path / "copy")


def test_a_setting_nearly_named_is_told():
    with pytest.raises(TypeError, match=r"knows no option 'mask_treshold'\. Did you mean 'mask_thresholds'\?"):
        CLIPSegProcessor.from_pretrained(EMOJI_TINY, mask_treshold={"text": 0.1})
