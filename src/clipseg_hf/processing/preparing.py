"""Pictures and prompts -> the arrays that a model takes, whichever model that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clipseg_hf.processing.layout import (
    as_list,
    named_images,
    pair_masks,
    prompt_images,
    prompt_kinds,
    prompts_per_image,
    read_images,
    read_texts,
    rows_of,
    same_prompts,
)
from clipseg_hf.processing.masks.mask_images import make_labels
from clipseg_hf.processing.pixels import PixelReader, size_of
from clipseg_hf.processing.texts import phrase_rows, read_templates, tokenize
from clipseg_hf.processing.visual_prompts.settings import VisualPromptSettings


@dataclass
class Prepared:
    """What `CLIPSegProcessor` returns, as lists: the items, and what it says beside them."""

    data: dict[str, Any]
    original_sizes: list[tuple[int, int]] | None
    prompt_kinds: list[str] | None


def prepare(
    tokenizer: Any,
    reader: PixelReader,
    *,
    text: Any,
    images: Any,
    visual_prompt: Any,
    visual_prompt_masks: Any,
    visual_prompt_settings: VisualPromptSettings,
    segmentation_maps: Any = None,
    ignore_index: int | None = None,
    prompt_templates: str | Sequence[str] | None = None,
    text_options: dict[str, Any],
) -> Prepared:
    """Prepare images and prompts; for the arguments see `CLIPSegProcessor`.

    Raises:
        ValueError: there is nothing to do, or an argument would have no effect.
    """
    if text is None and images is None and visual_prompt is None:
        raise ValueError("There is nothing to do: give text, images or visual_prompt.")
    refuse_without_effect("visual_prompt_masks", visual_prompt_masks, "visual_prompt", visual_prompt)
    refuse_without_effect("segmentation_maps", segmentation_maps, "images", images)
    refuse_without_effect("ignore_index", ignore_index, "segmentation_maps", segmentation_maps)
    refuse_without_effect("prompt_templates", prompt_templates, "text", text)
    texts = None if text is None else read_texts(text)
    visuals = None if visual_prompt is None else read_images(visual_prompt)
    prompts = same_prompts(texts, visuals)

    data: dict[str, Any] = {}
    original_sizes = None
    if texts is not None:
        rows, owners = rows_of(phrase_rows(texts, read_templates(prompt_templates)))
        data.update(tokenize(tokenizer, rows, **text_options))
        if owners is not None:
            data["text_to_prompt"] = owners
    if images is not None:
        pictures = [reader.load(image, name) for image, name in named_images(images)]
        original_sizes = [size_of(picture) for picture in pictures]
        sizes = [reader.target_size(size, f"images[{i}]") for i, size in enumerate(original_sizes)]
        data["pixel_values"] = reader.pixel_values(pictures, sizes)
        owners = None if prompts is None else prompt_images(prompts, len(pictures))
        if owners is not None:
            data["prompt_to_image"] = owners
        if segmentation_maps is not None:
            if reader.do_center_crop:
                raise ValueError("segmentation_maps do not go with do_center_crop, which cuts only the images.")
            counts = prompts_per_image(prompts, len(pictures))
            data["labels"] = make_labels(as_list(segmentation_maps, 2), counts, original_sizes, sizes, ignore_index)
    if visuals is not None:
        examples, owners = rows_of(pair_masks(visuals, visual_prompt_masks))
        data["conditional_pixel_values"] = reader.visual_prompts(examples, visual_prompt_settings)
        if owners is not None:
            data["conditional_to_prompt"] = owners
    return Prepared(data, original_sizes, prompt_kinds(texts, visuals))


def stack_arrays(data: dict[str, Any]) -> dict[str, Any]:
    """Lists of arrays -> arrays.

    Raises:
        ValueError: arrays of different shapes.
    """
    for key in ("pixel_values", "conditional_pixel_values", "labels"):
        shapes = [array.shape for array in data.get(key, ())]
        if len(set(shapes)) > 1:
            listed = ", ".join(" x ".join(map(str, shape[-2:])) for shape in shapes)
            raise ValueError(
                f"{key} of different sizes cannot form one batch: {listed}. Use a fixed size such as "
                "size={'height': 352, 'width': 352}, or pass the images one at a time."
            )
        if shapes:
            data[key] = np.stack(data[key])
    return data


def refuse_without_effect(name: str, given: Any, other: str, needed: Any) -> None:
    """Raise where an argument was given that does nothing without another: that is a slip."""
    if given is not None and needed is None:
        raise ValueError(f"{name} has no effect without {other}: give both, or neither.")
