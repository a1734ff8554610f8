"""Rows that are to be published, from wherever they are."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import datasets

from clipseg_hf.data.parquet_files import splits_of
from clipseg_hf.data.phrasecut.phrasecut_plus import PhraseCutPlus
from clipseg_hf.data.phrasecut.phrasecut_samples import SAMPLE_FEATURES
from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.row_builder import load_rows, splits_named, summary_of
from clipseg_hf.data.rows.rows import ROW_FEATURES
from clipseg_hf.data.sources.loading import open_segmentation_data

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
    """

    splits: dict[str, datasets.Dataset]
    features: datasets.Features
    description: str
    summary: BuildSummary | None = None
    place: Path | None = None
    license_text: str | None = None

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
        OSError, TypeError: see `load_segmentation_dataset`.
    """
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
    if not any(len(rows) for rows in splits.values()):
        raise ValueError(f"There is nothing to publish: no split of {', '.join(splits)} has rows.")
    place = None if in_memory or not Path(data).expanduser().exists() else Path(data).expanduser()
    beside = place / LICENSE if place else None
    return PublishedRows(
        {
            name: rows.with_format(None) if rows.features == features else rows.with_format(None).cast(features)
            for name, rows in splits.items()
            if len(rows)
        },
        features,
        next(iter(splits.values())).info.description.partition("\n\n")[0],
        summary,
        place,
        beside.read_text(encoding="utf-8") if beside and beside.is_file() else None,
    )


def _features_of(data: datasets.Dataset | datasets.DatasetDict) -> datasets.Features | None:
    """Which of the two kinds of rows these are, by the names of their columns."""
    names = [set(rows.column_names) for rows in splits_of(data).values()]
    return next((kind for kind in (ROW_FEATURES, SAMPLE_FEATURES) if all(one == set(kind) for one in names)), None)
