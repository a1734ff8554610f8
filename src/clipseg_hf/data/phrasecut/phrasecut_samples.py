"""PhraseCut+ as fixed samples: each phrase of each image once, with its prefix and support, or made a negative."""

from collections.abc import Iterator
from typing import Any

import datasets
import numpy as np
import torch

from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.row_builder import RowBuilder
from clipseg_hf.data.rows.row_images import undecoded
from clipseg_hf.data.rows.row_phrases import different_phrases, united_entry
from clipseg_hf.data.rows.row_source import RowSource, in_shards
from clipseg_hf.data.rows.rows import PHRASE_FEATURES
from clipseg_hf.data.sampling.phrase_index import PhraseIndex
from clipseg_hf.data.sampling.sampling import generator_for
from clipseg_hf.data.vocabulary.phrases import PREFIXES
from clipseg_hf.processing.masks.rle import encode_rle

SAMPLE_FEATURES = datasets.Features(
    {
        "image": datasets.Image(),
        "image_id": datasets.Value("string"),
        "height": datasets.Value("int32"),
        "width": datasets.Value("int32"),
        "phrase_id": datasets.Value("string"),  # of the phrase of this image, also where a negative took its place
        "phrase": datasets.Value("string"),  # what is asked
        "prompt": datasets.Value("string"),  # the phrase in its template, "a photo of a {}."
        "negative": datasets.Value("bool"),  # the phrase is not true of the image, the mask is empty
        "mask": PHRASE_FEATURES["mask"],
        "support_image": datasets.Image(),  # another image that shows the phrase; None where there is none
        "support_image_id": datasets.Value("string"),
        "support_phrase_id": datasets.Value("string"),
        "support_mask": PHRASE_FEATURES["mask"],
    }
)


class PhraseCutSamples(RowSource):
    """Draws PhraseCut+ once, from a seed (paper, section 4).

    A phrase gets one of nine prefixes, and a support drawn among the other images that show the same. With the
    negative probability it gives its place to a phrase of other images that is not true of this one.

    Args:
        images: Builds the rows that are sampled.
        seed: Of all that is drawn.
        negative_probability: 0.2 as in the paper.
    """

    name = "phrasecut"
    features = SAMPLE_FEATURES
    description = "PhraseCut+: PhraseCut's phrases with prefixes, support images and negatives, drawn once."

    def __init__(self, images: RowBuilder, seed: int = 0, negative_probability: float = 0.2):
        self.images = images
        self.seed = seed
        self.negative_probability = negative_probability
        self._loaded: dict[str, tuple[datasets.Dataset, PhraseIndex]] = {}

    @property
    def splits(self) -> tuple[str, ...]:
        return self.images.config.source.splits

    def fingerprint(self) -> str:
        options = (str(self.seed), str(self.negative_probability), *PREFIXES)
        return digest("phrasecut-plus", self.images.config_id, self.images.hash, *options)

    def shards(self, split: str, summary: BuildSummary) -> list[range]:
        rows, _ = self._load(split)
        return in_shards(range(len(rows)))

    def rows(self, split: str, shard: range, summary: BuildSummary) -> Iterator[dict[str, Any]]:
        rows, index = self._load(split)
        for i in shard:
            row = rows[i]
            for visit, number in enumerate(different_phrases(row["phrases"])):
                yield self._sample(rows, index, i, row, number, generator_for(self.seed, 0, i, visit))

    def _load(self, split: str) -> tuple[datasets.Dataset, PhraseIndex]:
        if split not in self._loaded:
            self.images.download_and_prepare()
            rows = undecoded(self.images.as_dataset(split))
            self._loaded[split] = (rows, PhraseIndex(rows))
        return self._loaded[split]

    def _sample(
        self, rows, index: PhraseIndex, i: int, row: dict, number: int, generator: torch.Generator
    ) -> dict[str, Any]:
        entry = united_entry(row["phrases"], number)
        phrase, mask = entry["phrase"], entry["mask"]
        other = None
        if torch.rand((), generator=generator) < self.negative_probability:
            other = index.draw_negative(i, generator)
        if other is not None:
            phrase, mask = other, encode_rle(np.zeros((row["height"], row["width"]), dtype=bool))
        prefix = PREFIXES[int(torch.randint(len(PREFIXES), (), generator=generator))]
        place = index.draw_support(phrase, i, generator)
        return {
            **{key: row[key] for key in ("image", "image_id", "height", "width")},
            "phrase_id": entry["phrase_id"],
            "phrase": phrase,
            "prompt": prefix.replace("{}", phrase),
            "negative": other is not None,
            "mask": mask,
            **_support(rows, place),
        }


def _support(rows: datasets.Dataset, place: tuple[int, int] | None) -> dict[str, Any]:
    """The support's columns, for the phrase of a (row, phrase_number)."""
    if place is None:
        return dict.fromkeys(("support_image", "support_image_id", "support_phrase_id", "support_mask"))
    row = rows[place[0]]
    entry = united_entry(row["phrases"], place[1])
    return {
        "support_image": row["image"],
        "support_image_id": row["image_id"],
        "support_phrase_id": entry["phrase_id"],
        "support_mask": entry["mask"],
    }
