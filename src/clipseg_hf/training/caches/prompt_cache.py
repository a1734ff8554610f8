"""CLIP's vectors of texts and example images, kept in files: a prompt is only a vector."""

import logging

import numpy as np
import torch
from torch.utils.data import Dataset

from clipseg_hf.data.sampling.collate import BatchInfo, PromptCollator
from clipseg_hf.data.sampling.samples import SampleError
from clipseg_hf.data.sampling.sampling import PromptSampler
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.modeling.layers.conditioning import mix_prompts
from clipseg_hf.training.caches.blocks import CacheSettings, blocks_of, loaded
from clipseg_hf.training.caches.kept_arrays import BROKEN, MISSING, THERE, KeptArrays

logger = logging.getLogger(__name__)

PHRASES_PER_BLOCK = 16


class PromptCache:
    """CLIP's vectors of all prompts: texts are encoded as they come, example images by `fill`.

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
        self.prefixes = sampler.settings.prefixes
        self.phrases = {phrase: number for number, phrase in enumerate(sampler.index.phrases)}
        width = model.config.projection_dim
        self.texts = KeptArrays(
            settings.folder,
            "texts",
            settings.key(prefixes=list(self.prefixes)),
            len(self.phrases),
            (len(self.prefixes), width),
        )
        counts = sampler.index.counts
        self.first = np.concatenate(([0], np.cumsum(counts)))  # row -> number of its first example
        self.examples = KeptArrays(
            settings.folder,
            "examples",
            settings.key(read_at_least=list(sampler.settings.size)),
            int(self.first[-1]),
            (width,),
        )

    @torch.no_grad()
    def fill(self, rank: int = 0, world: int = 1) -> None:
        """Encode each phrase of each row as an example, if any examples are drawn. (All, because for an absent phrase
        the example may be the only one there is.)

        Args:
            rank, world: this process takes each `world`-th block.
        """
        if self.sampler.settings.mix == "text" or self.sampler.settings.support_probability == 0:
            return
        todo = [block for block in blocks_of(len(self.sampler.rows), rank, world) if self._lacks(block)]
        dataset = _Examples(todo, self.first, self.sampler, self.collator)
        with loaded(dataset, "examples", self.settings) as blocks:
            for numbers, pixels, broken in blocks:
                if len(numbers):
                    vectors = self.model.clip.get_image_features(
                        pixels.to(self.model.device), interpolate_pos_encoding=True
                    ).pooler_output
                    self.examples.put(numbers, vectors.float().cpu().numpy())
                for number, error in broken:
                    self.examples.flags[number] = BROKEN
                    logger.warning("An example image is left out: %s", error)

    def __call__(self, info: BatchInfo, weight: torch.Tensor, device) -> torch.Tensor:
        """The prompts of a batch, (N, D): x = a s + (1 - a) t. An example that could not be read leaves its text."""
        texts = self.text_vectors(info.texts, info.phrases, device)
        owners, numbers = [], []
        for owner, place in enumerate(info.supports):
            number = None if place is None else int(self.first[place[0]]) + place[1]
            if number is not None and self.examples.flags[number] == THERE:
                owners.append(owner)
                numbers.append(number)
            elif number is not None and self.examples.flags[number] == MISSING:
                raise ValueError(f"Example {place} was not encoded: call fill() first.")
        if not owners:
            return texts
        examples = torch.from_numpy(self.examples.arrays[numbers].astype(np.float32)).to(device)
        return mix_prompts(texts, examples, None, torch.tensor(owners, device=device), weight, len(texts))

    def text_vectors(self, texts: list[str], phrases: list[str], device) -> torch.Tensor:
        """(N, D), float32; encodes the blocks of phrases that were never asked for."""
        places = [self._place(text, phrase) for text, phrase in zip(texts, phrases, strict=True)]
        missing = {p[0] // PHRASES_PER_BLOCK for p in places if p is not None and self.texts.flags[p[0]] != THERE}
        for block in sorted(missing):
            self._fill_texts(block)
        vectors = np.empty((len(texts), self.model.config.projection_dim), np.float32)
        for n, place in enumerate(places):
            if place is not None:
                vectors[n] = self.texts.arrays[place]
        others = [n for n, place in enumerate(places) if place is None]  # a flip swapped left and right, say
        if others:
            vectors[others] = self._encode_texts([texts[n] for n in others]).half().float().cpu().numpy()
        return torch.from_numpy(vectors).to(device)

    def _place(self, text: str, phrase: str) -> tuple[int, int] | None:
        """(phrase, prefix) where a text is kept."""
        number = self.phrases.get(phrase)
        if number is None:
            return None
        return number, [prefix.replace("{}", phrase) for prefix in self.prefixes].index(text)

    def _fill_texts(self, block: int) -> None:
        first = block * PHRASES_PER_BLOCK
        phrases = self.sampler.index.phrases[first : first + PHRASES_PER_BLOCK]
        texts = [prefix.replace("{}", phrase) for phrase in phrases for prefix in self.prefixes]
        vectors = self._encode_texts(texts).float().cpu().numpy()
        shape = (len(phrases), len(self.prefixes), -1)
        self.texts.put(slice(first, first + len(phrases)), vectors.reshape(shape))

    @torch.no_grad()
    def _encode_texts(self, texts: list[str]) -> torch.Tensor:
        tokens = {name: tensor.to(self.model.device) for name, tensor in self.collator.tokenize(texts).items()}
        return self.model.clip.get_text_features(**tokens).pooler_output

    def _lacks(self, block: range) -> bool:
        return bool((self.examples.flags[self.first[block.start] : self.first[block.stop]] == MISSING).any())


class _Examples(Dataset):
    """Blocks of rows -> numbers, visual prompts and errors of the examples in them."""

    def __init__(self, blocks: list[range], first: np.ndarray, sampler: PromptSampler, collator: PromptCollator):
        self.blocks, self.first = blocks, first
        self.sampler, self.collator = sampler, collator

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, number: int):
        numbers, prompts, broken = [], [], []
        for row in self.blocks[number]:
            for example in range(self.first[row], self.first[row + 1]):
                try:
                    support = self.sampler.support(row, example - int(self.first[row]))
                    prompts.append(self.collator.visual_prompts([support]))
                    numbers.append(example)
                except (SampleError, ValueError) as error:  # unreadable; or a mask without a pixel
                    broken.append((example, f"row {row}: {error}"))
        return numbers, torch.cat(prompts) if prompts else None, broken
