"""Files by the paths that another tool or machine wrote: with backslashes, a drive, `..`, or from a root not here."""

import posixpath
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

_DRIVE = re.compile(r"^[A-Za-z]:")


class Found(NamedTuple):
    """The files that a path may mean, none or one if all is well, and whether it had to be read as a foreign one."""

    names: list[str]
    is_foreign: bool = False


class FileFinder:
    """One rule for all paths: the file itself; else those whose path ends as the longest tail that any ends in.

    Args:
        names: The files of a folder, relative to it. Nothing else is ever found.
    """

    def __init__(self, names: Iterable[str]):
        self._by_name: dict[str, list[str]] = {}
        for name in names:
            self._by_name.setdefault(PurePosixPath(name).name, []).append(name)

    def find(self, wanted: str, folder: str = "", within: str = "") -> Found:
        """Find a file.

        Args:
            wanted: Its path.
            folder: What the path should be relative to.
            within: Where else it may be.
        """
        plain = posixpath.normpath(posixpath.join(folder, wanted))
        if plain in self._by_name.get(PurePosixPath(plain).name, ()):
            return Found([plain])
        parts = _parts(wanted)
        prefix = within and f"{within.rstrip('/')}/"
        candidates = [name for name in self._by_name.get(parts[-1], ()) if name.startswith(prefix)] if parts else []
        for length in range(len(parts), 0, -1):
            tail = "/" + "/".join(parts[-length:])
            matches = [name for name in candidates if f"/{name}".endswith(tail)]
            if matches:
                return Found(matches, is_foreign=tail != f"/{wanted}")
        return Found([])


def last_part(path: str) -> str:
    """The name of a file, whichever way its path is written."""
    return (_parts(path) or [""])[-1]


def _parts(path: str) -> list[str]:
    parts: list[str] = []
    for part in _DRIVE.sub("", path).replace("\\", "/").split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return parts
