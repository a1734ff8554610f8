"""Arrays in half precision, kept in a memory-mapped file from one run to the next, and shared by processes."""

import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

logger = logging.getLogger(__name__)

MISSING, THERE, BROKEN = 0, 1, 2


class KeptArrays:
    """`count` float16 arrays of one shape, each with a flag that says whether it is there, and what it was made of.

    Args:
        folder: where the files lie, one sub-folder for each name and key.
        name: what the arrays are.
        key: all that they depend on, as JSON. Files made with another key are not touched; damaged ones are made anew.
        count, shape: how many arrays, and their shape.

    Raises:
        OSError: the disk has no room for them.
    """

    def __init__(self, folder: Path, name: str, key: dict, count: int, shape: tuple[int, ...]):
        text = json.dumps(key | {"count": count, "shape": shape}, sort_keys=True)
        key = json.loads(text)  # as it will be read again
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.folder = Path(folder) / f"{name}-{digest}"
        if not self._fits(key):
            if self.folder.exists():
                logger.warning("%s is stale or damaged, and is made anew.", self.folder)
                shutil.rmtree(self.folder)
            self._create(key)
        self.arrays = np.memmap(self.folder / "arrays.f16", np.float16, "r+", shape=(count, *shape))
        self.flags = np.memmap(self.folder / "flags.u8", np.uint8, "r+", shape=(count,))
        self.sources = np.memmap(self.folder / "sources.u64", np.uint64, "r+", shape=(count,))

    def refresh(self, sources: np.ndarray) -> None:
        """Forget what was made of something else than what is there now, and that something could not be made.

        Args:
            sources: (count,) uint64, fingerprints of what the arrays are made of.
        """
        stale = (self.sources != sources) | (self.flags == BROKEN)
        self.flags[stale] = MISSING  # before the sources, so that a process killed here leaves nothing that is wrong
        self.sources[stale] = sources[stale]

    def put(self, numbers, arrays: np.ndarray) -> None:
        """Keep some arrays. The flags follow the arrays, so that a process killed here leaves nothing half."""
        self.arrays[numbers] = arrays
        self.flags[numbers] = THERE

    def _fits(self, key: dict) -> bool:
        sizes = _sizes(key)
        try:
            stored = json.loads((self.folder / "key.json").read_text(encoding="utf-8"))
            return stored == key and all((self.folder / name).stat().st_size == size for name, size in sizes.items())
        except (OSError, ValueError):
            return False

    def _create(self, key: dict) -> None:
        sizes = _sizes(key)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=self.folder.parent, prefix=".new-"))
        try:
            for name, size in sizes.items():
                _reserve(aside / name, size)
            (aside / "key.json").write_text(json.dumps(key, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            shutil.rmtree(aside)
            free = shutil.disk_usage(self.folder.parent).free
            raise OSError(
                f"{self.folder} needs {sum(sizes.values()) / 1e9:.1f} GB, but the disk has {free / 1e9:.1f} GB left "
                f"({error}): choose another cache_dir, or turn this cache off."
            ) from error
        try:
            os.rename(aside, self.folder)
        except OSError:  # another process was faster
            shutil.rmtree(aside)
            if not self._fits(key):
                raise


def _sizes(key: dict) -> dict[str, int]:
    count = key["count"]
    return {"arrays.f16": 2 * count * int(np.prod(key["shape"])), "flags.u8": count, "sources.u64": 8 * count}


def _reserve(path: Path, size: int) -> None:
    """A file of zeros whose room on the disk is its own: where a memory-mapped file finds the disk full, the process is
    killed without a word."""
    with open(path, "wb") as stream:
        if size > shutil.disk_usage(path.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        stream.truncate(size)
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, size)
