"""CLIP's vectors of texts and example images, kept in files: a prompt is only a vector."""

import numpy as np
import torch
from torch.utils.data import Dataset

from clipseg_hf.data.sampling.collate import BatchInfo, PromptCollator
from clipseg_hf.data.sampling.samples import SampleError
from clipseg_hf.data.sampling.sampling import PromptSampler
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.modeling.configuration import row_width
from clipseg_hf.modeling.layers.conditioning import mix_prompts
from clipseg_hf.training.caches.blocks import blocks_of, images_at_once, in_fixed_batches, loaded
from clipseg_hf.training.caches.cache_settings import CacheSettings
from clipseg_hf.training.caches.kept_arrays import BROKEN, MISSING, THERE, KeptArrays
from clipseg_hf.training.caches.text_cache import TextCache


class PromptCache:
    """CLIP's vectors of all prompts: example images are encoded by `fill`, texts there or as they come.

    Args:
        model: gives the vectors.
        sampler: what draws the prompts; its phrases and prefixes are the texts, its rows the examples.
        collator: makes tokens and visual prompts.
        settings: see there.
    """

    def __init__(
        self,
        model: CLIPSegForImageSegmentation,
        sampler: PromptSampler,
        collator: PromptCollator,
        settings: CacheSettings,
    ):
        self.model, self.sampler, self.collator, self.settings = model, sampler, collator, settings
        self.texts = TextCache(model, sampler, collator, settings)
        counts = sampler.index.counts
        self.first = np.concatenate(([0], np.cumsum(counts)))  # row -> number of its first example
        key = settings.prompt_key(
            model, "data", "image_processor", "visual_prompt", read_at_least=list(sampler.settings.size)
        )
        self.examples = KeptArrays(settings.folder, "examples", key, int(self.first[-1]), (row_width(model.config),))

    def refresh(self, pictures: np.ndarray) -> None:
        """Forget what was made of other pictures than those that are there now, and try those again that could not be
        read.

        Args:
            pictures: (rows,) uint64, see `fingerprint_images`.
        """
        self.examples.refresh(np.repeat(pictures, self.sampler.index.counts))

    def fill(self, rank: int = 0, world: int = 1) -> None:
        """Encode the texts, if that is no more than the run will ask for, and each phrase of each row as an example,
        if any examples are drawn. (All, because for an absent phrase the example may be the only one there is.)

        Args:
            rank, world: this process takes each `world`-th block.
        """
        self.texts.fill(rank, world)
        if self.sampler.settings.mix == "text" or self.sampler.settings.support_probability == 0:
            return
        blocks = [self._lacking(block) for block in blocks_of(len(self.sampler.rows), rank, world)]
        dataset = _Examples([block for block in blocks if block], self.sampler, self.collator)
        with loaded(dataset, "examples", self.settings) as blocks:
            for places, pixels, broken in blocks:
                if places:
                    self._encode_examples(places, pixels)
                for place in broken:  # where it is drawn, that will be noticed and said
                    self.examples.flags[self._number(place)] = BROKEN

    def is_lacking(self):
        """A function of (row, phrase_number): whether that example has to be loaded, for want of a vector."""
        return _IsLacking(self.first, self.examples.flags)

    def __call__(self, batch: dict, info: BatchInfo, device) -> torch.Tensor:
        """The prompts of a batch, (N, D): x = a s + (1 - a) t.

        Args:
            batch: of the collator, with visual prompts of those examples alone that `fill` could not read.
            info: of the batch.
            device: where to.
        """
        if "conditional_pixel_values" in batch:  # mended since
            places = [info.supports[owner] for owner in batch["conditional_to_prompt"].tolist()]
            self._encode_examples(places, batch["conditional_pixel_values"])
        texts = self.texts(info.texts, info.phrases, device)
        owners = [owner for owner, place in enumerate(info.supports) if place is not None]
        if not owners:
            return texts
        numbers = [self._number(info.supports[owner]) for owner in owners]
        if (self.examples.flags[numbers] != THERE).any():
            raise ValueError("Some examples were not encoded: call fill() first.")
        weight = batch["image_prompt_weight"]
        examples = torch.from_numpy(self.examples.arrays[numbers].astype(np.float32)).to(device)
        return mix_prompts(texts, examples, None, torch.tensor(owners, device=device), weight, len(texts))

    def _number(self, place: tuple[int, int]) -> int:
        return int(self.first[place[0]]) + place[1]

    def _lacking(self, block: range) -> list[tuple[int, int]]:
        """The places (row, phrase_number) of the examples in a block of rows that are not there yet."""
        places = [(row, number) for row in block for number in range(self.first[row + 1] - self.first[row])]
        return [place for place in places if self.examples.flags[self._number(place)] == MISSING]

    @torch.no_grad()
    def _encode_examples(self, places: list[tuple[int, int]], pixels: torch.Tensor) -> None:
        device = self.model.device
        inputs = {"conditional_pixel_values": pixels}
        vectors = in_fixed_batches(self.model.get_conditional_embeddings, inputs, images_at_once(device), device)
        self.examples.put([self._number(place) for place in places], vectors)


class _IsLacking:
    def __init__(self, first: np.ndarray, flags: np.ndarray):
        self.first, self.flags = first, flags

    def __call__(self, row: int, phrase_number: int) -> bool:
        return self.flags[self.first[row] + phrase_number] != THERE


class _Examples(Dataset):
    """Blocks of places -> those that can be read, their visual prompts, and the others."""

    def __init__(self, blocks: list[list[tuple[int, int]]], sampler: PromptSampler, collator: PromptCollator):
        self.blocks, self.sampler, self.collator = blocks, sampler, collator

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, number: int):
        places, prompts, broken = [], [], []
        for place in self.blocks[number]:
            try:
                prompts.append(self.collator.visual_prompts([self.sampler.support(*place)]))
                places.append(place)
            except SampleError:
                broken.append(place)
        return places, torch.cat(prompts) if prompts else None, broken
