"""Rows as Parquet files that hold the images, too, so that nothing of them is left on the machine that made them."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
from datasets.table import embed_table_storage

BYTES_PER_FILE = 500_000_000
_ROWS_AT_ONCE = 64  # whose images are in memory together


def save_parquet(
    data: datasets.Dataset | datasets.DatasetDict,
    directory: str | os.PathLike,
    *,
    card: str | None = None,
    license_text: str | None = None,
    bytes_per_file: int = BYTES_PER_FILE,
) -> list[Path]:
    """Write rows as Parquet files that hold the images, to be read by `datasets.load_dataset(directory)`.

    Args:
        data: The rows, or several splits of them.
        directory: Gets `data/<split>-00000-of-00001.parquet`, and where they are given `README.md` and `LICENSE.txt`.
        card: The data set's card, see `phrasecut_card`.
        license_text: What goes into `LICENSE.txt`.
        bytes_per_file: About how large the files get.

    Returns:
        The Parquet files.

    Raises:
        FileExistsError: the directory holds Parquet files already; they would be read together with the new ones.
        FileNotFoundError: an image that the rows point to is gone.
    """
    directory = Path(directory)
    if left := sorted(directory.rglob("*.parquet")):
        raise FileExistsError(f"{left[0]} is there already: choose another directory, or delete it first.")
    (directory / "data").mkdir(parents=True, exist_ok=True)
    files = []
    for split, rows in splits_of(data).items():
        parts = list(_write_parts(rows, directory / "data", split, bytes_per_file))
        for number, part in enumerate(parts):
            files.append(part.rename(directory / "data" / f"{split}-{number:05d}-of-{len(parts):05d}.parquet"))
    for name, text in (("README.md", card), ("LICENSE.txt", license_text)):
        if text is not None:
            (directory / name).write_text(text, encoding="utf-8")
    return files


def splits_of(data: datasets.Dataset | datasets.DatasetDict) -> dict[str, datasets.Dataset]:
    """The splits of a data set by name; one alone is called as what it was loaded from, or "train"."""
    if isinstance(data, datasets.DatasetDict):
        return dict(data)
    name = re.match(r"\w+", str(data.split or "train"))[0]  # without a slice, "train[:100]"
    return {name: data}


def _write_parts(rows: datasets.Dataset, directory: Path, split: str, bytes_per_file: int) -> Iterator[Path]:
    """Write files of about a size, under names that nobody reads as a data set's yet."""
    schema = rows.features.arrow_schema
    tables = (embed_table_storage(table.cast(schema)) for table in _tables(rows))
    table = next(tables, schema.empty_table())
    number = 0
    while table is not None:
        part = directory / f"{split}.{number}.incomplete"
        number, size = number + 1, 0
        with pyarrow.parquet.ParquetWriter(part, schema) as writer:
            while table is not None and size < bytes_per_file:
                writer.write_table(table)
                size += table.nbytes
                table = next(tables, None)
        yield part


def _tables(rows: datasets.Dataset) -> Iterator[pyarrow.Table]:
    return rows.with_format("arrow").iter(batch_size=_ROWS_AT_ONCE)
