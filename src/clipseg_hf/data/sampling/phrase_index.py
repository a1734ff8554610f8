"""Which images share a phrase: where supports and negatives come from.

The index is made over the rows that are there, so that it stays true after a filter. Rows of the same picture
(`rows/pictures.py`) are about one image: none is an example for another, and what one says is true of all.
"""

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from itertools import islice

import numpy as np
import torch

from clipseg_hf.data.rows.pictures import number_pictures
from clipseg_hf.data.vocabulary.phrases import concept_key, phrase_key
from clipseg_hf.processing.masks.rle import is_empty

_TRIES = 16  # draws for a negative before all phrases are looked through


class PhraseIndex:
    """All phrases of some rows, and where they occur.

    Phrases that differ in case or blanks alone are the same. An occurrence is a pair (row, phrase_number): the place
    in `rows`, and in that row's `phrases`. Entries of a row with one phrase are asked as one, under the first's number.

    Args:
        rows: a sequence of rows (see `rows.py`): a `datasets.Dataset` or a list; the words are read, and as much of
            the images as tells which are the same.

    Attributes:
        phrases: the different phrases, as first spelled, in order of their first occurrence.
        counts, different: (number of rows,) int64, how many phrases each row has, and how many that differ.
        pictures: (number of rows,) int64, the first row that shows the same picture, see `number_pictures`.
    """

    def __init__(self, rows):
        self.phrases: list[str] = []
        self._phrase_ids: dict[str, int] = {}
        self._concept_ids: dict[str, int] = {}
        counts, phrases, concepts, shown, is_first = [], [], [], [], []
        for entries in _entries(rows):
            counts.append(len(entries))
            first: dict[int, int] = {}  # phrase -> its first occurrence in the row
            for phrase, name, runs in entries:
                number, occurrence = self._phrase_id(phrase), len(phrases)
                phrases.append(number)
                is_first.append(first.setdefault(number, occurrence) == occurrence)
                concepts.append(self._concept_ids.setdefault(concept_key(name or phrase), len(self._concept_ids)))
                shown.append(not is_empty(runs))
                shown[first[number]] |= shown[occurrence]  # what several mark, the first stands for
        # Flat arrays, not lists of pairs: small for PhraseCut's 345,000 phrases, and never copied to forked workers.
        self.counts = np.asarray(counts, dtype=np.int64)
        self._start = np.concatenate(([0], np.cumsum(self.counts)))  # row -> its first occurrence
        self._row = np.repeat(np.arange(len(counts)), self.counts)  # occurrence -> row
        self._phrase = np.asarray(phrases, dtype=np.int32)  # occurrence -> phrase
        self._concept = np.asarray(concepts, dtype=np.int32)  # occurrence -> concept
        self._is_first = np.asarray(is_first, dtype=bool)  # occurrence -> whether no other of its row comes before it
        self._shown = np.asarray(shown, dtype=bool) & self._is_first  # occurrence -> whether it can be an example
        self.pictures = number_pictures(rows)
        self._shared: dict[int, list[int]] = {}  # picture -> its rows, where there are several
        for row in np.flatnonzero(self.pictures != np.arange(len(counts))).tolist():
            picture = int(self.pictures[row])
            self._shared.setdefault(picture, [picture]).append(row)
        self.different = np.bincount(self._row[self._is_first], minlength=len(counts))
        self._by_phrase = np.argsort(self._phrase, kind="stable")  # occurrences, by phrase, then by row
        self._first = np.searchsorted(self._phrase[self._by_phrase], np.arange(len(self.phrases) + 1))

    def __len__(self) -> int:
        """How many different phrases there are."""
        return len(self.phrases)

    def __iter__(self) -> Iterator[str]:
        return iter(self.phrases)

    def __contains__(self, phrase: str) -> bool:
        return phrase_key(phrase) in self._phrase_ids

    def __getitem__(self, phrase: str) -> list[tuple[int, int]]:
        """All (row, phrase_number) of a phrase, in order of the rows.

        Raises:
            KeyError: no row has the phrase.
        """
        return [self._place(occurrence) for occurrence in self._occurrences(phrase)]

    def numbers(self, row: int) -> list[int]:
        """The phrase_number of each phrase of a row, of those that stand there several times the first."""
        return np.flatnonzero(self._is_first[self._start[row] : self._start[row + 1]]).tolist()

    def is_true_of(self, phrase: str, row: int) -> bool:
        """Whether the rows of a row's picture say that it shows this: they have the phrase, or their names have the
        phrase's name (in singular or plural)."""
        if phrase in self:
            return any(self._is_true(occurrence, row) for occurrence in self._occurrences(phrase))
        return self._concept_ids.get(concept_key(phrase)) in self._concept[self._own(row)]

    def draw_support(self, phrase: str, row: int, generator: torch.Generator) -> tuple[int, int] | None:
        """Draw an occurrence of a phrase in another image than `row`, each image as probable as the others. Those whose
        mask is empty show nothing, and are not drawn.

        Returns:
            (row, phrase_number), or None where no other image shows the phrase.
        """
        if phrase not in self:
            return None
        occurrences = self._occurrences(phrase)
        is_other = self.pictures[self._row[occurrences]] != self.pictures[row]
        others = occurrences[self._shown[occurrences] & is_other]
        return self._place(others[_below(len(others), generator)]) if len(others) else None

    def draw_negative(self, row: int, generator: torch.Generator, without: Collection[str] = ()) -> str | None:
        """Draw a phrase of other rows that is not true of this one, in proportion to how often phrases occur.

        The original asks only for another string; here it must not be one of the picture's phrases, nor its name among
        the picture's names (in singular or plural), whichever row has them.

        Args:
            without: phrases that are not wanted either.

        Returns:
            The phrase, or None where every phrase is true of the row.
        """
        unwanted = [self._phrase_ids[key] for key in map(phrase_key, without) if key in self._phrase_ids]
        for _ in range(_TRIES if len(self._phrase) else 0):
            occurrence = _below(len(self._phrase), generator)
            if self._phrase[occurrence] not in unwanted and not self._is_true(occurrence, row):
                return self.phrases[self._phrase[occurrence]]
        own = self._own(row)
        banned = np.isin(self._phrase, [*self._phrase[own], *unwanted]) | np.isin(self._concept, self._concept[own])
        allowed = np.flatnonzero(~banned)
        return self.phrases[self._phrase[allowed[_below(len(allowed), generator)]]] if len(allowed) else None

    def _phrase_id(self, phrase: str) -> int:
        key = phrase_key(phrase)
        if key not in self._phrase_ids:
            self._phrase_ids[key] = len(self.phrases)
            self.phrases.append(phrase)
        return self._phrase_ids[key]

    def _occurrences(self, phrase: str) -> np.ndarray:
        key = phrase_key(phrase)
        if key not in self._phrase_ids:
            near = get_close_matches(key, self._phrase_ids, n=1)
            hint = f"; did you mean {self.phrases[self._phrase_ids[near[0]]]!r}?" if near else "."
            raise KeyError(f"No row has the phrase {phrase!r}{hint}")
        phrase_id = self._phrase_ids[key]
        return self._by_phrase[self._first[phrase_id] : self._first[phrase_id + 1]]

    def _own(self, row: int) -> np.ndarray:
        """The occurrences on a row's picture."""
        rows = self._shared.get(int(self.pictures[row]), [row])
        return np.concatenate([np.arange(self._start[n], self._start[n + 1]) for n in rows])

    def _is_true(self, occurrence: int, row: int) -> bool:
        own = self._own(row)
        return bool(
            (self._phrase[own] == self._phrase[occurrence]).any()
            or (self._concept[own] == self._concept[occurrence]).any()
        )

    def _place(self, occurrence: int) -> tuple[int, int]:
        row = int(self._row[occurrence])
        return row, int(occurrence - self._start[row])


def _below(limit: int, generator: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))


def _entries(rows) -> Iterator[list[tuple[str, str, str]]]:
    """For each row the (phrase, name, counts of the mask) of its phrases, without touching an image."""
    if hasattr(rows, "select_columns"):  # a datasets.Dataset: by columns, several times faster
        import pyarrow.compute as pc

        for table in rows.select_columns(["phrases"]).with_format("arrow").iter(batch_size=1000):
            for chunk in table["phrases"].chunks:
                lengths = pc.fill_null(pc.list_value_length(chunk), 0).to_pylist()
                entries = pc.list_flatten(chunk)
                columns = [pc.struct_field(entries, key).to_pylist() for key in ("phrase", "name", ["mask", "counts"])]
                values = zip(*columns, strict=True)
                for length in lengths:
                    yield list(islice(values, length))
    else:
        for i in range(len(rows)):
            yield [(entry["phrase"], entry.get("name"), entry["mask"]["counts"]) for entry in rows[i]["phrases"]]
