"""A list in JSON whose entries wait in a temporary file, so that memory does not grow with them."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any


class SpooledList:
    """Entries are written as they come; the file is gone with the list, or with the process.

    Args:
        folder: for the file: where the list is to go, as other places may be too small.
    """

    def __init__(self, folder: Path):
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", dir=folder)  # noqa: SIM115
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, entry: Any) -> None:
        """Add an entry, which `json.dumps` takes."""
        self._file.write((", " if self._count else "[") + json.dumps(entry, ensure_ascii=False))
        self._count += 1

    def write_to(self, out: IO[str]) -> None:
        """Write the list, once, and let go of its entries."""
        self._file.seek(0)
        shutil.copyfileobj(self._file, out)
        out.write("]" if self._count else "[]")
        self._file.close()
