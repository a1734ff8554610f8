"""What a split of published rows holds, for its card."""

from dataclasses import dataclass

import datasets

from clipseg_hf._counted import counted
from clipseg_hf.data.inspection import inspect_rows
from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.data.rows.rows import only_columns
from clipseg_hf.evaluation.reports.report import fingerprint_rows
from clipseg_hf.hub.rows.checking import row_digests


@dataclass(frozen=True)
class SplitFacts:
    """What a split holds.

    Attributes:
        rows, images: how many, and how many that differ in their id.
        phrases, different_phrases: how many, and how many that differ.
        masks: how many that are not empty and differ within their image.
        fingerprint: changes with an id, a phrase or a mask; the one that reports and trainings name.
        details: more, as lines of text.
        size, stored: bytes in memory, and of its files.
    """

    rows: int
    images: int
    phrases: int
    different_phrases: int
    masks: int
    fingerprint: str
    details: str
    size: int = 0
    stored: int = 0


def count_rows(rows: datasets.Dataset) -> SplitFacts:
    """Count rows with `ROW_FEATURES`.

    Raises:
        ValueError: there is not one phrase.
    """
    found = inspect_rows(rows, check_images=False)
    names, masks = set(), 0
    for row in only_columns(rows, "image_id", "phrases"):
        names.add(row["image_id"])
        masks += len({entry["mask"]["counts"] for entry in row["phrases"]})
    return SplitFacts(
        rows=found.images,
        images=len(names),
        phrases=found.phrases,
        different_phrases=found.different_phrases,
        masks=masks - found.empty,
        fingerprint=fingerprint_rows(rows),
        details=str(found),
    )


def count_samples(rows: datasets.Dataset) -> SplitFacts:
    """Count the samples of PhraseCut+, rows with `SAMPLE_FEATURES`."""
    columns = only_columns(rows, "image_id", "phrase", "negative", "support_image_id")[:]
    negatives = sum(columns["negative"])
    supported = sum(name is not None for name in columns["support_image_id"])
    return SplitFacts(
        rows=len(rows),
        images=len(set(columns["image_id"])),
        phrases=len(rows),
        different_phrases=len(set(columns["phrase"])),
        masks=len(rows) - negatives,
        fingerprint=digest(*row_digests(rows)),
        details=f"{counted(negatives, 'sample')} whose phrase is not true of the image, {supported:,} with a support",
    )
