"""The rows of a run in its shards: Parquet files that are there as a whole or not at all."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from clipseg_hf._output_files import write_whole

SHARDS = "shards"
_BOX = pyarrow.list_(pyarrow.int32())
_OBJECT = pyarrow.struct(
    [("box", _BOX), ("area", pyarrow.int64()), ("score", pyarrow.float64()), ("rle", pyarrow.string())]
)
SCHEMA = pyarrow.schema(
    [
        ("image", pyarrow.string()),
        ("height", pyarrow.int32()),
        ("width", pyarrow.int32()),
        ("label", pyarrow.string()),
        ("score", pyarrow.float64()),
        ("presence", pyarrow.float64()),
        ("is_present", pyarrow.bool_()),
        ("threshold", pyarrow.float64()),
        ("presence_threshold", pyarrow.float64()),
        ("box", _BOX),
        ("area", pyarrow.int64()),
        ("rle", pyarrow.string()),
        ("objects", pyarrow.list_(_OBJECT)),
        ("error", pyarrow.string()),
    ]
)
"""One row for each picture and prompt, found or not; of a picture that cannot be read one row, which says why."""


def shard_file(folder: Path, number: int) -> Path:
    """Where shard `number` of a run is."""
    return folder / SHARDS / f"{number:06d}.parquet"


def shard_range(number: int, size: int, count: int) -> range:
    """The numbers of the pictures in a shard, of `count` in all."""
    return range(number * size, min((number + 1) * size, count))


def missing_shards(folder: Path, total: int) -> list[int]:
    """Which of the shards are still to be made."""
    there = set(os.listdir(folder / SHARDS)) if (folder / SHARDS).is_dir() else set()
    return [number for number in range(total) if shard_file(folder, number).name not in there]


def write_shard(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows, all of them or none."""
    path.parent.mkdir(exist_ok=True)
    table = pyarrow.Table.from_pylist(list(rows), schema=SCHEMA)
    write_whole(path, lambda draft: pyarrow.parquet.write_table(table, draft, compression="zstd"))


def found_rows(image: str, found: dict[str, Any], presence_threshold: float) -> list[dict[str, Any]]:
    """The rows of a picture, from what `Segmentation.to_dict(objects=True)` says."""
    same = {"image": image, "height": found["height"], "width": found["width"]}
    return [
        same
        | {name: entry[name] for name in ("score", "presence", "is_present", "threshold", "box", "area")}
        | {
            "label": entry["prompt"],
            "presence_threshold": presence_threshold,
            "rle": entry["rle"]["counts"],
            "objects": [part | {"rle": part["rle"]["counts"]} for part in entry["objects"]],
        }
        for entry in found["prompts"]
    ]


def read_rows(folder: str | os.PathLike, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a run that is complete, or of the shards that it has, in the order of its pictures and prompts.

    Args:
        folder: where `clipseg-hf label` wrote to.
        columns: what is read of each row; None: all of it.

    Yields:
        `image`, `height`, `width`, `label`, `score`, `presence`, `is_present`, the thresholds of both, `box` (x, y,
        width, height), `area`, `rle` (the counts of COCO's code; its size is [height, width]), `objects` (the connected
        parts, with a box, area, score and rle each), and `error`: None, or why the picture could not be read.

    Raises:
        FileNotFoundError: there is no run in the folder.
    """
    if not Path(folder, SHARDS).is_dir():
        raise FileNotFoundError(f"{folder} holds no run of `clipseg-hf label`: there is no {SHARDS}/ in it.")
    for path in sorted(Path(folder, SHARDS).glob("*.parquet")):
        if not path.name.startswith("."):
            yield from pyarrow.parquet.read_table(path, columns=columns).to_pylist()
