"""Folders that are whole or not there: written aside, with a manifest of checksums, then renamed into place."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MANIFEST = "manifest.json"
_ASIDE, _OLD = ".writing", ".old"


class BrokenFolder(ValueError):
    """A folder is torn, changed, or was not written by `write_whole`."""


@contextmanager
def write_whole(path: Path, **facts) -> Iterator[Path]:
    """Write a folder so that it appears all at once, replacing one of the same name.

    Args:
        path: the folder.
        facts: kept in the manifest beside the checksums, as JSON.

    Yields:
        Where to write its files. If that fails, nothing has happened.
    """
    aside, old = path.with_name(path.name + _ASIDE), path.with_name(path.name + _OLD)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
        files = {str(file.relative_to(aside)): _checksum(file) for file in _files(aside)}
        (aside / MANIFEST).write_text(json.dumps({"facts": facts, "files": files}, indent=1) + "\n", encoding="utf-8")
        for file in [*_files(aside), aside]:
            _to_disk(file)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    if path.exists():  # a folder cannot be renamed onto another; `recover` mends what is cut off in between
        shutil.rmtree(old, ignore_errors=True)
        os.rename(path, old)
    os.rename(aside, path)
    _to_disk(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def read_manifest(path: Path) -> dict:
    """The facts in a folder's manifest, after checking every file.

    Raises:
        BrokenFolder: there is no manifest, or a file is missing or differs; the message names it.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        facts, files = manifest["facts"], manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenFolder(
            f"{path} is not a checkpoint written here: it has no readable {MANIFEST} ({error}). "
            "Is it the output of another program, or was it copied in part?"
        ) from error
    for name, expected in files.items():
        found = _checksum(path / name) if (path / name).is_file() else None
        if found != expected:
            state = "is missing" if found is None else f"has {found['bytes']} bytes of {expected['bytes']}, or others"
            raise BrokenFolder(f"{path} is torn: its {name} {state} than when it was written.")
    return facts


def recover(parent: Path) -> None:
    """Clean up after a process that was killed while it wrote: drop what is unfinished, bring back what was moved."""
    for aside in parent.glob(f"*{_ASIDE}"):
        shutil.rmtree(aside, ignore_errors=True)
    for old in parent.glob(f"*{_OLD}"):
        path = old.with_name(old.name.removesuffix(_OLD))
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(old, path)


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _checksum(file: Path) -> dict:
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return {"bytes": file.stat().st_size, "sha256": digest.hexdigest()}


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
