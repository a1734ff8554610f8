"""From prompted samples to a batch that goes straight into the model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from clipseg_hf.data.rows.row_phrases import IGNORED_LABEL
from clipseg_hf.data.sampling.normalizing import Normalizer
from clipseg_hf.data.sampling.samples import PromptedSample, SampleError
from clipseg_hf.data.sampling.visual_examples import VisualPromptMaker
from clipseg_hf.processing.texts import CLIP_TEXT_LENGTH, tokenize


@dataclass(frozen=True)
class BatchInfo:
    """What a batch was made of, for logs, caches and pictures; nothing that the model takes.

    Attributes:
        texts, phrases, phrase_ids: N each; see `PromptedSample`.
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
        processor: a `CLIPSegProcessor`: its tokenizer, its normalisation, its way of making visual prompts.
        info: add a `BatchInfo` as `batch["info"]`, to be popped before the model is called. Data sets that are not
            strict need it.

    Called, it returns a dict of
        pixel_values (B, 3, H, W) float32, normalised;
        input_ids, attention_mask (N, L) int64;
        prompt_to_image (N,) int64, the image of each prompt;
        labels (N, H, W) uint8, 0 or 1, and 255 where a pixel does not count;
        image_prompt_weight (N,) float32;
    where some pixels do not count,
        ignore_index () int64, their label;
    and, where there are supports,
        conditional_to_prompt (S,) int64, the prompt of each;
        conditional_pixel_values (S, 3, h, w) float32, their visual prompts at the processor's size.
    Where the sampler loaded only some of the supports, both are of those; where it loaded none, the latter is left out.
    """

    def __init__(self, processor, info: bool = False):
        self.info = info
        self.visual_prompts = VisualPromptMaker(processor)
        self._tokenizer = processor.tokenizer
        self._normalize = Normalizer(processor.image_processor)

    def __call__(self, samples: Sequence[PromptedSample | SampleError]) -> dict:
        """Collate samples.

        Raises:
            SampleError: one of them is an error, and there is no `BatchInfo` to report it in.
            ValueError: there are no samples, or their images differ in size.
        """
        skipped = [sample for sample in samples if isinstance(sample, SampleError)]
        if skipped and not self.info:
            raise skipped[0]
        samples = [sample for sample in samples if not isinstance(sample, SampleError)]
        batch = self._tensors(samples) if samples or not skipped else {}  # nothing left: the errors alone
        if self.info:
            batch["info"] = _describe(samples, skipped)
        return batch

    def pixels(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """B images (H, W, 3) uint8 of one size -> (B, 3, H, W) float32, normalised."""
        pixel_values = torch.empty(len(images), 3, *images[0].shape[:2])
        for pixels, image in zip(pixel_values, images, strict=True):
            self._normalize(image, out=pixels)
        return pixel_values

    def tokenize(self, texts: list[str], length: int | None = None) -> dict[str, torch.Tensor]:
        """N texts -> input_ids, attention_mask (N, L), as long as the longest; or of a given length, as far as the
        tokenizer goes."""
        limit = min(self._tokenizer.model_max_length, CLIP_TEXT_LENGTH)
        padding, limit = (True, limit) if length is None else ("max_length", min(length, limit))
        tokens = tokenize(self._tokenizer, texts, padding=padding, max_length=limit, return_tensors="pt")
        return {name: tokens[name] for name in ("input_ids", "attention_mask")}

    def _tensors(self, samples: list[PromptedSample]) -> dict[str, torch.Tensor]:
        sizes = sorted({sample.image.shape[:2] for sample in samples})
        if len(sizes) != 1:
            raise ValueError(f"A batch is made of samples of one size (height, width), got {sizes or 'no samples'}.")
        prompts = torch.tensor([len(sample.texts) for sample in samples])
        batch = {
            "pixel_values": self.pixels([sample.image for sample in samples]),
            **self.tokenize([text for sample in samples for text in sample.texts]),
            "prompt_to_image": torch.arange(len(samples)).repeat_interleave(prompts),
            "labels": torch.from_numpy(np.concatenate([sample.masks for sample in samples])),
            "image_prompt_weight": torch.from_numpy(np.concatenate([sample.image_prompt_weight for sample in samples])),
        }
        if (batch["labels"] == IGNORED_LABEL).any():
            batch["ignore_index"] = torch.tensor(IGNORED_LABEL)
        supports = [support for sample in samples for support in sample.supports]
        owners = [n for n, support in enumerate(supports) if support is not None]
        if owners:
            loaded = [n for n in owners if supports[n].image is not None]
            batch["conditional_to_prompt"] = torch.tensor(loaded or owners)
            if loaded:
                batch["conditional_pixel_values"] = self.visual_prompts([supports[n] for n in loaded])
        return batch


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
