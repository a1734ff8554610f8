"""What names a thing: the Pascal classes with all WordNet knows below them, and how to find them in a phrase.

The words come from `pascal_concepts.json`, which `examples/make_concept_words.py` made of WordNet 3.0, so that a
filter takes out the same phrases on every machine. An installed WordNet is read for other synsets only.
"""

import json
import re
from collections.abc import Iterable
from functools import cache
from importlib import resources

PASCAL_CLASSES = {
    "aeroplane": "aeroplane.n.01",
    "bicycle": "bicycle.n.01",
    "bird": "bird.n.01",
    "boat": "vessel.n.02",
    "bottle": "bottle.n.01",
    "bus": "bus.n.01",
    "car": "car.n.01",
    "cat": "cat.n.01",
    "chair": "chair.n.01",
    "cow": "cattle.n.01",
    "dining table": "table.n.02",
    "dog": "dog.n.01",
    "horse": "horse.n.01",
    "motorbike": "motorcycle.n.01",
    "person": "person.n.01",
    "potted plant": "pot_plant.n.01",
    "sheep": "sheep.n.01",
    "sofa": "sofa.n.01",
    "train": "train.n.01",
    "tv": "television.n.03",
}
"""The 20 classes in Pascal's order, each with the WordNet synset of which the original drops all hyponyms."""

PERSON_WORDS = ("person", "human", "man", "woman", "toddler", "baby", "body", "child", "infant")
"""For "person" the original has this list instead of WordNet's (where a person is also a king, a cook, a star ...).
"people", "boy" and "girl" are not in it; whoever wants none of them adds them to `without_words`."""

UNSEEN_ORDER = ("cow", "motorbike", "aeroplane", "sofa", "cat", "tv", "train", "bottle", "chair", "potted plant")
"""The zero-shot protocol's unseen classes: "unseen-4" are the first four."""

# fmt: off
GENERALISED_PROMPT_WORDS = (
    "drink", "drinks", "drinking", "sit", "sits", "sitting", "ride", "rides", "riding", "fly",
    "flies", "flying", "drive", "drives", "driving", "driven", "swim", "swims", "swimming",
    "wheel", "wheels", "leg", "legs", "ear", "ears",
)
# fmt: on
"""The words without which a model is trained that is to be tested on affordances, attributes and parts
(`without_words=GENERALISED_PROMPT_WORDS`)."""

_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_ENDINGS = (("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"))
_ENDINGS += (("men", "man"), ("ies", "y"))


def concept_classes(concept: str) -> tuple[str, ...]:
    """The Pascal classes that a concept stands for.

    Args:
        concept: "pascal" (all 20), "unseen-2" ... "unseen-10" (the zero-shot protocol), "pascal5i-fold0" ...
            "pascal5i-fold3" (the classes that the fold is tested on), or the name of one class.

    Raises:
        ValueError: it is none of these.
    """
    names = tuple(PASCAL_CLASSES)
    groups = {"pascal": names}
    groups |= {f"unseen-{count}": UNSEEN_ORDER[:count] for count in range(2, 11, 2)}
    groups |= {f"pascal5i-fold{fold}": names[5 * fold : 5 * fold + 5] for fold in range(4)}
    groups |= {name: (name,) for name in names}
    if concept not in groups:
        raise ValueError(
            f"Unknown concept {concept!r}: expected pascal, unseen-2, unseen-4, ... unseen-10, pascal5i-fold0 ... "
            f"pascal5i-fold3, one of the classes ({', '.join(names)}) or a WordNet noun like 'furniture.n.01'."
        )
    return groups[concept]


def concept_words(concept: str) -> tuple[str, ...]:
    """The words and expressions that name a concept, its synonyms and everything below it.

    Args:
        concept: As in `concept_classes`; or a WordNet synset ("furniture.n.01"), where a WordNet is installed.

    Raises:
        ValueError: the concept is not known.
        FileNotFoundError: it is a synset, and no WordNet is installed.
    """
    if ".n." in concept:
        from clipseg_hf.data.vocabulary.wordnet import WordNetNouns, find_wordnet

        directory = find_wordnet()
        if directory is None:
            raise FileNotFoundError(
                f"{concept!r} is looked up in WordNet, and none is installed. Install Debian's wordnet-base or nltk's "
                "data (python -m nltk.downloader wordnet, unpacked), or set WNSEARCHDIR to a WordNet's dict folder. "
                "The Pascal classes need none."
            )
        return tuple(WordNetNouns(directory).words_below(concept))
    return tuple(word for name in concept_classes(concept) for word in _words()["classes"][name])


class WordMatcher:
    """Finds words and expressions of several words in phrases.

    Args:
        words: What to look for; case, hyphens and underscores do not matter.
        lemmatise: Also find plurals, by WordNet's rules for nouns. Any reading counts: "saws" is found as "saw".
    """

    def __init__(self, words: Iterable[str], lemmatise: bool = True):
        self._lemmatise = lemmatise
        self._by_first: dict[str, list[tuple[str, ...]]] = {}
        for word in words:
            tokens = tokenize(word)
            if not tokens:
                raise ValueError(f"{word!r} has no letters: a word to look for was expected.")
            self._by_first.setdefault(tokens[0], []).append(tuple(tokens))

    def find(self, phrase: str) -> str | None:
        """The first of the words that the phrase holds, or None."""
        readings = [self._readings(token) for token in tokenize(phrase)]
        for start, firsts in enumerate(readings):
            for first in firsts:
                for wanted in self._by_first.get(first, ()):
                    window = readings[start : start + len(wanted)]
                    if len(window) == len(wanted) and all(w in r for w, r in zip(wanted, window, strict=True)):
                        return " ".join(wanted)
        return None

    def _readings(self, token: str) -> list[str]:
        return [token, *_singulars(token)] if self._lemmatise else [token]


def tokenize(phrase: str) -> list[str]:
    """The words of a phrase in lower case, without punctuation ("T.V." is "tv")."""
    return _TOKEN.findall(phrase.lower().replace(".", ""))


@cache
def _singulars(token: str) -> tuple[str, ...]:
    if token.endswith("ss"):
        return ()
    regular = [token[: -len(old)] + new for old, new in _ENDINGS if token.endswith(old) and len(token) > len(old)]
    return (*_words()["irregular"].get(token, ()), *regular)


@cache
def _words() -> dict:
    return json.loads(
        resources.files("clipseg_hf.data.vocabulary").joinpath("pascal_concepts.json").read_text(encoding="utf-8")
    )
