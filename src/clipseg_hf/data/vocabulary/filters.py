"""Which phrases to train without: the paper's filters, for the rows of any source."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from clipseg_hf.data.vocabulary.concepts import WordMatcher, concept_words


@dataclass(frozen=True)
class PhraseFilter:
    """Takes phrases out of rows.

    Attributes:
        without_concepts: Drop phrases that name one of these, a synonym, or a kind of it, in singular or plural:
            "pascal", "unseen-4", "pascal5i-fold0", "cow", "furniture.n.01" ... (see `concepts.concept_words`).
        without_words: Drop phrases that hold one of these words or expressions, just as they stand.
        min_area: Drop phrases whose mask covers less than this share of the image, in [0, 1).
    """

    without_concepts: Sequence[str] = ()
    without_words: Sequence[str] = ()
    min_area: float = 0.0

    def __post_init__(self):
        for name in ("without_concepts", "without_words"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise TypeError(f"{name} takes several, got the text {value!r}: write {name}=({value!r},).")
            object.__setattr__(self, name, tuple(value))
        if not 0 <= self.min_area < 1:
            raise ValueError(f"min_area is a share of the image's area, in [0, 1), got {self.min_area}.")
        self._concepts  # noqa: B018 - an unknown concept is said at once, not in the middle of a build

    def reason(self, entry: dict) -> str | None:
        """Why an entry of a row's `phrases` is dropped, as a summary counts it; None where it stays."""
        for name, matcher in self._concepts.items():
            if matcher.find(entry["phrase"]) is not None:
                return f"names {name}"
        if self.without_words and (word := self._words.find(entry["phrase"])) is not None:
            return f"holds the word {word!r}"
        if self.min_area > 0 and _area(entry["mask"]) < self.min_area:
            return f"covers less than {self.min_area} of the image"
        return None

    @cached_property
    def _concepts(self) -> dict[str, WordMatcher]:
        return {concept: WordMatcher(concept_words(concept)) for concept in self.without_concepts}

    @cached_property
    def _words(self) -> WordMatcher:
        return WordMatcher(self.without_words, lemmatise=False)


def _area(mask: dict) -> float:
    from pycocotools import mask as coco

    height, width = mask["size"]
    return float(coco.area({"size": mask["size"], "counts": mask["counts"].encode()})) / (height * width)
