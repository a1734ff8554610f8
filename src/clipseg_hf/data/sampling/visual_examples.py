"""From supports to visual prompts: what the processor makes of an example image and its mask, for the price of the
object alone."""

from collections.abc import Sequence
from math import ceil

import numpy as np
import torch

from clipseg_hf.data.sampling.crops import Window, resize_mask, resize_part
from clipseg_hf.data.sampling.normalizing import Normalizer
from clipseg_hf.data.sampling.samples import Support
from clipseg_hf.processing.pixels import PixelReader
from clipseg_hf.processing.sizes import working_size
from clipseg_hf.processing.visual_prompts import gaussian_blur, make_visual_prompt, nearest_places, object_boxes

_BLUR_REACH = 7  # pixels; of the 15 x 15 kernel
_FAINT = 0.1  # the paper's background: what goes wrong in it by a byte is a tenth of a byte in the prompt


class VisualPromptMaker:
    """Makes visual prompts as a `CLIPSegProcessor` does.

    Those of the method itself, objects cut out of a faint background, are made in bytes and then normalised, which
    is faster: their pixels are within a few steps of 8 bits of the processor's (four where contrast is highest).

    Args:
        processor: gives the prompt's size, the normalisation, and the settings of visual prompts.
    """

    def __init__(self, processor):
        image_processor = processor.image_processor
        self.size = PixelReader(image_processor, {}, processor.patch_size).prompt_size()
        self.settings = settings = processor.visual_prompt_settings
        self.resample = image_processor.resample
        self._normalize = Normalizer(image_processor)
        self._colors = {"image_mean": image_processor.image_mean, "image_std": image_processor.image_std}
        self._in_bytes = settings.crop and settings.highlight == "dim" and settings.background <= _FAINT

    def __call__(self, supports: Sequence[Support]) -> torch.Tensor:
        """S supports -> (S, 3, h, w) float32, normalised.

        Raises:
            ValueError: a support's mask is empty.
        """
        prompts = torch.empty(len(supports), 3, *self.size)
        for prompt, support in zip(prompts, supports, strict=True):
            self._make(support, out=prompt)
        return prompts

    def _make(self, support: Support, out: torch.Tensor) -> None:
        # The scale at which the blur has the strength that it has for the processor.
        scaled = working_size(support.mask.shape, min(self.size)) if self.settings.crop else self.size
        mask = resize_mask(support.mask, scaled)
        window = self._surroundings(mask) if self.settings.crop else Window(0, 0, *scaled)
        pixels = torch.from_numpy(resize_part(support.image, scaled, window, self.resample)).permute(2, 0, 1)
        mask = torch.from_numpy(np.ascontiguousarray(window.of(mask)))
        if self._in_bytes:
            boxes = object_boxes(mask[None], self.settings.context)
            self._fit(self._dim(pixels, mask), boxes, out)
        else:
            pixels = self._normalize(pixels.permute(1, 2, 0).numpy())[None]
            options = {**self.settings.to_dict(), **self._colors}
            out.copy_(make_visual_prompt(pixels, mask[None], self.size, **options)[0])

    def _dim(self, pixels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(3, h, w) uint8 with all but its mask (h, w) blurred and moved towards the mean colour."""
        factor, mean = self.settings.background, self._normalize.mean
        rest = pixels[None].contiguous(memory_format=torch.channels_last)
        if self.settings.blur:
            # To a third and back comes to a blur of a variance of 3; a kernel on the ninth of the pixels adds the
            # 5.5 that are missing to those of the 15 x 15 one.
            third = [max(1, round(side / 3)) for side in mask.shape]
            rest = torch.nn.functional.interpolate(rest, size=third, mode="bilinear", antialias=True)
            rest = gaussian_blur(rest.float().contiguous(), kernel_size=5, sigma=0.78)
        rest = (rest * factor + mean * (1 - factor)).round_().to(torch.uint8)
        if self.settings.blur:
            rest = rest.contiguous(memory_format=torch.channels_last)
            rest = torch.nn.functional.interpolate(rest, size=mask.shape, mode="bilinear", antialias=True)
        rest = rest[0]
        return rest ^ ((rest ^ pixels) & -mask.view(torch.uint8))  # where(mask, pixels, rest), in a tenth of the time

    def _fit(self, pixels: torch.Tensor, boxes: torch.Tensor, out: torch.Tensor) -> None:
        """Cut a box out of (3, h, w) uint8 pixels and bring it to the prompt's size, normalised, padded with zeros."""
        spans = []
        for places in nearest_places(boxes, self.size):  # (1, H), (1, W); -1 is outside
            inside = (places[0] >= 0).numpy()
            first = int(inside.argmax())
            last = first + int(np.count_nonzero(inside))
            spans.append((slice(first, last), places[0, first:last].numpy()))
        (rows, y), (columns, x) = spans
        taken = pixels.numpy().take(x, axis=2).take(y, axis=1)
        for border in (
            out[:, : rows.start],
            out[:, rows.stop :],
            out[:, :, : columns.start],
            out[:, :, columns.stop :],
        ):
            border.zero_()
        self._normalize(taken.transpose(1, 2, 0), out=out[:, rows, columns])

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
