"""What is done to the words of a phrase: templates around it, left and right, and when two of them say the same."""

import re

PREFIXES = (
    "a photo of a {}.",
    "a photograph of a {}.",
    "an image of a {}.",
    "{}.",
    "a cropped photo of a {}.",
    "a good photo of a {}.",
    "a photo of one {}.",
    "a bad photo of a {}.",
    "a photo of the {}.",
)
"""The templates that PhraseCut+ draws from (the original's `prompt_shuffle+` list)."""

_OTHER_SIDE = {"left": "right", "right": "left", "leftmost": "rightmost", "rightmost": "leftmost"}
_SIDES = re.compile(rf"\b({'|'.join(_OTHER_SIDE)})\b", re.IGNORECASE)


def phrase_key(phrase: str) -> str:
    """The form in which phrases are compared: without case and superfluous blanks."""
    return " ".join(phrase.casefold().split())


def concept_key(name: str) -> str:
    """The form in which the names of things are compared: `phrase_key`, in the singular.

    Plurals are cut by rule ("dogs" -> "dog", "berries" -> "berry", "boxes" -> "box"). The result serves comparison
    only, it need not be a word.
    """
    words = phrase_key(name).split()
    if words:
        words[-1] = _singular(words[-1])
    return " ".join(words)


def swap_sides(phrase: str) -> str:
    """Exchange the words left and right, as a mirrored image asks for. Other words ("bright") stay."""
    return _SIDES.sub(_swap_word, phrase)


def _swap_word(match: re.Match) -> str:
    word = match.group()
    other = _OTHER_SIDE[word.lower()]
    if word.isupper():
        return other.upper()
    return other.capitalize() if word[0].isupper() else other


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    if len(word) > 2 and word.endswith("s") and not word.endswith(("ss", "us")):
        return word[:-1]
    return word
