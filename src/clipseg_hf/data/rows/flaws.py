"""What can be wrong with a data set's files, what is done about it, and the summary that a build ends with."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clipseg_hf._counted import counted

EXAMPLES_KEPT = 5

NOT_AS_EXPECTED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading a field raises that holds something else than it should: no list, too large a number, ..."""


@dataclass(frozen=True)
class Flaw:
    """One kind of flaw: what it is, and what is done about it where `strict` is off.

    One that `is_common` is in sound data, too: it is told, but `strict` does not stop at it.
    """

    meaning: str
    policy: str
    is_common: bool = False


REPAIR = "left that polygon out"
SKIP_PHRASE = "left the phrase out"
SKIP_MASK = "left out what it would have shown"
SKIP_IMAGE = "left the image out"
SKIP_REPEAT = "left the repeat out"
KEPT_BOTH = "kept both"

FLAWS = {
    "known_wrong_size": Flaw("one of PhraseCut's 17 images whose annotation is of another size", SKIP_IMAGE),
    "missing_image": Flaw("the image file is not there", SKIP_IMAGE),
    "unreadable_image": Flaw("the image file cannot be opened as an image", SKIP_IMAGE),
    "unreadable_annotation": Flaw("the file that annotates the image cannot be read", SKIP_IMAGE),
    "image_size_differs": Flaw("the image has another size than its annotation says", SKIP_IMAGE),
    "foreign_path": Flaw("the path is of another folder or machine", "took the file that ends alike", is_common=True),
    "stored_frame": Flaw(
        "the annotation was made on the image as it is stored, not as its EXIF turns it",
        "turned it with the image",
        is_common=True,
    ),
    "unclear_frame": Flaw(
        "its EXIF turns the image, and the size does not tell whether the annotation was made before or after",
        "took it as made after",
        is_common=True,
    ),
    "no_annotation": Flaw("nothing is annotated in the image", SKIP_IMAGE, is_common=True),
    "missing_mask": Flaw("the mask file is not there", SKIP_MASK),
    "unreadable_mask": Flaw("the mask cannot be read", SKIP_MASK),
    "mask_size_differs": Flaw("the mask has another size than its image", SKIP_MASK),
    "unknown_label": Flaw("the mask holds a value that no class has", SKIP_MASK),
    "unknown_image": Flaw("the phrase belongs to an image that the list of images does not hold", SKIP_PHRASE),
    "no_outline": Flaw("a box, a point or a line shows no outline", SKIP_PHRASE, is_common=True),
    "malformed_entry": Flaw("the entry lacks a field, or a field holds something else than it should", SKIP_PHRASE),
    "duplicate_id": Flaw("the same entry was there before, with its id", SKIP_REPEAT),
    "reused_id": Flaw("the id was there before, with another content", KEPT_BOTH),
    "reused_image_id": Flaw("the id was there before, with another image; whose annotations are these?", SKIP_IMAGE),
    "empty_phrase": Flaw("the phrase has no words", SKIP_PHRASE),
    "empty_mask": Flaw("nothing of the mask lies in the image", SKIP_PHRASE),
    "short_polygon": Flaw("the polygon has fewer than 3 points", REPAIR),
    "outside_polygon": Flaw("the polygon lies outside of the image as a whole", REPAIR),
    "wild_polygon": Flaw("the polygon has a corner that is no number, or that is a million pixels away", REPAIR),
}
"""Every kind of flaw by name. Broken JSON and a wrong layout are not among them: they always stop the build.
(A polygon that reaches over the border is no flaw: it is cut off there.)"""


class FlawError(ValueError):
    """The first flaw of a build with `strict=True`."""


@dataclass
class BuildSummary:
    """Counts what a build made, mended and left out, with the first few examples of each.

    With `strict`, `note` raises `FlawError` instead of counting, but for flaws that are common.
    """

    strict: bool = False
    rows: int = 0
    phrases: int = 0
    flaws: Counter = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    filtered: Counter = field(default_factory=Counter)
    """Phrases that the caller's filters took out, by filter; and images that had no phrase left."""
    crowds: int = 0
    """Annotations of crowds, whose pixels do not count."""

    def note(self, flaw: str, where: str) -> None:
        """Count one flaw; `where` says which image, phrase or file it is, as a user would look for it."""
        if self.strict and not FLAWS[flaw].is_common:
            raise FlawError(
                f"{where}: {FLAWS[flaw].meaning} ({flaw}). strict=True stops at the first flaw; "
                f"without it, the build would have {FLAWS[flaw].policy}, counted it and gone on."
            )
        self.flaws[flaw] += 1
        examples = self.examples.setdefault(flaw, [])
        if len(examples) < EXAMPLES_KEPT:
            examples.append(where)

    def add(self, other: "BuildSummary") -> None:
        """Take in the counts of another part of the build."""
        self.rows += other.rows
        self.phrases += other.phrases
        self.crowds += other.crowds
        self.flaws.update(other.flaws)
        self.filtered.update(other.filtered)
        for flaw, examples in other.examples.items():
            mine = self.examples.setdefault(flaw, [])
            mine.extend(examples[: EXAMPLES_KEPT - len(mine)])

    def as_dict(self) -> dict[str, Any]:
        """The counts as plain values, for JSON."""
        return {
            "rows": self.rows,
            "phrases": self.phrases,
            "flaws": dict(self.flaws),
            "examples": self.examples,
            "filtered": dict(self.filtered),
            "crowds": self.crowds,
        }

    def save(self, path: str | Path) -> None:
        Path(path).write_text(json.dumps(self.as_dict(), indent=2), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "BuildSummary":
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        values["flaws"], values["filtered"] = Counter(values["flaws"]), Counter(values["filtered"])
        return cls(**values)

    def __str__(self) -> str:
        lines = [f"{counted(self.rows, 'row')} with {counted(self.phrases, 'phrase')}."]
        for flaw, count in self.flaws.most_common():
            kind, examples = FLAWS[flaw], self.examples[flaw]
            more = ", ..." if count > len(examples) else ""
            lines.append(f"  {count:,} x {flaw}: {kind.meaning}; {kind.policy} ({', '.join(examples)}{more})")
        lines.extend(f"  {count:,} x filtered out: {name}" for name, count in self.filtered.most_common())
        if self.crowds:
            lines.append(f"  {counted(self.crowds, 'crowd')} (iscrowd), whose pixels do not count")
        return "\n".join(lines)
