"""Reads a JSON file that is one long list, or holds such, element by element, and says where each element stands.

PhraseCut's training annotations are a list of 310,000 tasks in one file of 344 MB, several GB once parsed. Knowing
where each task stands, a reader can group the tasks by image first and parse them when their image's turn comes.
"""

import json
from codecs import getincrementaldecoder
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from clipseg_hf._text_files import parse_json, text_start
from clipseg_hf.data.rows.fingerprints import digest

CHUNK_BYTES = 1 << 20
_LONGEST_TOKEN = 32  # what a chunk's end has cut off (a number, an escape) looks broken no further back than this
_AFTER_VALUE = frozenset(",] \t\r\n")


class Element(NamedTuple):
    """One element of the list: its value, and the half-open range of bytes where it stands in the file."""

    value: Any
    start: int
    end: int


def iterate_list(file: BinaryIO, name: str | Path, chunk_bytes: int = CHUNK_BYTES) -> Iterator[Element]:
    """Parse the elements of a JSON list one after the other; memory holds a chunk and one element.

    Args:
        file: Opened for reading bytes, at its start; UTF-8, with or without a byte order mark.
        name: What error messages call the file.
        chunk_bytes: How much is read at a time.

    Raises:
        ValueError: the file is not one JSON list; names the byte at which it breaks.
    """
    window = _Window(file, name, chunk_bytes)
    window.expect("[", "a list, which starts with '['")
    yield from _elements(window)


def iterate_members(
    file: BinaryIO, name: str | Path, wanted: Collection[str], chunk_bytes: int = CHUNK_BYTES
) -> Iterator[tuple[str, Element]]:
    """Parse the elements of those lists that are members of a JSON object, in the order of the file.

    Args:
        file, name, chunk_bytes: As for `iterate_list`.
        wanted: The members whose elements are given; the others are read over.

    Yields:
        The member's name and the element.

    Raises:
        ValueError: the file is not one JSON object; names the byte at which it breaks.
    """
    window = _Window(file, name, chunk_bytes)
    window.expect("{", "an object, which starts with '{'")
    is_open = window.next_character() != "}"
    while is_open:
        window.next_character()
        member = window.parse().value
        window.expect(":", "':' after a name")
        if window.next_character() == "[":
            window.skip()
            yield from ((member, element) for element in _elements(window) if member in wanted)
        else:
            window.parse()
        is_open = window.next_character() != "}"
        if is_open:
            window.expect(",", "',' or '}' after a member")


def _elements(window: "_Window") -> Iterator[Element]:
    """The elements of the list whose bracket has just been read, up to the closing one."""
    is_open = window.next_character() != "]"
    while is_open:
        window.next_character()
        yield window.parse()
        is_open = window.next_character() != "]"
        if is_open:
            window.expect(",", "',' or ']' after an element")
    window.skip()


def read_element(file: BinaryIO, start: int, end: int) -> Any:
    """Parse the element that `iterate_list` found at these bytes."""
    file.seek(start)
    return parse_json(file.read(end - start), f"{getattr(file, 'name', 'the file')}, byte {start}")


def json_ends(path: Path) -> tuple[bytes, bytes]:
    """A file's first character behind a byte order mark and blanks, and its first and last 64 KiB: what it looks like,
    even if it is in UTF-16 (which a reader then names). Of what is no file, a device whose end never comes, nothing."""
    if not path.is_file():
        return b"", b""
    with path.open("rb") as file:
        head = file.read(1 << 16)
        file.seek(max(0, path.stat().st_size - (1 << 16)))
        ends = (head + file.read(1 << 16)).replace(b"\0", b"")
    return head.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")[:1], ends


