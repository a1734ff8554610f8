"""`CLIPSegProcessor` for those without torch and transformers."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clipseg_hf.processing.images import ImageLike
from clipseg_hf.processing.pixels import PixelReader
from clipseg_hf.processing.plain.image_processor import PlainImageProcessor
from clipseg_hf.processing.plain.tokenizer import PlainTokenizer
from clipseg_hf.processing.preparing import prepare, stack_arrays
from clipseg_hf.processing.thresholds import read_thresholds
from clipseg_hf.processing.visual_prompts.settings import VisualPromptSettings, read_settings


class PlainInputs(dict):
    """Arrays by name, and as attributes what `CLIPSegInputs` has: `original_sizes` and `prompt_kinds`."""

    original_sizes: list[tuple[int, int]] | None = None
    prompt_kinds: list[str] | None = None


class PlainProcessor:
    """Prepares pictures and prompts as `CLIPSegProcessor` does, in NumPy.

    Args:
        image_processor, tokenizer: see there.
        patch_size: of the model.
        visual_prompt_settings, mask_thresholds: see `CLIPSegProcessor`.
    """

    def __init__(
        self,
        image_processor: PlainImageProcessor,
        tokenizer: PlainTokenizer,
        patch_size: int = 16,
        visual_prompt_settings: VisualPromptSettings | Mapping[str, Any] | None = None,
        mask_thresholds: Mapping[str, float] | None = None,
    ):
        self.image_processor, self.tokenizer, self.patch_size = image_processor, tokenizer, patch_size
        self.visual_prompt_settings = read_settings(visual_prompt_settings)
        self.mask_thresholds = read_thresholds(mask_thresholds)

    @classmethod
    def from_folder(cls, folder: str | os.PathLike) -> "PlainProcessor":
        """Load what `CLIPSegProcessor.save_pretrained` wrote, beside the model's `config.json`.

        Raises:
            FileNotFoundError: a file is missing.
        """
        config, processor = (
            json.loads((Path(folder) / name).read_text(encoding="utf-8"))
            for name in ("config.json", "processor_config.json")
        )
        return cls(
            PlainImageProcessor.from_dict(processor["image_processor"]),
            PlainTokenizer(folder),
            config["vision_config"]["patch_size"],
            processor.get("visual_prompt_settings"),
            config.get("mask_thresholds") or processor.get("mask_thresholds"),
        )

    def __call__(
        self,
        text: str | Sequence | None = None,
        images: ImageLike | Sequence | None = None,
        visual_prompt: ImageLike | Sequence | None = None,
        visual_prompt_masks: ImageLike | Sequence | None = None,
        *,
        prompt_templates: str | Sequence[str] | None = None,
        return_tensors: str = "np",
    ) -> PlainInputs:
        """Prepare images and prompts; the arguments and the result are those of `CLIPSegProcessor`, in NumPy."""
        if return_tensors != "np":
            raise ValueError(f"Without torch, return_tensors is 'np', got {return_tensors!r}.")
        prepared = prepare(
            self.tokenizer,
            PixelReader(self.image_processor, {}, self.patch_size),
            text=text,
            images=images,
            visual_prompt=visual_prompt,
            visual_prompt_masks=visual_prompt_masks,
            visual_prompt_settings=self.visual_prompt_settings,
            prompt_templates=prompt_templates,
            text_options={"return_tensors": "np"},
        )
        inputs = PlainInputs({name: np.asarray(value) for name, value in stack_arrays(prepared.data).items()})
        inputs.original_sizes, inputs.prompt_kinds = prepared.original_sizes, prepared.prompt_kinds
        return inputs
