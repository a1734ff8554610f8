"""The images of a data set, in whatever layout `clipseg_hf.data` knows."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from clipseg_hf.data.rows.row_images import undecoded
from clipseg_hf.data.rows.row_source import IMAGE_SUFFIXES, shorten

if TYPE_CHECKING:
    import datasets
    import pyarrow

DATA_SUFFIXES = (".json", ".yaml", ".yml", ".xml", ".parquet")
_ROWS_AT_ONCE = 1000  # whose names are read together; their pictures stay on disk


def images_of(data: str, column: str = "image", split: str | None = None) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The images of a data set, split by split in the order of its rows: a name, and what reads it in its turn.

    Args:
        data: a folder or file that `recognise` knows, a `.parquet` file, a folder of them, or a name on the Hub.
        column: the images, where columns have names of their own.
        split: take this one alone.

    Returns:
        An image that is a file is called by its path, any other as `DATA/SPLIT-00000012`, by its number there. Of an
        annotated data set those that can be used are taken; the builder of its rows tells of the others.

    Raises:
        ValueError: it is no data set that is known, or there is no such column or split.
    """
    seen = set()  # two rows may be of one file
    for name, rows in _rows_of(data, column, split).items():
        column, start = rows.column_names[0], 0
        for table in rows.with_format("arrow").iter(batch_size=_ROWS_AT_ONCE):
            for number, path in enumerate(_paths(table[column].combine_chunks()), start):
                if path is None:
                    yield f"{data}/{name}-{number:08d}", partial(_image, rows, number, column)
                elif path not in seen:
                    seen.add(path)
                    yield path, partial(str, path)
            start += len(table)


def image_column(data: str, column: str, splits: "dict[str, datasets.Dataset]") -> "dict[str, datasets.Dataset]":
    """The column of images of each split, as bytes or paths.

    Raises:
        ValueError: there is no such column.
    """
    for rows in splits.values():
        if column not in rows.column_names:
            raise ValueError(
                f"{data} has no column {column!r}: name that of the images. It has {shorten(rows.column_names)}."
            )
    return {split: undecoded(rows.select_columns(column)) for split, rows in splits.items()}


def _paths(images: "pyarrow.Array") -> list[str | None]:
    """The paths of images that are files, None of others."""
    if images.type.num_fields == 0:  # texts, whatever they say
        return [None] * len(images)
    paths, are_files = images.field("path").to_pylist(), images.field("bytes").is_null().to_pylist()
    return [path if is_file and path else None for path, is_file in zip(paths, are_files, strict=True)]


def _image(rows: "datasets.Dataset", number: int, column: str) -> Any:
    return rows[number][column]


def is_hub_name(name: str) -> bool:
    """Whether this is a name on the Hub, and no path."""
    from clipseg_hf.data.sources.loading import is_hub_name

    return is_hub_name(name)


def _rows_of(data: str, column: str, split: str | None) -> "dict[str, datasets.Dataset]":
    from clipseg_hf.data.parquet_files import splits_of
    from clipseg_hf.data.sources.columns import load_data
    from clipseg_hf.data.sources.loading import load_segmentation_dataset

    if not _has_columns(data):
        return image_column(data, "image", splits_of(load_segmentation_dataset(data, split)))
    splits = load_data(data)
    if split is not None and split not in splits:
        raise ValueError(f"{data} has no split {split!r}; it has {', '.join(splits)}.")
    return image_column(data, column, splits if split is None else {split: splits[split]})


def _has_columns(data: str) -> bool:
    from clipseg_hf.data.sources.loading import recognise

    try:
        return recognise(data) == "columns"
    except FileNotFoundError as error:
        raise ValueError(
            f"The folder {data} holds no images ({', '.join(IMAGE_SUFFIXES)}), nor a data set that is known: "
            f"`clipseg-hf inspect {data}` says which are. For the images in folders below, give {data}/**/*.jpg."
        ) from error
