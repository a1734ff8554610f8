"""Text files as people write them, on Windows, too: with a byte order mark, with any line ends."""

import codecs
import os
from pathlib import Path

_OTHERS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # begins as UTF-16's does, so it is asked first
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def read_text(path: str | os.PathLike) -> str:
    """A text file's content in UTF-8, without a byte order mark, each line ended by "\\n".

    Raises:
        ValueError: it is in another encoding; names the file, and where it can be told, which.
    """
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
