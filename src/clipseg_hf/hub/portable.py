"""What may leave this machine: files of harmless kinds, in which no path of it is named."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from clipseg_hf.evaluation.reports.report import short_name

TEXTS = (".json", ".md", ".yaml", ".py", ".txt")
SUFFIXES = (*TEXTS, ".safetensors", ".onnx", ".parquet", ".png", ".jpg")
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def portable(value: Any) -> Any:
    """Plain values as they mean the same elsewhere: of a path that only this machine has, its name is kept."""
    if isinstance(value, Mapping):
        return {key: portable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [portable(item) for item in value]
    return _portable_text(value) if isinstance(value, str) else value


def _portable_text(text: str) -> str:
    if _WINDOWS.match(text):
        return PureWindowsPath(text).name
    path = PurePosixPath(text.removeprefix("file://"))
    if path.is_absolute():
        return short_name(str(path))
    return path.name if text.startswith("~") or ".." in path.parts else text


def clean_json(path: Path) -> None:
    """Write a JSON file anew with `portable` values, if that changes any."""
    given = json.loads(path.read_text(encoding="utf-8"))
    cleaned = portable(given)
    if cleaned != given:
        path.write_text(json.dumps(cleaned, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def file_names(folder: Path) -> list[str]:
    """All files in it, as the Hub names them."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def refuse_private(folder: Path, *places: str | Path) -> None:
    """Refuse files that could run code as they are loaded, or that name a folder of this machine.

    Args:
        folder: what is to be published.
        places: folders of this machine, besides the home folder and the working one.

    Raises:
        ValueError: names the file, and what is wrong with it.
    """
    named = {f"{Path(place).resolve()}".rstrip("/\\") for place in (Path.home(), Path.cwd(), *places)}
    named = {place.encode() for place in named if len(Path(place).parts) > 1}
    for name in file_names(folder):
        path = folder / name
        if path.suffix not in SUFFIXES:
            raise ValueError(f"{name} is not published: what is has one of the endings {', '.join(SUFFIXES)}.")
        for text in _texts_of(path):
            for place in named:
                if re.search(rb"(?<![\w.~-])" + re.escape(place) + rb"(?![\w.-])", text):  # no part of an address
                    raise ValueError(
                        f"{name} names {place.decode()}, a folder of this machine, which nobody else should read: take "
                        "it out of the file that it comes from."
                    )


def _texts_of(path: Path) -> Iterator[bytes]:
    """What a person could read in a file, weights and pixels apart."""
    if path.suffix in (*TEXTS, ".onnx"):
        yield path.read_bytes()
    elif path.suffix == ".safetensors":
        with open(path, "rb") as file:
            yield file.read(int.from_bytes(file.read(8), "little"))
    elif path.suffix == ".parquet":
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path) as file:
            yield b"\n".join((file.metadata.metadata or {}).values())
            columns = [file.schema.column(number) for number in range(len(file.schema))]
            texts = [column.path for column in columns if column.logical_type.type == "STRING"]
            for batch in file.iter_batches(batch_size=1000, columns=texts):
                yield json.dumps(batch.to_pylist(), ensure_ascii=False).encode()
