"""Tells entries that stand in a file twice from different ones that bear the same id."""

import json
from typing import Any, BinaryIO

from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.data.rows.json_stream import read_element


class Repeats:
    """Remembers the entries of a JSON file; of ids that come once, only the place is kept.

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
