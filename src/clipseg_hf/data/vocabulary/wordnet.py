"""Reads the nouns of a WordNet dictionary: Princeton's files, as Debian's `wordnet-base` and nltk's data hold them."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

_SYNSET = re.compile(r"(?P<lemma>[^\s.][^\s]*)\.n\.(?P<sense>\d+)")
_FILES = ("index.noun", "data.noun", "noun.exc")


def find_wordnet() -> Path | None:
    """The directory of an installed WordNet: $WNSEARCHDIR, Debian's place, or nltk's data; None where there is none."""
    nltk_data = [*os.environ.get("NLTK_DATA", "").split(os.pathsep), "~/nltk_data", "/usr/share/nltk_data"]
    places = [os.environ.get("WNSEARCHDIR", ""), "/usr/share/wordnet"]
    places += [f"{place}/corpora/wordnet" for place in nltk_data if place]
    for place in places:
        directory = Path(place).expanduser()
        if place and all((directory / file).is_file() for file in _FILES):
            return directory
    return None


class WordNetNouns:
    """The nouns of a WordNet and what is below them.

    Args:
        directory: Holds `index.noun`, `data.noun` and `noun.exc`.

    Attributes:
        license: The text that stands at the head of the files.
        irregular: By a plural that follows no rule, its singulars.
    """

    def __init__(self, directory: str | os.PathLike):
        self._data = (Path(directory) / "data.noun").read_bytes()
        self._senses: dict[str, list[int]] = {}
        self.license = ""
        for line in (Path(directory) / "index.noun").read_text(encoding="utf-8").splitlines():
            if line.startswith(" "):  # "  7 Permission to use, copy, modify and distribute ..."
                self.license += " ".join(line.split()[1:]) + "\n"
            else:
                lemma, _, count, *rest = line.split()
                self._senses[lemma] = [int(offset) for offset in rest[-int(count) :]]
        self.irregular: dict[str, list[str]] = {}
        for line in (Path(directory) / "noun.exc").read_text(encoding="utf-8").splitlines():
            plural, *singular = line.split()
            self.irregular[plural] = singular

    def words_below(self, synset: str) -> list[str]:
        """All words for a synset and its hyponyms, however far down, sorted, with spaces in expressions.

        Args:
            synset: As nltk names them, "dog.n.01".

        Raises:
            ValueError: the name has another form, or no noun has such a sense.
        """
        match = _SYNSET.fullmatch(synset)
        if match is None:
            raise ValueError(f"A noun's synset is named like 'dog.n.01', got {synset!r}.")
        senses = self._senses.get(match["lemma"].lower(), [])
        if not 1 <= int(match["sense"]) <= len(senses):
            raise ValueError(f"WordNet has {len(senses)} senses of the noun {match['lemma']!r}; {synset!r} is not one.")
        words, pending, seen = set(), [senses[int(match["sense"]) - 1]], set()
        while pending:
            offset = pending.pop()
            if offset not in seen:
                seen.add(offset)
                lemmas, below = self._entry(offset)
                words.update(lemma.replace("_", " ") for lemma in lemmas)
                pending.extend(below)
        return sorted(words)

    def _entry(self, offset: int) -> tuple[list[str], list[int]]:
        """The lemmas of the synset at this byte, and the bytes of its hyponyms."""
        fields = iter(self._data[offset : self._data.index(b"|", offset)].decode().split())
        _skip(fields, 3)  # offset, file, part of speech
        lemmas = [_pair(fields)[0] for _ in range(int(next(fields), 16))]
        pointers = [(next(fields), next(fields), _pair(fields)) for _ in range(int(next(fields)))]
        return lemmas, [int(target) for symbol, target, _ in pointers if symbol == "~"]


def _skip(fields: Iterator[str], count: int) -> None:
    for _ in range(count):
        next(fields)


def _pair(fields: Iterator[str]) -> tuple[str, str]:
    return next(fields), next(fields)