class Repeats:
    """Tells entries that stand in a file twice from different ones that bear the same id. Of one that comes once it
    keeps the place alone.

    Args:
        file: The file, opened for reading bytes once more.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self._places: dict[Any, tuple[int, int]] = {}
        self._contents: dict[Any, set[str]] = {}  # only of ids that came again

    def add(self, number: Any, entry: dict, place: tuple[int, int]) -> int | None:
        """How many others bore the entry's id; None where it was there before, just as it is.

        Args:
            number: The id.
            place: From which byte to which the entry stands.
        """
        if self._places.setdefault(number, place) is place:
            return 0
        if number not in self._contents:
            self._contents[number] = {_content(read_element(self._file, *self._places[number]))}
        seen, content = self._contents[number], _content(entry)
        if content in seen:
            return None
        seen.add(content)
        return len(seen) - 1


def _content(entry: dict) -> str:
    return digest(json.dumps(entry, sort_keys=True))


class _Window:
    """The part of a file between what has been consumed and what has been read."""

    def __init__(self, file: BinaryIO, name: str | Path, chunk_bytes: int):
        self._file, self._name, self._chunk_bytes = file, name, chunk_bytes
        self._decoder = getincrementaldecoder("utf-8")()
        self._parse = json.JSONDecoder().raw_decode
        self._text = ""
        self._position = 0  # in the text, of what has not been consumed
        self._byte = 0  # the same position in the file
        self._is_finished = False
        self._is_begun = False

    def next_character(self) -> str:
        """Step over white space; "" at the end of the file."""
        while True:
            while self._position < len(self._text) and self._text[self._position] in " \t\r\n":
                self.skip()
            if self._position < len(self._text):
                return self._text[self._position]
            if self._is_finished:
                return ""
            self._read(self._chunk_bytes)

    def expect(self, character: str, meaning: str) -> None:
        """Step over white space and this character; `meaning` is what the error says was expected."""
        found = self.next_character()
        if found != character:
            raise self.error(f"expected {meaning}, found {found!r}")
        self.skip()

    def skip(self) -> None:
        """Consume one character, one of those that structure JSON, which take one byte each."""
        self._position += 1
        self._byte += 1

    def parse(self) -> Element:
        """Parse and consume the value that starts here, reading on until it is whole."""
        size = self._chunk_bytes
        while True:
            try:
                value, end = self._parse(self._text, self._position)
            except json.JSONDecodeError as error:
                # A string is reported where it starts, anything else where it breaks off.
                is_string = error.msg.startswith("Unterminated string")
                is_cut_off = is_string or error.pos >= len(self._text) - _LONGEST_TOKEN
                if not is_cut_off or self._is_finished:
                    self._consume(error.pos)
                    what = "the string that starts there has no end" if is_string else error.msg
                    raise self.error(what, is_string) from None
            except (ValueError, RecursionError) as error:  # digits by the thousand, brackets in brackets
                raise self.error(str(error)) from None
            else:
                # Of a number at the chunk's end ("1", "1.", "1e"), only a part may have been parsed.
                is_whole = self._text[end : end + 1] in _AFTER_VALUE or len(self._text) - end >= _LONGEST_TOKEN
                if is_whole or self._is_finished:
                    start = self._byte
                    self._consume(end)
                    return Element(value, start, self._byte)
            self._read(size)
            size *= 2  # so that a long element is parsed a few times, not once for each chunk

    def error(self, what: str, is_cut_off: bool = False) -> ValueError:
        is_cut_off = is_cut_off or not self._text[self._position :].strip()
        hint = " The file ends there: was it cut off?" if is_cut_off else ""
        return ValueError(f"{self._name} is not valid JSON at byte {self._byte}: {what[0].lower() + what[1:]}.{hint}")

    def _consume(self, end: int) -> None:
        consumed = self._text[self._position : end]
        self._byte += len(consumed) if consumed.isascii() else len(consumed.encode())
        self._position = end

    def _read(self, size: int) -> None:
        data = self._file.read(size)
        self._is_finished = not data
        if not self._is_begun:
            self._is_begun = True
            data += self._file.read(4 - len(data)) if len(data) < 4 else b""  # as long as a byte order mark
            self._byte = text_start(data, self._name)
            data = data[self._byte :]
        try:
            more = self._decoder.decode(data, final=self._is_finished)
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{self._name} is not UTF-8 after byte {self._byte}: {error.reason}. Save it as UTF-8."
            ) from None
        self._text = self._text[self._position :] + more
        self._position = 0
