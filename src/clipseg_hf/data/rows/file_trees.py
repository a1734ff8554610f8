"""One way to list and read the files of a directory, a zip file and a tar file, wherever a data set happens to be."""

import os
import shutil
import tarfile
import zipfile
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO

from clipseg_hf.data.rows.fingerprints import digest

_COMPRESSED_TAR = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


def open_tree(path: str | os.PathLike, unpack_dir: str | os.PathLike) -> "FileTree":
    """Open a directory, .zip or .tar as it is.

    Args:
        path: The directory or archive.
        unpack_dir: Where files are unpacked that have to be: compressed tar files as a whole (they cannot be read
            at random), and single files that `local_file` is asked for.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it is neither a directory nor an archive that can be read.
    """
    path = Path(path).expanduser().absolute()
    if path.is_dir():
        return DirectoryTree(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; expected a directory, a .zip or a .tar file.")
    if zipfile.is_zipfile(path):
        return ZipTree(path, unpack_dir)
    if not tarfile.is_tarfile(path):
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

    @property
    @abstractmethod
    def _versions(self) -> dict[str, tuple]:
        """By name, what tells that a file has changed."""


class DirectoryTree(FileTree):
    """The files below a directory; links are followed."""

    def image(self, name: str) -> dict[str, str | bytes | None]:
        return {"path": str(self.root / name), "bytes": None}

    def local_file(self, name: str) -> Path:
        return self.root / name

    @cached_property
    def _versions(self) -> dict[str, tuple]:
        versions, pending = {}, [(self.root, "")]
        while pending:
            directory, prefix = pending.pop()
            for entry in os.scandir(directory):
                if entry.is_dir():
                    pending.append((entry.path, f"{prefix}{entry.name}/"))
                    continue
                with suppress(FileNotFoundError):  # a link to nowhere is no file
                    stat = entry.stat()
                    versions[prefix + entry.name] = (stat.st_size, stat.st_mtime_ns)
        return versions


class _Archive(FileTree):
    """What zip and tar have in common: files come as bytes, and single ones are copied out where a path is needed."""

    def __init__(self, root: Path, unpack_dir: str | os.PathLike):
        super().__init__(root)
        self.unpack_dir = Path(unpack_dir)

    def image(self, name: str) -> dict[str, str | bytes | None]:
        with self._open(name) as file:
            return {"path": PurePosixPath(name).name, "bytes": file.read(self._versions[name][0])}

    def local_file(self, name: str) -> Path:
        target = self.unpack_dir / self.fingerprint / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f"{target.name}.{os.getpid()}.incomplete")
            with self._open(name) as source, open(partial, "wb") as copy:
                _copy(source, copy, self._versions[name][0])
            partial.replace(target)
        return target

    @abstractmethod
    def _open(self, name: str) -> IO[bytes]:
        """A binary file that is at the first byte of this one."""


class ZipTree(_Archive):
    """The files of a zip file."""

    @cached_property
    def _versions(self) -> dict[str, tuple]:
        with zipfile.ZipFile(self.root) as archive:
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

    @cached_property
    def _versions(self) -> dict[str, tuple]:
        with tarfile.open(self.root) as archive:  # (size, time, where the file's bytes start)
            return {entry.name: (entry.size, entry.mtime, entry.offset_data) for entry in archive if entry.isfile()}

    def _open(self, name: str) -> IO[bytes]:
        file = open(self.root, "rb")  # noqa: SIM115 - the caller closes it
        file.seek(self._versions[name][2])
        return file


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
        with tarfile.open(path) as archive:
            archive.extractall(partial, filter="data")
        partial.rename(target)
    return target
