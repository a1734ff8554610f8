"""From prompted samples to a batch that goes straight into the model."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from clipseg_hf.data.samples import PromptedSample, SampleError, Support
from clipseg_hf.processing.visual_prompts import make_visual_prompt

_BLUR_RADIUS = 7  # of the visual prompts' 15 x 15 kernel


@dataclass(frozen=True)
class BatchInfo:
    """What a batch was made of, for logs, caches and pictures; nothing that the model takes.

    Attributes:
        texts, phrases, phrase_ids: N each, with and without template.
        negative: (N,) bool.
        supports: N places (row, phrase_number), None for prompts by text alone.
        rows, image_ids: B each.
        skipped: the errors of rows that were left out.
    """

    texts: list[str]
    phrases: list[str]
    phrase_ids: list[str]
    negative: np.ndarray
    supports: list[tuple[int, int] | None]
    rows: list[int]
    image_ids: list[str]
    skipped: list[SampleError]


class PromptCollator:
    """Makes batches of B samples with N prompts in all: `model(**collator(samples))`.

    Args:
        processor: a `CLIPSegProcessor`; gives the tokenizer, the normalisation, and how visual prompts are made.
        info: add a `BatchInfo` as `batch["info"]`, to be popped before the model is called. Needed for data sets that
            are not strict.

    Returns (when called) a dict of
        pixel_values (B, 3, H, W) float32, normalised;
        input_ids, attention_mask (N, L) int64;
        prompt_to_image (N,) int64, the image of each prompt;
        labels (N, H, W) uint8, 0 or 1;
        image_prompt_weight (N,) float32;
        and where there are supports
        conditional_pixel_values (S, 3, h, w) float32, their visual prompts at the processor's size (left out where
        supports are not loaded);
        conditional_to_prompt (S,) int64, the prompt of each.
    """

    def __init__(self, processor, info: bool = False):
        self.processor = processor
        self.info = info
        mean, std = processor.image_processor.image_mean, processor.image_processor.image_std
        self._scale = 1 / (255 * torch.tensor(std).view(1, 3, 1, 1))
        self._shift = (torch.tensor(mean) / torch.tensor(std)).view(1, 3, 1, 1)

    def __call__(self, samples: Sequence[PromptedSample | SampleError]) -> dict:
        """Collate samples.

        Raises:
            SampleError: one of the samples is an error, and there is no `BatchInfo` to report it in.
            ValueError: there are no samples, or their images differ in size.
        """
        skipped = [sample for sample in samples if isinstance(sample, SampleError)]
        if skipped and not self.info:
            raise skipped[0]
        samples = [sample for sample in samples if not isinstance(sample, SampleError)]
        batch = self._tensors(samples) if samples or not skipped else {}
        if self.info:
            batch["info"] = _describe(samples, skipped)
        return batch

    def _tensors(self, samples: list[PromptedSample]) -> dict:
        sizes = sorted({sample.image.shape[:2] for sample in samples})
        if len(sizes) != 1:
            raise ValueError(f"A batch is made of samples of one size (height, width), got {sizes or 'no samples'}.")
        texts = [text for sample in samples for text in sample.texts]
        images = torch.arange(len(samples))
        prompts = torch.tensor([len(sample.texts) for sample in samples])
        batch = {
            "pixel_values": self._normalise(np.stack([sample.image for sample in samples])),
            **self.tokenize(texts),
            "prompt_to_image": images.repeat_interleave(prompts),
            "labels": torch.from_numpy(np.concatenate([sample.masks for sample in samples])),
            "image_prompt_weight": torch.from_numpy(np.concatenate([sample.image_prompt_weight for sample in samples])),
        }
        supports = [support for sample in samples for support in sample.supports]
        owners = [n for n, support in enumerate(supports) if support is not None]
        if owners:
            batch["conditional_to_prompt"] = torch.tensor(owners)
            if supports[owners[0]].image is not None:
                batch["conditional_pixel_values"] = self.visual_prompts([supports[n] for n in owners])
        return batch

    def tokenize(self, texts: list[str]) -> dict[str, torch.Tensor]:
        """Texts -> input_ids, attention_mask (N, L), as long as the longest."""
        tokens = self.processor.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        return {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}

    def visual_prompts(self, supports: Sequence[Support]) -> torch.Tensor:
        """Supports -> (S, 3, h, w) visual prompts, made as the processor makes them."""
        size = self.processor.image_processor.size
        size = (size["height"], size["width"]) if "height" in size else size["shortest_edge"]
        options = asdict(self.processor.visual_prompt_settings)
        prompts = []
        for support in supports:
            image, mask = support.image, support.mask
            if options["crop"]:
                image, mask = _surroundings(image, mask, options["context"])
            pixels = self._normalise(image[None])
            prompts.append(make_visual_prompt(pixels, torch.from_numpy(mask)[None], size, **options))
        return torch.cat(prompts)

    def _normalise(self, images: np.ndarray) -> torch.Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W) float32."""
        pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).contiguous()
        return pixels.float().mul_(self._scale).sub_(self._shift)


def _surroundings(image: np.ndarray, mask: np.ndarray, context: float) -> tuple[np.ndarray, np.ndarray]:
    """Cut an object out of its image with all that its visual prompt depends on: the context, and what the blur
    reaches beyond it. So only that is normalised and blurred, for the same result."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return image, mask
    (top, bottom), (left, right) = (
        (
            max(int(first - context * (last + 1 - first)) - _BLUR_RADIUS - 1, 0),
            int(last + 1 + context * (last + 1 - first)) + _BLUR_RADIUS + 1,
        )
        for first, last in ((rows[0], rows[-1]), (columns[0], columns[-1]))
    )
    return image[top:bottom, left:right], np.ascontiguousarray(mask[top:bottom, left:right])


def _describe(samples: list[PromptedSample], skipped: list[SampleError]) -> BatchInfo:
    supports = [support for sample in samples for support in sample.supports]
    return BatchInfo(
        texts=[text for sample in samples for text in sample.texts],
        phrases=[phrase for sample in samples for phrase in sample.phrases],
        phrase_ids=[phrase_id for sample in samples for phrase_id in sample.phrase_ids],
        negative=np.concatenate([np.zeros(0, bool), *(sample.negative for sample in samples)]),
        supports=[support and (support.row, support.phrase_number) for support in supports],
        rows=[sample.row for sample in samples],
        image_ids=[sample.image_id for sample in samples],
        skipped=skipped,
    )
