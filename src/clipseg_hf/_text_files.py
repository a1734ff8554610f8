"""Text files as people write them, on Windows, too: with a byte order mark, with any line ends; JSON and YAML in them.

What cannot be read is a ValueError that names the file, whichever way a parser fails on it.
"""

import codecs
import json
import os
import reprlib
import stat
from pathlib import Path
from typing import Any

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 120

_OTHERS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # begins as UTF-16's does, so it is asked first
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def read_text(path: str | os.PathLike) -> str:
    """A text file's content in UTF-8, without a byte order mark, each line ended by "\\n".

    Raises:
        ValueError: it is in another encoding; names the file, and where it can be told, which. Or it is no file, but a
            device or a pipe, whose end may never come.
    """
    require_regular(path)
    data = Path(path).read_bytes()
    start = text_start(data, path)
    try:
        text = data[start:].decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 at byte {start + error.start}: {error.reason}. Save it as UTF-8."
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def text_start(head: bytes, path: str | os.PathLike) -> int:
    """At which byte of a UTF-8 file its text begins: behind the byte order mark, if there is one.

    Args:
        head: the first bytes of the file, four or more where it has so many.
        path: what to call the file in errors.

    Raises:
        ValueError: it is UTF-16 or UTF-32.
    """
    encoding = next((name for mark, name in _OTHERS.items() if head.startswith(mark)), None)
    if encoding is None and len(head) >= 2 and 0 in head[:2] and any(head[:2]):  # the first letter, without a mark
        encoding = "UTF-16"
    if encoding is not None:
        raise ValueError(f"{path} is in {encoding}. Save it as UTF-8.")
    return len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0


def require_regular(path: str | os.PathLike) -> None:
    """Refuse to read from a device or a named pipe.

    Raises:
        ValueError: it is one.
    """
    if is_special(path):
        raise ValueError(f"{path} is a device or a pipe, expected a file.")


def is_special(path: str | os.PathLike) -> bool:
    """Whether something is there that is neither a file nor a folder."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # nothing is there, or nothing can be
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def parse_json(text: str | bytes, where: str | os.PathLike) -> Any:
    """What a JSON text says.

    Args:
        where: what to call it in errors.

    Raises:
        ValueError: it is not valid JSON, or nested too deep, or has a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if "\n" in error.doc else ""
        raise ValueError(f"{where} is not valid JSON, {line}column {error.colno}: {error.msg}.") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is JSON that cannot be read: {error}.") from None


def parse_yaml(text: str, where: str | os.PathLike) -> Any:
    """What a YAML text says.

    Args:
        where: what to call it in errors.

    Raises:
        ValueError: it is not valid YAML, or holds a date or number that does not exist.
    """
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ValueError(f"{where} is not valid YAML: {error}") from error


def short_repr(value: Any) -> str:
    """What a value is, for errors: never longer than a few lines, however large or deep it is."""
    try:
        return _REPR.repr(value)
    except ValueError:  # Python writes no numbers of more than some thousand digits
        return f"a very large {type(value).__name__}"
