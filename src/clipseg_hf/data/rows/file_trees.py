"""One way to list and read the files of a directory, a zip file and a tar file, wherever a data set happens to be."""

import errno
import os
import shutil
import stat
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path, PurePath, PurePosixPath
from typing import IO

from clipseg_hf._text_files import require_regular
from clipseg_hf.data.rows.fingerprints import digest

LARGEST_IMAGE = 1 << 30
"""Bytes; a file of an archive that says it unpacks to more is no image, but meant to fill the memory."""

MOST_WAYS = 100
"""By which links may lead to one folder; where folders link to one another, there are more than can be followed."""

_NOWHERE = (errno.ENOENT, errno.ELOOP)
_COMPRESSED_TAR = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


def open_tree(path: str | os.PathLike, unpack_dir: str | os.PathLike) -> "FileTree":
    """Open a directory, .zip or .tar as it is.

    Args:
        path: The directory or archive.
        unpack_dir: Where files are unpacked that have to be: compressed tar files as a whole (they cannot be read
            at random), and single files that `local_file` is asked for.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it is neither a directory nor an archive that can be read, or an archive that reaches out of itself.
    """
    path = Path(path).expanduser().absolute()
    if path.is_dir():
        return DirectoryTree(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; expected a directory, a .zip or a .tar file.")
    require_regular(path)
    with _reading(path):
        is_zip, is_tar = zipfile.is_zipfile(path), tarfile.is_tarfile(path)
    if is_zip:
        return ZipTree(path, unpack_dir)
    if not is_tar:
        raise ValueError(f"{path} is neither a directory nor a zip or tar file that can be read: is it cut off?")
    if path.name.endswith(_COMPRESSED_TAR):
        return DirectoryTree(_unpack(path, Path(unpack_dir)))
    return TarTree(path, unpack_dir)


class FileTree(ABC):
    """The files under one root, as they were when first looked at. Names are relative, with forward slashes."""

    def __init__(self, root: Path):
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All files, sorted."""
        return tuple(sorted(self._versions))

    @cached_property
    def fingerprint(self) -> str:
        """Another one where a file was added, taken away or changed (by its size, and its time or checksum)."""
        return digest(repr(sorted(self._versions.items())))

    @abstractmethod
    def image(self, name: str) -> dict[str, str | bytes | None]:
        """The file as `datasets.Image` keeps it: a path where there is one, else the bytes."""

    @abstractmethod
    def local_file(self, name: str) -> Path:
        """Where the file can be opened, unpacked there if need be."""

    @cached_property
    def _versions(self) -> dict[str, tuple]:
        """By name, what tells that a file has changed."""
        versions = self._list()
        for name in versions:
            if PurePath(name).is_absolute() or PurePath(name).drive or ".." in PurePath(name).parts:
                raise ValueError(f"{self} holds {name!r}, which would lie outside of it: do not trust it.")
            if not name.isascii() and name != name.encode("utf-8", "replace").decode("utf-8"):
                raise ValueError(f"{self} holds {name!r}, whose name is not in UTF-8: rename that file.")
        return versions

    @abstractmethod
    def _list(self) -> dict[str, tuple]:
        """The same as it is found, not checked yet."""


class DirectoryTree(FileTree):
    """The files below a directory; links are followed, but not in circles. Devices and pipes are no files."""

    def image(self, name: str) -> dict[str, str | bytes | None]:
        return {"path": str(self.root / name), "bytes": None}

    def local_file(self, name: str) -> Path:
        return self.root / name

    def _list(self) -> dict[str, tuple]:
        versions, ways = {}, Counter()
        pending = [(str(self.root), "", (_identity(os.stat(self.root)),))]  # with all folders around it
        while pending:
            directory, prefix, around = pending.pop()
            for entry in os.scandir(directory):
                found = _stat(entry)
                if found is None:
                    continue
                if stat.S_ISREG(found.st_mode):
                    versions[prefix + entry.name] = (found.st_size, found.st_mtime_ns)
                elif stat.S_ISDIR(found.st_mode) and _identity(found) not in around:
                    pending.append((entry.path, f"{prefix}{entry.name}/", (*around, _identity(found))))
                    ways[_identity(found)] += 1
                    if ways[_identity(found)] > MOST_WAYS:
                        raise ValueError(f"{self} has more than {MOST_WAYS} ways to {entry.path}: too many links.")
        return versions


def _stat(entry: os.DirEntry) -> os.stat_result | None:
    """Of what an entry is or leads to; None for a link to nowhere or to itself."""
    try:
        return entry.stat()
    except OSError as error:
        if error.errno in _NOWHERE:
            return None
        raise


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


class _Archive(FileTree):
    """What zip and tar have in common: files come as bytes, and single ones are copied out where a path is needed."""

    def __init__(self, root: Path, unpack_dir: str | os.PathLike):
        super().__init__(root)
        self.unpack_dir = Path(unpack_dir)

    def image(self, name: str) -> dict[str, str | bytes | None]:
        """The file's bytes; none where the archive is damaged there, or unpacks to more than memory should hold."""
        size, content = self._versions[name][0], b""
        if size <= LARGEST_IMAGE:
            with suppress(ValueError), _reading(self.root), self._open(name) as file:
                content = file.read(size)
        return {"path": PurePosixPath(name).name, "bytes": content}

    def local_file(self, name: str) -> Path:
        target = self.unpack_dir / self.fingerprint / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f"{target.name}.{os.getpid()}.incomplete")
            with _reading(self.root), self._open(name) as source, open(partial, "wb") as copy:
                _copy(source, copy, self._versions[name][0])
            partial.replace(target)
        return target

    @abstractmethod
    def _open(self, name: str) -> IO[bytes]:
        """A binary file that is at the first byte of this one."""


