"""Prompts as people write them: strings by the grammar of `parse_prompt`, and a command line's lists."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from clipseg_hf.inference.prompts import Combination, Prompt
from clipseg_hf.processing.images import ImageLike

PromptLike = str | Prompt | Combination
OWN_SHARE = "own"  # of an example beside a text: the checkpoint's

_DEEPEST = 50  # far below what Python's stack holds, here and where prompts are answered
_TOKEN = re.compile(
    r"""\s*(?:
    "(?P<quoted>[^"]*)" | (?P<weight>\d+(?:\.\d*)?|\.\d+)\s*\*\s | (?P<sign>[|()]|[&-](?=\s|$|[("]))
    | (?P<word>[^\s|()"][^\s|()]*)
    )""",
    re.VERBOSE,
)


def parse_prompt(text: str) -> Prompt | Combination:
    """Read a prompt, or several that make one mask.

    `a | b` is any of them, `a & b` all of them, `a - b` all of a but b, `0.7 * a` a with a weight; parentheses group.
    As in Python `*` binds tightest, then `-`, then `&`, then `|`. `&`, `-` and `*` are signs only where space stands
    around them ("t-shirt" is a word). Double quotes hold phrases with such signs together: `"black & white cat"`.

    Raises:
        ValueError: says what is missing and points at the place.
    """
    return _Reader(text).read() if text.strip() else Prompt(text)  # the processor says that it is empty


class _Reader:
    def __init__(self, text: str):
        self.text, self.tokens, place = text, [], 0
        while match := _TOKEN.match(text, place):
            kind = str(match.lastgroup)
            self.tokens.append((kind, match[kind], match.start(kind)))
            place = match.end()
        if text[place:].strip():
            raise self._error("this quote has no end", len(text) - len(text[place:].lstrip()))
        self.number = self.depth = 0

    def read(self) -> Prompt | Combination:
        prompt = self._any_of()
        if self.number < len(self.tokens):
            _, value, place = self.tokens[self.number]
            what = "this parenthesis has no beginning" if value == ")" else "a sign (|, & or -) is missing before this"
            raise self._error(f"{what}; phrases with signs or parentheses go in double quotes", place)
        return prompt

    def _any_of(self) -> Prompt | Combination:
        return self._chain("|", lambda: self._chain("&", lambda: self._chain("-", self._term)))

    def _chain(self, sign: str, read: Callable[[], Prompt | Combination]) -> Prompt | Combination:
        parts = [read()]
        while self._is(sign):
            self.number += 1
            parts.append(read())
        return parts[0] if len(parts) == 1 else Combination(sign, tuple(parts))

    def _term(self) -> Prompt | Combination:
        kind, value, place = self.tokens[self.number] if self.number < len(self.tokens) else ("end", "", len(self.text))
        self.number += 1
        if kind == "weight":
            if not 0 < float(value) < float("inf"):
                raise self._error("a weight is above 0, and finite", place)
            return Combination("*", (self._inner(self._term, place),), float(value))
        if kind == "sign" and value == "(":
            inner = self._inner(self._any_of, place)
            if not self._is(")"):
                raise self._error("this parenthesis has no end", place)
            self.number += 1
            return inner
        if kind in ("quoted", "word"):
            return self._phrase(kind, value, place)
        raise self._error("a phrase is missing here", place)

    def _inner(self, read: Callable[[], Prompt | Combination], place: int) -> Prompt | Combination:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self._error(f"there are more than {_DEEPEST} parentheses or weights in one another", place)
        prompt = read()
        self.depth -= 1
        return prompt

    def _phrase(self, kind: str, value: str, place: int) -> Prompt:
        if kind == "quoted":
            if not value.strip():
                raise self._error("there is nothing between these quotes", place)
            return Prompt(value)
        end = place + len(value)
        while self.number < len(self.tokens) and self.tokens[self.number][0] == "word":
            end = self.tokens[self.number][2] + len(self.tokens[self.number][1])
            self.number += 1
        return Prompt(self.text[place:end])

    def _is(self, sign: str) -> bool:
        return self.number < len(self.tokens) and self.tokens[self.number][:2] == ("sign", sign)

    def _error(self, what: str, place: int) -> ValueError:
        return ValueError(f"A prompt cannot be read: {what}.\n  {self.text}\n  {' ' * place}^")


def read_prompts(prompts: PromptLike | Sequence[PromptLike]) -> list[Prompt | Combination]:
    """One prompt or several, strings as `parse_prompt` reads them -> a list.

    Raises:
        ValueError: there is none, or a string that cannot be read.
        TypeError: something else among them.
    """
    given: list[Any] = [prompts]
    if isinstance(prompts, Iterable) and not isinstance(prompts, (str, bytes, Mapping)):
        given = list(prompts)
    if not given:
        raise ValueError("There is no prompt: give at least one text or example image.")
    for prompt in given:
        if not isinstance(prompt, (str, Prompt, Combination)):
            raise TypeError(f"A prompt is a string or a Prompt(text=, image=, mask=), got a {type(prompt).__name__}.")
    return [parse_prompt(prompt) if isinstance(prompt, str) else prompt for prompt in given]


def make_prompts(
    texts: Sequence[str], examples: Sequence[ImageLike], masks: Sequence[ImageLike], mix: float | str | None = None
) -> list[Prompt | Combination]:
    """Texts and example images as they come on a command line -> prompts, texts first.

    Args:
        texts: as `parse_prompt` reads them; phrases, where they are mixed with examples.
        examples: images that show the thing.
        masks: where the thing is, one for each example; none for all to be taken whole.
        mix: the images' share where each text goes together with the example at the same place, a number, written out
            or not, or "own" for the checkpoint's own; None keeps texts and examples apart.

    Raises:
        ValueError: nothing to look for, or numbers that do not fit.
    """
    weight = _read_share(mix)
    if not texts and not examples:
        raise ValueError("There is nothing to look for: give --prompt TEXT, or --image-prompt FILE with --mask FILE.")
    if masks and len(masks) != len(examples):
        raise ValueError(
            f"{len(masks)} --mask do not fit {len(examples)} --image-prompt: give one for each, in the same order, or "
            "none at all to show whole images."
        )
    masks = masks or [None] * len(examples)
    if mix is None:
        shown = [Prompt(image=example, mask=mask) for example, mask in zip(examples, masks, strict=True)]
        return [*map(parse_prompt, texts), *shown]
    if len(texts) != len(examples):
        raise ValueError(
            f"--mix puts each --prompt together with the --image-prompt at the same place, but there are {len(texts)} "
            f"and {len(examples)} of them."
        )
    return [Prompt(*parts, weight=weight) for parts in zip(texts, examples, masks, strict=True)]


def _read_share(mix: float | str | None) -> float | None:
    """The weight that prompts take."""
    if mix is None or mix == OWN_SHARE:
        return None
    try:
        share = float(mix)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ValueError(f"--mix is the image's share, in [0, 1], or {OWN_SHARE}: got {mix!r}.")
    return share
