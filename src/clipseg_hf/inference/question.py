"""Prompts made ready: every one that is named has a vector, and what is made of several knows of which."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from clipseg_hf.inference.combining import HALF, combine_logits, combine_presence
from clipseg_hf.inference.prompts import Combination, Prompt
from clipseg_hf.inference.results import Segmentation
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
        self, image: Image.Image, logits: np.ndarray, threshold: float | Sequence[float] | None = None
    ) -> Segmentation:
        """From the model's (P, H, W) logits for one image; `threshold` as in a call of `Segmenter`."""
        own = thresholds_for(self.kinds, len(self.kinds), self.mask_thresholds)
        given = None if threshold is None else threshold_of_each(threshold, len(self.prompts))
        found = presence_scores(logits)
        answers, kinds, thresholds, presence = [], [], [], []
        for number, (prompt, parts) in enumerate(zip(self.prompts, self.parts, strict=True)):
            bounds = [own[part] if given is None else given[number] for part in parts]
            if isinstance(prompt, Combination):
                answers.append(combine_logits(prompt, [logits[part] for part in parts], bounds))
                presence.append(combine_presence(prompt, [found[part] for part in parts]))
                kinds.append("combined")
                thresholds.append(HALF)
            else:
                answers.append(logits[parts[0]])
                presence.append(found[parts[0]])
                kinds.append(self.kinds[parts[0]])
                thresholds.append(bounds[0])
        labels = [str(prompt.label) for prompt in self.prompts]
        at_all = self.mask_thresholds["presence"]
        return Segmentation.from_logits(image, np.stack(answers), labels, kinds, thresholds, at_all, presence)


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
