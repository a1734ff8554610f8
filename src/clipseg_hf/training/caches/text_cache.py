"""CLIP's vectors of texts, encoded as they are asked for, or ahead where all will be."""

from collections.abc import Iterable

import numpy as np
import torch
from tqdm.auto import tqdm

from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.data.sampling.collate import PromptCollator
from clipseg_hf.data.sampling.sampling import PromptSampler
from clipseg_hf.data.vocabulary.phrases import swap_sides
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.modeling.configuration import row_width
from clipseg_hf.training.caches.blocks import in_fixed_batches
from clipseg_hf.training.caches.cache_settings import CacheSettings
from clipseg_hf.training.caches.kept_arrays import THERE, KeptArrays

AHEAD = 4096  # texts that `fill` sorts by length and encodes at a time


class TextCache:
    """The vectors of all phrases in all prefixes.

    A step encodes the texts of its own that are not there yet, and no others: each once, in batches of one size and
    padded to a length that is the text's own, so that its vector has the same bits whichever step asks first. Where
    the run will draw at least as many prompts as there are texts, `fill` encodes them all ahead, in full batches.

    Args:
        model, sampler, collator, settings: as for `PromptCache`.
    """

    def __init__(
        self,
        model: CLIPSegForImageSegmentation,
        sampler: PromptSampler,
        collator: PromptCollator,
        settings: CacheSettings,
    ):
        self.model, self.collator, self.settings = model, collator, settings
        self.prefixes = sampler.settings.prefixes
        phrases = sampler.index.phrases
        if sampler.settings.hflip:  # which swaps left and right in them
            phrases = dict.fromkeys([*phrases, *map(swap_sides, phrases)])
        self.phrases = {phrase: number for number, phrase in enumerate(phrases)}
        key = settings.prompt_key(model, "tokenizer", phrases=digest(*self.phrases), prefixes=list(self.prefixes))
        count = len(self.phrases) * len(self.prefixes)
        self.kept = KeptArrays(settings.folder, "texts", key, count, (row_width(model.config),))

    def fill(self, rank: int = 0, world: int = 1) -> None:
        """Encode all texts, if the run will draw as many.

        Args:
            rank, world: this process takes each `world`-th share.
        """
        if len(self.kept.flags) > self.settings.prompts_ahead:
            return
        phrases = list(self.phrases)
        starts = range(0, len(self.kept.flags), AHEAD)[rank::world]
        for start in tqdm(starts, desc="encoding texts", unit="block", disable=self.settings.quiet, dynamic_ncols=True):
            lacking = start + np.flatnonzero(self.kept.flags[start : start + AHEAD] != THERE)
            numbers = [divmod(int(number), len(self.prefixes)) for number in lacking]
            self._keep({n: self._text(phrases[p], k) for n, (p, k) in zip(lacking.tolist(), numbers, strict=True)})

    def __call__(self, texts: list[str], phrases: list[str], device) -> torch.Tensor:
        """The vectors (N, D), float32, of N texts, each a phrase in one of the prefixes."""
        numbers = [self._number(text, phrase) for text, phrase in zip(texts, phrases, strict=True)]
        known = {number: text for number, text in zip(numbers, texts, strict=True) if number is not None}
        self._keep({number: text for number, text in known.items() if self.kept.flags[number] != THERE})
        vectors = np.empty((len(texts), row_width(self.model.config)), np.float16)
        others = [n for n, number in enumerate(numbers) if number is None]  # a phrase spelled in another case, say
        for n, number in enumerate(numbers):
            if number is not None:
                vectors[n] = self.kept.arrays[number]
        for places, encoded in self._encode([texts[n] for n in others]):
            vectors[[others[place] for place in places]] = encoded
        return torch.from_numpy(vectors.astype(np.float32)).to(device)

    def _text(self, phrase: str, prefix: int) -> str:
        return self.prefixes[prefix].replace("{}", phrase)

    def _number(self, text: str, phrase: str) -> int | None:
        """Where a text is kept."""
        number = self.phrases.get(phrase)
        if number is None:
            return None
        return number * len(self.prefixes) + [prefix.replace("{}", phrase) for prefix in self.prefixes].index(text)

    def _keep(self, texts: dict[int, str]) -> None:
        numbers = np.array(list(texts), dtype=np.int64)
        for places, encoded in self._encode(list(texts.values())):
            self.kept.put(numbers[places], encoded)

    @torch.no_grad()
    def _encode(self, texts: list[str]) -> Iterable[tuple[list[int], np.ndarray]]:
        """Places of texts of about one length, and their vectors."""
        if not texts:
            return
        device = self.model.device
        lengths = self.collator.tokenize(texts)["attention_mask"].sum(dim=1).tolist()
        size, multiple = _batches(device)
        padded = [-(-length // multiple) * multiple for length in lengths]
        for length in sorted(set(padded)):
            places = [place for place, found in enumerate(padded) if found == length]
            tokens = self.collator.tokenize([texts[place] for place in places], length)
            yield places, in_fixed_batches(self.model.get_conditional_embeddings, tokens, size, device)


def _batches(device: torch.device) -> tuple[int, int]:
    """In batches of how many texts, and padded to a multiple of how many tokens, texts are encoded.

    64 short prompts are then no more tokens to a processor than in one batch, padded to the longest of them; larger
    batches are faster by text, but seldom full. An accelerator waits for its calls rather than for tokens.
    """
    return (4, 4) if device.type == "cpu" else (64, 16)
