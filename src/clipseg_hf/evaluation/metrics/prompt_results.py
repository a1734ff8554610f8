"""What a protocol keeps of each kind of prompt, and its numbers: over everything and over subsets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from clipseg_hf.evaluation.metrics.boundary import BoundaryScores
from clipseg_hf.evaluation.metrics.histogram import DEFAULT_THRESHOLDS
from clipseg_hf.evaluation.metrics.phrasecut_metrics import phrasecut_numbers
from clipseg_hf.evaluation.metrics.presence import PresenceScores
from clipseg_hf.evaluation.metrics.segmentation_counts import SegmentationCounts
from clipseg_hf.evaluation.metrics.travelling import Arrays, below, pack, under, unpack

ALL = "all"
_COUNTED = ("counts", "image_counts", "boundary", "presence")


@dataclass
class PromptResults:
    """One kind of prompt (by text, by image, mixed) asked of many images.

    Attributes:
        counts: one sample for each phrase that is true of its image, at the model's size (the paper's protocol).
        image_counts: the same at the image's own size (PhraseCut's protocol).
        boundary: the rims of masks at the image's own size.
        presence: those phrases, and absent ones.
        samples: what each sample of `counts` is: row, phrase_number, image_id, phrase_id, phrase,
            subsets, example (row and phrase number of the image that could be its prompt, or None).
        presence_subsets: the subsets of each entry of `presence`.
    """

    counts: SegmentationCounts
    image_counts: SegmentationCounts
    boundary: BoundaryScores
    presence: PresenceScores
    samples: list[dict] = field(default_factory=list)
    presence_subsets: list[tuple[str, ...]] = field(default_factory=list)

    @classmethod
    def at(
        cls, thresholds: Sequence[float] = DEFAULT_THRESHOLDS, boundary_thresholds: Sequence[float] = (0.3, 0.5)
    ) -> "PromptResults":
        """Empty results that count at these thresholds."""
        return cls(
            SegmentationCounts(thresholds),
            SegmentationCounts(thresholds),
            BoundaryScores(boundary_thresholds),
            PresenceScores(thresholds),
        )

    def merge(self, other: "PromptResults") -> "PromptResults":
        """Take over another process's results and return self."""
        self.counts.merge(other.counts)
        self.image_counts.merge(other.image_counts)
        self.boundary.merge(other.boundary)
        self.presence.merge(other.presence)
        self.samples += other.samples
        self.presence_subsets += other.presence_subsets
        return self

    def to_arrays(self) -> Arrays:
        """All of it, to be sent to another process."""
        parts = [under(name, getattr(self, name).to_arrays()) for name in _COUNTED]
        texts = {"samples": pack(self.samples), "presence_subsets": pack(self.presence_subsets)}
        return {name: array for part in (*parts, texts) for name, array in part.items()}

    def filled(self, arrays: Mapping[str, np.ndarray]) -> "PromptResults":
        """Results at the same thresholds that hold what another process sent."""
        samples = unpack(arrays["samples"])
        for sample in samples:
            sample["example"] = None if sample["example"] is None else tuple(sample["example"])
        return PromptResults(
            *(getattr(self, name).filled(below(name, arrays)) for name in _COUNTED),
            samples,
            [tuple(subsets) for subsets in unpack(arrays["presence_subsets"])],
        )

    def in_order(self) -> "PromptResults":
        """The same results with samples in order of rows and phrases, whichever process counted them."""

        def place(n: int) -> tuple:
            sample = self.samples[n]
            return sample["row"], sample["phrase_number"], sample["phrase_id"]

        order = sorted(range(len(self.samples)), key=place)
        return PromptResults(
            self.counts.select(order),
            self.image_counts.select(order),
            self.boundary.select(order),
            self.presence,
            [self.samples[n] for n in order],
            self.presence_subsets,
        )

    def subsets(self) -> list[str]:
        """The names that queries bear, sorted, after "all"."""
        return [ALL, *sorted({name for subsets in self.presence_subsets for name in subsets})]

    def summary(self, at: Iterable[float] = (0.3, 0.5), arithmetic: str = "default") -> dict[str, dict]:
        """Numbers of each subset: subset -> those of `SegmentationCounts.compute` and `BoundaryScores.compute`, of
        PhraseCut's evaluator as `phrasecut_T`, and of `PresenceScores.compute` as `presence`.
        """
        return {subset: self._numbers(subset, tuple(at), arithmetic) for subset in self.subsets()}

    def _numbers(self, subset: str, at: tuple[float, ...], arithmetic: str) -> dict:
        chosen = [n for n, sample in enumerate(self.samples) if subset in (ALL, *sample["subsets"])]
        asked = [n for n, subsets in enumerate(self.presence_subsets) if subset in (ALL, *subsets)]
        numbers: dict = {"samples": 0, "classes": 0}
        if chosen:
            numbers = self.counts.select(chosen).compute(arithmetic, at) | self.boundary.select(chosen).compute()
            for threshold in at:
                numbers[f"phrasecut_{threshold:g}"] = phrasecut_numbers(self.image_counts.select(chosen), threshold)
        numbers["presence"] = self.presence.select(asked).compute(at)
        return numbers


@dataclass(frozen=True)
class Evaluation:
    """What a protocol gives, whichever it is.

    Attributes:
        benchmark: the protocol's name.
        settings: how it was run, as plain values.
        summary: group (kind of prompt, say) -> subset -> numbers.
        results: kind of prompt -> what was counted, for curves, samples and comparisons; of the protocols that keep it.
        rows: what was asked about; of the protocols that keep `results` the rows that their samples are of.
        probabilities: of the protocol of visual prompts: way of showing an object ("plain image" too) -> of each object
            the probability of its true name.
    """

    benchmark: str
    settings: dict
    summary: dict[str, dict[str, dict]]
    results: dict[str, PromptResults] = field(default_factory=dict)
    rows: Sequence[dict] | None = field(default=None, repr=False)
    probabilities: Mapping[str, Sequence[float]] = field(default_factory=dict, repr=False)
