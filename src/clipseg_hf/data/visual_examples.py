"""From supports to visual prompts: what the processor makes of an example image and its mask, for the price of the
object alone."""

from collections.abc import Sequence
from math import ceil

import numpy as np
import torch

from clipseg_hf.data.crops import Window, resize_mask, resize_part
from clipseg_hf.data.pixels import Normalizer
from clipseg_hf.data.samples import Support
from clipseg_hf.processing.pixels import PixelReader
from clipseg_hf.processing.sizes import working_size
from clipseg_hf.processing.visual_prompts import make_visual_prompt

_BLUR_REACH = 7  # pixels; of the 15 x 15 kernel


class VisualPromptMaker:
    """Makes visual prompts as a `CLIPSegProcessor` does.

    Args:
        processor: gives the prompt's size, the normalisation, and the settings of visual prompts.
    """

    def __init__(self, processor):
        image_processor = processor.image_processor
        self.size = PixelReader(image_processor, {}, processor.patch_size).prompt_size()
        self.settings = processor.visual_prompt_settings
        self.resample = image_processor.resample
        self._normalize = Normalizer(image_processor)
        self._colors = {"image_mean": image_processor.image_mean, "image_std": image_processor.image_std}

    def __call__(self, supports: Sequence[Support]) -> torch.Tensor:
        """S supports -> (S, 3, h, w) float32, normalised.

        Raises:
            ValueError: a support's mask is empty.
        """
        prompts = torch.empty(len(supports), 3, *self.size)
        for prompt, support in zip(prompts, supports, strict=True):
            prompt.copy_(self._make(support))
        return prompts

    def _make(self, support: Support) -> torch.Tensor:
        # The scale at which the blur has the strength that it has for the processor.
        scaled = working_size(support.mask.shape, min(self.size)) if self.settings.crop else self.size
        mask = resize_mask(support.mask, scaled)
        window = self._surroundings(mask) if self.settings.crop else Window(0, 0, *scaled)
        pixels = self._normalize(resize_part(support.image, scaled, window, self.resample))
        mask = torch.from_numpy(np.ascontiguousarray(window.of(mask)))
        return make_visual_prompt(pixels[None], mask[None], self.size, **self.settings.to_dict(), **self._colors)[0]

    def _surroundings(self, mask: np.ndarray) -> Window:
        """All that the visual prompt of a mask's object depends on: its context, and what the blur brings into it."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        spans = []
        for hit, limit in ((rows, mask.shape[0]), (columns, mask.shape[1])):
            begin, end = (int(hit[0]), int(hit[-1]) + 1) if len(hit) else (0, limit)
            reach = ceil(self.settings.context * (end - begin)) + _BLUR_REACH
            spans.append((max(begin - reach, 0), min(end + reach, limit)))
        (top, bottom), (left, right) = spans
        return Window(top, left, bottom - top, right - left)
