"""Files and folders that are written: nothing of others is touched, and what is there is whole."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def refuse_file(folder: str | os.PathLike, advice: str = "name a new folder") -> None:
    """Refuse to write into what is no folder, before there is something to write.

    Args:
        folder: that is to be written into; it may be missing, or filled.
        advice: what to do, for the error.

    Raises:
        FileExistsError: it is a file.
    """
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise FileExistsError(f"{folder} is a file; {advice}.")


def refuse_filled(folder: Path, advice: str = "name a new folder") -> None:
    """Refuse to write between what is there already.

    Args:
        folder: that is to be written into.
        advice: what to do, for the error.

    Raises:
        FileExistsError: the folder holds something, or is a file.
    """
    refuse_file(folder, advice)
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; {advice}.")


@contextmanager
def new_folder(folder: Path, advice: str = "name a new folder") -> Iterator[Path]:
    """A folder to write into; whatever fails or is interrupted in between leaves nothing there, and can be repeated.

    Args:
        folder: a new or empty one.
        advice: see `refuse_filled`.

    Yields:
        the folder.

    Raises:
        FileExistsError: see `refuse_filled`.
    """
    refuse_filled(folder, advice)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    except BaseException:
        with suppress(OSError):  # of what goes wrong, the first is told
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            for path in made:
                path.rmdir()
        raise


def write_whole(path: Path, write: Callable[[Path], Any]) -> Path:
    """A file appears at once, with all of its content, or not at all; whoever reads it never sees a part of it.

    Args:
        path: of the file. Of several processes, on several machines too, that write it at once, one wins.
        write: takes the path of a draft, beside the file, and writes it.

    Returns:
        the path.
    """
    draft = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.draft")
    write(draft)
    with draft.open("rb") as written:
        os.fsync(written.fileno())
    os.replace(draft, path)
    return path
