"""What a run is about: written once, and compared by whoever goes on with it."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from clipseg_hf._output_files import write_whole
from clipseg_hf._text_files import parse_json, read_text, short_repr
from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.labelling.pictures import Pictures
from clipseg_hf.modeling.layers.onednn import choices
from clipseg_hf.processing.masks.guided_filter import GuidedFilter
from clipseg_hf.processing.masks.operations import MaskOperations

MANIFEST, PICTURES = "run.json", "pictures.parquet"


@dataclass(frozen=True)
class Settings:
    """What decides the rows of a run.

    Attributes:
        model_digest: of weights, configuration and processor.
        prompts: as `parse_prompt` reads them.
        threshold: see `Segmenter`.
        operations: what is done to the masks.
        shard_size: pictures in a shard.
        guided_filter: see `Segmenter`.
    """

    model_digest: str
    prompts: tuple[str, ...]
    threshold: float | None = None
    operations: MaskOperations = field(default_factory=MaskOperations)
    shard_size: int = 64
    guided_filter: GuidedFilter | None = None


_NAMES = {"model_digest": "model", "shard_size": "number of pictures in a shard"}


def known_digest(folder: Path, model_files: str | None) -> str | None:
    """The `model_digest` of the run in a folder, if that was made with a model of these files."""
    if model_files is None or not (folder / MANIFEST).exists():
        return None
    earlier = parse_json(read_text(folder / MANIFEST), folder / MANIFEST)
    same = isinstance(earlier, dict) and earlier.get("model_files") == model_files
    return earlier.get("model_digest") if same else None


def start_or_go_on(
    folder: Path, settings: Settings, pictures: Pictures, model: str, model_files: str | None = None
) -> dict[str, bool]:
    """Write the manifest of a new run, or see that a run that is there is about the same.

    Args:
        model, model_files: what it is called, and what its files are, for `known_digest`.

    Returns:
        The code that multiplies matrices in this run, see `keep_choices`: whoever goes on rounds as it does.

    Raises:
        ValueError: it is about something else, which is named; or the folder holds other things.
    """
    now = json.loads(json.dumps(asdict(settings)))  # tuples are lists in JSON
    now["pictures"] = digest(*pictures.names, *pictures.stamps)
    file = folder / MANIFEST
    if not file.exists():
        # a run that was cut off before its manifest has left no more than the list of pictures, or a draft
        if folder.exists() and any(not path.name.startswith((".", PICTURES)) for path in folder.iterdir()):
            raise ValueError(f"{folder} holds other things than a run of `clipseg-hf label`: name a new folder.")
        folder.mkdir(parents=True, exist_ok=True)
        table = pyarrow.table({"image": pictures.names, "stamp": pictures.stamps})
        write_whole(folder / PICTURES, lambda draft: pyarrow.parquet.write_table(table, draft))
        code = choices()
        said = {"model": model, "model_files": model_files, **now, "matrix_code": code}
        content = json.dumps(said, indent=2, ensure_ascii=False) + "\n"
        write_whole(file, lambda draft: draft.write_text(content, encoding="utf-8"))
        return code
    earlier = parse_json(read_text(file), file)
    different = [name for name in now if not isinstance(earlier, dict) or earlier.get(name) != now[name]]
    if not different:
        return dict(earlier.get("matrix_code") or {})  # there is none in a run of an earlier version
    lines = [f"  {_NAMES.get(name, name)}: {_difference(name, earlier, now, folder, pictures)}" for name in different]
    raise ValueError(
        f"{folder} holds a run with other settings, and rows of both would be mixed up:\n" + "\n".join(lines) + "\n"
        "Give what it was started with to go on with it, or name a new folder."
    )


def _difference(name: str, earlier: Any, now: dict, folder: Path, pictures: Pictures) -> str:
    before = earlier.get(name) if isinstance(earlier, dict) else None
    if name == "prompts" and isinstance(before, list):
        gone, new = [p for p in before if p not in now[name]], [p for p in now[name] if p not in before]
        return _changes(gone, new) or "in another order"
    if name == "pictures":
        table = pyarrow.parquet.read_table(folder / PICTURES).to_pydict()
        old, new = (
            dict(zip(table["image"], table["stamp"], strict=True)),
            dict(zip(pictures.names, pictures.stamps, strict=True)),
        )
        changed = [f"{key} ({old[key]}, now {new[key]})" for key in new if key in old and old[key] != new[key]]
        return "; ".join(
            part
            for part in (
                _changes([key for key in old if key not in new], [key for key in new if key not in old]),
                f"changed: {_first(changed)}" if changed else "",
            )
            if part
        )
    if isinstance(before, dict) and isinstance(now[name], dict):
        return ", ".join(
            f"{key} {before.get(key)!r}, now {value!r}" for key, value in now[name].items() if before.get(key) != value
        )
    return f"{short_repr(before)}, now {short_repr(now[name])}"


def _changes(gone: list[str], new: list[str]) -> str:
    parts = (("gone", gone), ("new", new))
    return "; ".join(f"{word}: {_first(names)}" for word, names in parts if names)


def _first(names: list[str], limit: int = 3) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