class ZipTree(_Archive):
    """The files of a zip file."""

    def _list(self) -> dict[str, tuple]:
        with _reading(self.root), zipfile.ZipFile(self.root) as archive:
            return {entry.filename: (entry.file_size, entry.CRC) for entry in archive.infolist() if not entry.is_dir()}

    def _open(self, name: str) -> IO[bytes]:
        # Reading the list of files takes long in a large archive, so it stays open; but no two processes may share it.
        if getattr(self, "_opened_by", None) != os.getpid():
            self._archive, self._opened_by = zipfile.ZipFile(self.root), os.getpid()
        return self._archive.open(name)

    def __getstate__(self) -> dict:
        return {key: value for key, value in self.__dict__.items() if key not in ("_archive", "_opened_by")}


class TarTree(_Archive):
    """The files of a tar file that is not compressed."""

    def _list(self) -> dict[str, tuple]:
        with _reading(self.root), tarfile.open(self.root) as archive:  # (size, time, where the file's bytes start)
            return {entry.name: (entry.size, entry.mtime, entry.offset_data) for entry in archive if entry.isfile()}

    def _open(self, name: str) -> IO[bytes]:
        file = open(self.root, "rb")  # noqa: SIM115 - the caller closes it
        file.seek(self._versions[name][2])
        return file


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """The many ways in which reading an archive fails -> one that names it. Of the disk's own failures, a disk that is
    full among them, nothing is changed."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise ValueError(
            f"{path} cannot be read ({type(error).__name__}: {error}): is it damaged or cut off, or not to be trusted?"
        ) from error


def _copy(source, target, size: int) -> None:
    while size > 0:
        piece = source.read(min(size, 1 << 20))
        if not piece:
            raise ValueError(f"{source.name} ends {size} bytes too early: is it cut off?")
        target.write(piece)
        size -= len(piece)


def _unpack(path: Path, unpack_dir: Path) -> Path:
    """Unpack a compressed tar file once; what an interrupted attempt left does not count."""
    stat = path.stat()
    target = unpack_dir / digest(str(path), str(stat.st_size), str(stat.st_mtime_ns))
    if not target.exists():
        partial = target.with_name(f"{target.name}.{os.getpid()}.incomplete")
        shutil.rmtree(partial, ignore_errors=True)
        with _reading(path), tarfile.open(path) as archive:
            archive.extractall(partial, filter="data")
        partial.rename(target)
    return target
