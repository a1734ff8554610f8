"""Is what `datasets` reads from the files what was meant?"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import datasets

from clipseg_hf.data.rows.fingerprints import digest, digest_bytes, digest_file
from clipseg_hf.data.rows.row_images import undecoded


def row_digests(rows: datasets.Dataset | datasets.IterableDataset) -> Iterator[str]:
    """For each row 16 digits that change with any value of it and with any byte of its images, but not with the names
    of their files."""
    rows = undecoded(rows)
    images = [name for name, feature in rows.features.items() if isinstance(feature, datasets.Image)]
    for row in rows:
        values = {name: value for name, value in row.items() if name not in images}
        yield digest(json.dumps(values, sort_keys=True), *(_content(row[name]) for name in images))


def _content(image: Mapping[str, Any] | None) -> str:
    if image is None:
        return ""
    return digest_file(image["path"]) if image["bytes"] is None else digest_bytes(image["bytes"])


def check_reading(folder: Path, splits: Mapping[str, Iterable[dict]]) -> None:
    """Read a published data set's folder as a user streams it, and compare it row by row with what was to be written.

    Args:
        folder: with the card that says which file is of which split.
        splits: the rows that were written.

    Raises:
        ValueError: they differ; names the split, and the row.
    """
    found = datasets.load_dataset_builder(str(folder)).info.splits or {}
    if list(found) != list(splits):
        raise ValueError(
            f"The splits that are read back are {', '.join(found)}, not {', '.join(splits)}. Nothing was uploaded."
        )
    for name, rows in splits.items():
        read = datasets.load_dataset(str(folder), split=name, streaming=True)
        if undecoded(read).features != undecoded(rows).features:
            raise ValueError(f"The columns of {name} that are read back are other ones. Nothing was uploaded.")
        for number, (one, other) in enumerate(zip_longest(row_digests(read), row_digests(rows))):
            if one != other:
                raise ValueError(
                    f"Row {number} of {name} that is read back differs from the one that was to be written. Did an "
                    "image file change meanwhile? Nothing was uploaded."
                )
