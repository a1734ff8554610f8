"""What a reader may do with files of anybody's making: read them or say in our words why not, soon, and no others."""

import os
import resource
import signal
import stat
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import clipseg_hf

SECONDS = 30
BYTES = 3 << 30
OUR_KINDS = (ValueError, TypeError, OSError, ImportError)  # as the command line tells them
PACKAGE = os.path.dirname(os.path.realpath(clipseg_hf.__file__))

_OF_PYTHON = tuple(
    os.path.realpath(place)
    for place in {sys.prefix, sys.base_prefix, os.path.dirname(os.__file__), PACKAGE, os.path.dirname(__file__)}
)
_OF_THE_SYSTEM = ("/proc/", "/sys/", "/usr/share/zoneinfo", "/usr/lib/ssl", "/etc/ssl", "/etc/mime.types")
_CHANGES = {"os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink", "os.truncate", "os.chmod"}
_PROGRAMS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "socket.getaddrinfo"}

_watch: "_Watch | None" = None


class TookTooLongError(BaseException):
    """A reader that hangs; no reader catches it."""


class NotOursError(AssertionError):
    """A message that does not say which file or field is wrong."""


class _Watch:
    """Collects what is opened, written or run and should not be."""

    def __init__(self, allowed: Sequence[str | os.PathLike]):
        self.allowed = (*_OF_PYTHON, *(os.path.realpath(place) for place in allowed))
        self.found: list[str] = []
        self._is_busy = False

    def __call__(self, event: str, arguments: tuple) -> None:
        if self._is_busy:
            return
        self._is_busy = True
        try:
            if event in _PROGRAMS:
                self.found.append(f"{event} {arguments}")
            elif event == "open" or event in _CHANGES:
                for path in arguments[: 2 if event in ("os.rename", "os.link") else 1]:
                    if isinstance(path, (str, bytes)):
                        self._check(event, os.fsdecode(path))
        finally:
            self._is_busy = False

    def _check(self, event: str, path: str) -> None:
        real = os.path.realpath(path)
        if real == "/dev/null":
            return
        is_allowed = any(real == place or real.startswith(place.rstrip("/") + "/") for place in self.allowed)
        if not is_allowed and not real.startswith(_OF_THE_SYSTEM):
            self.found.append(f"{event} {path}")
            return
        try:
            mode = os.stat(real).st_mode
        except OSError:
            return
        if event == "open" and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            self.found.append(f"{event} {path}, which is a device or a pipe")


def _hook(event: str, arguments: tuple) -> None:
    if _watch is not None:
        _watch(event, arguments)


sys.addaudithook(_hook)


def check(read: Callable[[], Any], folder: Path, names: Sequence[str] = (), allowed: Sequence[str] = ()) -> str:
    """Read, and see whether what happens may happen.

    Args:
        read: the reader on its case.
        folder: where the case lies; the reader may read and write here.
        names: what a message may name beside the case's files (fields, keys of a command line).
        allowed: further files and folders that it may open, because its input names them as somebody's own.

    Returns:
        "" for a success, or the message.

    Raises:
        Exception: what the reader raised, if it is none of our errors.
        NotOursError: a message that names neither file nor field.
        AssertionError: it opened other files, or took too long.
    """
    try:
        with _watched([folder, tempfile.gettempdir() + "/pymp-", *allowed]), _bounded():
            read()
    except OUR_KINDS as error:
        if not is_ours(error):
            raise
        message = str(error)
        parts = [str(folder), *names, *(entry.name for entry in folder.rglob("*"))]
        if not any(part in message for part in parts):
            raise NotOursError(f"names no file: {type(error).__name__}: {message}") from error
        return message
    except TookTooLongError as error:
        raise AssertionError(f"not done after {SECONDS} s") from error
    return ""


def is_ours(error: BaseException) -> bool:
    """Whether the package raised an error itself, or it is one of the interpreter's that name their file."""
    if isinstance(error, OSError) and error.filename is not None:
        return True
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and frames[-1][0].f_code.co_filename.startswith(PACKAGE)


@contextmanager
def _watched(allowed: Sequence[str | os.PathLike]) -> Iterator[None]:
    global _watch
    watch = _watch = _Watch(allowed)
    try:
        yield
    finally:
        _watch = None
    assert not watch.found, f"touched what is not its own: {watch.found}"


@contextmanager
def _bounded() -> Iterator[None]:
    """Stop what takes too long, and let allocations fail that are beyond measure."""

    def stop(*_: Any) -> None:
        raise TookTooLongError

    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    handler = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, before[1]))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.signal(signal.SIGALRM, handler)
