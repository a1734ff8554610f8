"""Prompts made ready: every one that is named has a vector, and what is made of several knows of which."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from clipseg_hf.inference.combining import HALF, combine_logits, combine_presence
from clipseg_hf.inference.prompts import Combination, Prompt
from clipseg_hf.inference.results import Segmentation
from clipseg_hf.processing.masks.guided_filter import GuidedFilter
from clipseg_hf.processing.plain.probabilities import presence_scores
from clipseg_hf.processing.thresholds import threshold_of_each, thresholds_for


@dataclass(frozen=True)
class Question:
    """N prompts, for which the model decodes P vectors; made by `Segmenter.ask`, and answered for any image.

    Attributes:
        prompts: as they were given.
        embeddings: (P, D) as the model takes it: a vector for each prompt that is named, however many combinations
            name it.
        kinds: "text", "image" or "mixed" for each vector.
        parts: the vectors that each prompt consists of; one, unless it is a `Combination`.
        mask_thresholds: the checkpoint's own, for each kind and for presence.
    """

    prompts: list[Prompt | Combination]
    embeddings: Any
    kinds: list[str]
    parts: list[list[int]]
    mask_thresholds: dict[str, float]

    def answer(
        self,
        image: Image.Image,
        logits: np.ndarray,
        threshold: float | Sequence[float] | None = None,
        guided_filter: GuidedFilter | None = None,
    ) -> Segmentation:
        """From the model's (P, H, W) logits for one image; `threshold` as in a call of `Segmenter`, `guided_filter` as
        it has one."""
        presence = self.combine_presence(presence_scores(logits))
        thresholds, at_all = self.thresholds(threshold), self.mask_thresholds["presence"]
        answers = self.combine(logits, threshold)
        if guided_filter is not None:
            answers = guided_filter.apply(answers, image)
        return Segmentation.from_logits(image, answers, self.labels, self.answer_kinds, thresholds, at_all, presence)

    @property
    def labels(self) -> list[str]:
        """What to call each prompt."""
        return [str(prompt.label) for prompt in self.prompts]

    @property
    def answer_kinds(self) -> list[str]:
        """Of each prompt "text", "image", "mixed" or "combined"."""
        pairs = zip(self.prompts, self.parts, strict=True)
        return ["combined" if isinstance(prompt, Combination) else self.kinds[parts[0]] for prompt, parts in pairs]

    def thresholds(self, threshold: float | Sequence[float] | None = None) -> list[float]:
        """That of each prompt's answer; one half where it is combined."""
        pairs = zip(self.prompts, self._bounds(threshold), strict=True)
        return [HALF if isinstance(prompt, Combination) else bounds[0] for prompt, bounds in pairs]

    def combine(self, logits: np.ndarray, threshold: float | Sequence[float] | None = None) -> np.ndarray:
        """The model's (P, h, w) logits, of a whole image or of a part of it -> those of the prompts, (N, h, w)."""
        answers = []
        for prompt, parts, bounds in zip(self.prompts, self.parts, self._bounds(threshold), strict=True):
            found = [logits[part] for part in parts]
            answers.append(combine_logits(prompt, found, bounds) if isinstance(prompt, Combination) else found[0])
        return np.stack(answers)

    def combine_presence(self, found: Sequence[float]) -> list[float]:
        """The presence of each of the P vectors' things -> that of the prompts'."""
        return [
            combine_presence(prompt, [found[part] for part in parts])
            if isinstance(prompt, Combination)
            else found[parts[0]]
            for prompt, parts in zip(self.prompts, self.parts, strict=True)
        ]

    def _bounds(self, threshold: float | Sequence[float] | None) -> list[list[float]]:
        """The thresholds of the parts of each prompt."""
        own = thresholds_for(self.kinds, len(self.kinds), self.mask_thresholds)
        if threshold is None:
            return [[own[part] for part in parts] for parts in self.parts]
        given = threshold_of_each(threshold, len(self.prompts))
        return [[one] * len(parts) for one, parts in zip(given, self.parts, strict=True)]


def name_once(prompts: Sequence[Prompt | Combination]) -> tuple[list[Prompt], list[list[int]]]:
    """The prompts that are named, each once, and for each given prompt the numbers of those that it consists of."""
    named: dict[Any, tuple[int, Prompt]] = {}
    parts = []
    for prompt in prompts:
        leaves = prompt.leaves() if isinstance(prompt, Combination) else [prompt]
        # examples are the same only where they are one object: to compare pictures would take longer than to encode one
        keys = [leaf.text if leaf.image is None else id(leaf) for leaf in leaves]
        parts.append([named.setdefault(key, (len(named), leaf))[0] for key, leaf in zip(keys, leaves, strict=True)])
    return [leaf for _, leaf in named.values()], parts


@dataclass(frozen=True)
class EncodedImage:
    """An image that the model has seen, to be asked again and again; made by `Segmenter.encode`.

    Attributes:
        image: RGB, upright.
        features: what the decoder needs to know of it.
        decode: `features` and the vectors of a question -> (P, H, W) logits.
        guided_filter: see `Segmenter`.
    """

    image: Image.Image
    features: Any
    decode: Callable[[Any, Any], np.ndarray]
    guided_filter: GuidedFilter | None = None

    def answer(self, question: Question, threshold: float | Sequence[float] | None = None) -> Segmentation:
        """The masks of a question's prompts, by the decoder alone; `threshold` as in a call of `Segmenter`."""
        logits = self.decode(self.features, question.embeddings)
        return question.answer(self.image, logits, threshold, self.guided_filter)
