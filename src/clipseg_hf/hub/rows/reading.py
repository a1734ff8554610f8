"""Rows that are to be published, from wherever they are."""

import logging
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import datasets

from clipseg_hf._counted import counted
from clipseg_hf.data.inspection import find_broken
from clipseg_hf.data.parquet_files import splits_of
from clipseg_hf.data.phrasecut.phrasecut_plus import PhraseCutPlus
from clipseg_hf.data.phrasecut.phrasecut_samples import SAMPLE_FEATURES
from clipseg_hf.data.rows.flaws import EXAMPLES_KEPT, BuildSummary
from clipseg_hf.data.rows.row_builder import load_rows, splits_named, summary_of
from clipseg_hf.data.rows.row_source import shorten
from clipseg_hf.data.rows.rows import ROW_FEATURES
from clipseg_hf.data.sources.loading import open_segmentation_data

logger = logging.getLogger(__name__)

LICENSE = "LICENSE.txt"

Data = str | PathLike | datasets.Dataset | datasets.DatasetDict


@dataclass(frozen=True)
class PublishedRows:
    """Rows that are to be published.

    Attributes:
        splits: by name, all with these features.
        features: `ROW_FEATURES`, or `SAMPLE_FEATURES` where they are the samples of PhraseCut+, one phrase each.
        description: what their reader says of them.
        summary: what was left out of them, if that is known.
        place: the folder or file that they were read from, if there is one.
        license_text: what lies beside them as LICENSE.txt.
        broken: how many were left out besides, because an image cannot be decoded or is of another size than its masks.
    """

    splits: dict[str, datasets.Dataset]
    features: datasets.Features
    description: str
    summary: BuildSummary | None = None
    place: Path | None = None
    license_text: str | None = None
    broken: int = 0

    @property
    def are_samples(self) -> bool:
        return self.features == SAMPLE_FEATURES

    @property
    def are_phrasecut(self) -> bool:
        """Whether they are of PhraseCut's files."""
        return self.description.startswith("PhraseCut")


def read_rows(
    data: Data, *, split: str | None = None, plus: bool = False, num_proc: int | None = None, **options: Any
) -> PublishedRows:
    """Read what is to be published.

    Args:
        data: as for `load_segmentation_dataset`; or what `load_phrasecut_plus` gave.
        split: "train", "val", ...; None for all.
        plus: draw PhraseCut+ from PhraseCut's files, one row for each sample.
        num_proc: how many processes read.
        options: further ones of `load_segmentation_dataset`; with `plus`, of `PhraseCutPlus`.

    Raises:
        ValueError: `plus` of what is not PhraseCut's files, or no rows are left.
        TypeError: streamed rows.
        OSError, TypeError, ValueError: see `load_segmentation_dataset`.
    """
    if isinstance(data, (datasets.IterableDataset, datasets.IterableDatasetDict)):
        raise TypeError("Streamed rows cannot be counted and compared before they go up: load them without streaming.")
    in_memory = isinstance(data, (datasets.Dataset, datasets.DatasetDict))
    if plus:
        kind = options.pop("kind", "phrasecut")
        if in_memory or kind != "phrasecut":
            raise ValueError(
                f"plus draws PhraseCut+ from PhraseCut's files; got {'rows in memory' if in_memory else f'kind={kind}'}"
                ". Give the folder with refer_<split>.json, or leave plus out."
            )
        builder = PhraseCutPlus(data, "plus", only_splits=splits_named(split), **options)
        images = builder.config.source.images
        images.download_and_prepare(num_proc=num_proc)
        read, summary = load_rows(builder, split, num_proc=num_proc), images.summary
    elif in_memory and split is None and not options and _features_of(data) is not None:
        read, summary = data, summary_of(splits_of(data))
    else:
        builder = open_segmentation_data(data, only_splits=splits_named(split), **options)
        read = load_rows(builder, split, num_proc=num_proc)
        summary = builder.summary
    splits, features = splits_of(read), _features_of(read)
    told = (splits_of(data) if in_memory else splits).values()  # of rows in memory, what was said before a filter
    whole = {name: _without_broken(rows.with_format(None), features) for name, rows in splits.items()}
    if not any(len(rows) for rows in whole.values()):
        raise ValueError(f"There is nothing to publish: no split of {', '.join(splits)} has rows that can be used.")
    place = None if in_memory or not Path(data).expanduser().exists() else Path(data).expanduser()
    beside = place / LICENSE if place else None
    return PublishedRows(
        {name: rows for name, rows in whole.items() if len(rows)},
        features,
        (next(iter(told)).info.description or "").partition("\n\n")[0],
        summary,
        place,
        beside.read_text(encoding="utf-8") if beside and beside.is_file() else None,
        sum(len(splits[name]) - len(rows) for name, rows in whole.items()),
    )


def _without_broken(rows: datasets.Dataset, features: datasets.Features) -> datasets.Dataset:
    """The rows that others can use: of samples, those whose support can be used, too."""
    broken = find_broken(rows)
    if broken:
        logger.warning(
            "%s left out of what is published: %s.",
            counted(len(broken), "broken image"),
            shorten(list(broken.values()), EXAMPLES_KEPT),
        )
        names = set(rows.select(broken)["image_id"])
        supports = rows["support_image_id"] if "support_image_id" in features else [None] * len(rows)
        rows = rows.select([n for n, support in enumerate(supports) if n not in broken and support not in names])
    return rows if rows.features == features else rows.cast(features)


def _features_of(data: datasets.Dataset | datasets.DatasetDict) -> datasets.Features | None:
    """Which of the two kinds of rows these are, by the names of their columns."""
    names = [set(rows.column_names) for rows in splits_of(data).values()]
    return next((kind for kind in (ROW_FEATURES, SAMPLE_FEATURES) if all(one == set(kind) for one in names)), None)
