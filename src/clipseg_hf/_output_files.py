"""Files and folders that are written: nothing of others is touched, and what is there is whole."""

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any


def refuse_filled(folder: Path, advice: str = "name a new folder") -> None:
    """Refuse to write between what is there already.

    Args:
        folder: that is to be written into.
        advice: what to do, for the error.

    Raises:
        FileExistsError: the folder holds something.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; {advice}.")


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
