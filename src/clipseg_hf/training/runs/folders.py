"""Folders that are whole or not there: written aside, with a manifest of checksums, then renamed into place."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MANIFEST = "manifest.json"
_ASIDE, _OLD = ".writing", ".replaced"  # of hidden names, which nobody's own copies have


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

    Raises:
        FileExistsError: something of that name is there that was not written here; it stays.
    """
    refuse_foreign(path)
    aside, old = (path.with_name(f".{path.name}{end}") for end in (_ASIDE, _OLD))
    _remove(aside)
    aside.mkdir(parents=True)
    _write_manifest(aside, {}, {})  # from now on it is known as ours
    try:
        yield aside
        files = {str(file.relative_to(aside)): checksum(file) for file in _files(aside) if file.name != MANIFEST}
        _write_manifest(aside, facts, files)
        for file in [*_files(aside), aside]:
            _to_disk(file)
    except BaseException:
        _remove(aside)
        raise
    if path.exists():  # a folder cannot be renamed onto another; `recover` mends what is cut off in between
        _remove(old)
        os.rename(path, old)
    os.rename(aside, path)
    _to_disk(path.parent)
    _remove(old)


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
        found = checksum(path / name) if (path / name).is_file() else None
        if found != expected:
            state = "is missing" if found is None else f"has {found['bytes']} bytes of {expected['bytes']}, or others"
            raise BrokenFolder(f"{path} is torn: its {name} {state} than when it was written.")
    return facts


def is_written_here(path: Path) -> bool:
    """Whether a folder was written by `write_whole`, whole or not."""
    try:
        return {"facts", "files"} <= json.loads((path / MANIFEST).read_text(encoding="utf-8")).keys()
    except (OSError, ValueError, AttributeError):
        return False


def refuse_foreign(path: Path) -> None:
    """Refuse to put a folder in the place of what `write_whole` did not write.

    Raises:
        FileExistsError: the place is taken.
    """
    if os.path.lexists(path) and not is_written_here(path):
        raise FileExistsError(
            f"{path} would be written, but there is something of that name already, which no run wrote: it has no "
            f"readable {MANIFEST}. Move it, or choose another output_dir."
        )


def recover(parent: Path) -> None:
    """Clean up after a process that was killed while it wrote: drop what is unfinished, bring back what was moved.
    What was not written by `write_whole` stays as it is."""
    for aside in parent.glob(f".*{_ASIDE}"):
        _remove(aside)
    for old in parent.glob(f".*{_OLD}"):
        path = old.with_name(old.name.removeprefix(".").removesuffix(_OLD))
        if path.exists():
            _remove(old)
        elif is_written_here(old):
            os.rename(old, path)


def _remove(folder: Path) -> None:
    """Delete a folder of ours, its manifest last, so that a process killed here leaves no folder of nobody's."""
    if not is_written_here(folder):
        if folder.is_dir() and not any(file.name != f"{MANIFEST}{_ASIDE}" for file in folder.iterdir()):
            shutil.rmtree(folder)  # made, but not yet marked; or marked no more
        return
    for item in folder.iterdir():
        if item.name != MANIFEST:
            shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()
    (folder / MANIFEST).unlink()
    folder.rmdir()


def _write_manifest(folder: Path, facts: dict, files: dict) -> None:
    aside = folder / f"{MANIFEST}{_ASIDE}"
    aside.write_text(json.dumps({"facts": facts, "files": files}, indent=1) + "\n", encoding="utf-8")
    os.replace(aside, folder / MANIFEST)


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def checksum(file: Path) -> dict:
    """A file's size and SHA-256, as a manifest has them."""
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
