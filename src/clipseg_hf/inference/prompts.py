"""What to look for: prompts, and what is made of several by `|`, `&`, `-` and weights."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Union

from clipseg_hf.processing.images import ImageLike

_SIGNS = re.compile(r"""[|()] | (?:^|\s) (?: " | [&-](?=\s|$|") | [\d.]+\s*\*\s )""", re.VERBOSE)


class Combinable:
    """Gives prompts their operators: `a | b` any of them, `a & b` all of them, `a - b` all of a but b, `0.7 * a`.
    A string beside an operator is a text."""

    def __or__(self, other: "Prompt | Combination | str") -> "Combination":
        return _join("|", self, other)

    def __ror__(self, other: str) -> "Combination":
        return _join("|", other, self)

    def __and__(self, other: "Prompt | Combination | str") -> "Combination":
        return _join("&", self, other)

    def __rand__(self, other: str) -> "Combination":
        return _join("&", other, self)

    def __sub__(self, other: "Prompt | Combination | str") -> "Combination":
        return _join("-", self, other)

    def __rsub__(self, other: str) -> "Combination":
        return _join("-", other, self)

    def __mul__(self, factor: float) -> "Combination":
        if isinstance(factor, bool) or not isinstance(factor, (int, float)):
            return NotImplemented
        return Combination("*", (self,), factor)  # type: ignore[arg-type]  # a Prompt or a Combination, no other

    __rmul__ = __mul__


@dataclass
class Prompt(Combinable):
    """What to look for: a text, an example image, or both. Prompts combine into one mask, see `Combination`.

    Attributes:
        text: a phrase such as "a cat".
        image: an example, whatever `load_image` takes; a tuple or list of several is averaged.
        mask: where the thing is in the example, as many for several; None where the whole image shows it.
        weight: the image's share where there is also a text: 0 is the text alone, 1 the image alone; None: the
            checkpoint's own (`config.image_prompt_weight`), or one half.
        label: what to call the prompt; made of text and file name where left out.

    Raises:
        ValueError: neither a text nor an image, a mask without an image, or a weight outside of [0, 1].
    """

    text: str | None = None
    image: ImageLike | tuple[ImageLike, ...] | None = None
    mask: ImageLike | tuple[ImageLike | None, ...] | None = None
    weight: float | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.mask is not None and self.image is None:
            raise ValueError("A prompt's mask says where the thing is in its example: give image= with it.")
        if self.text is None and self.image is None:
            raise ValueError("A Prompt needs a text, an image, or both: Prompt('a cat'), Prompt(image=..., mask=...).")
        if self.weight is not None and not 0 <= self.weight <= 1:
            raise ValueError(f"A prompt's weight is the image's share, in [0, 1]; got {self.weight}.")
        self.image = tuple(self.image) if isinstance(self.image, list) else self.image
        self.mask = tuple(self.mask) if isinstance(self.mask, list) else self.mask
        if self.label is None:
            images = self.image if isinstance(self.image, tuple) else (self.image,)
            files = [Path(image).name for image in images if isinstance(image, (str, Path))]
            example = None if self.image is None else f"like {', '.join(files)}" if files else "example image"
            self.label = " + ".join(part for part in (self.text, example) if part)


@dataclass
class Combination(Combinable):
    """Several prompts that make one mask, best written by operators: `Prompt("cat") | Prompt("dog") - "collar"`.

    Masks combine as sets do, and probabilities as those of fuzzy sets do (Zadeh 1965), on a scale where the threshold
    of each part, its own or the given one, lies at one half: `|` is the highest, `&` the lowest, `a - b` the lower of a
    and 1 - b. So the order of parts and saying one twice change nothing, `a - a` is empty, and a pixel is in the result
    where it would be if the masks of the parts had been combined. A weight multiplies what it stands before.

    Attributes:
        sign: "|" (any of), "&" (all of), "-" (the first but the others) or "*" (weighted).
        parts: one for "*", two or more for the others.
        factor: the weight, above 0; more than 1 widens the mask (probabilities stop at 1).
        label: what to call it; what `parse_prompt` would read as the same, where left out.

    Raises:
        ValueError: another sign, too few parts, or a weight that is not above 0.
    """

    sign: str
    parts: tuple[Union["Prompt", "Combination"], ...]
    factor: float = 1.0
    label: str | None = None

    def __post_init__(self) -> None:
        fewest, most = {"*": (1, 1), "|": (2, None), "&": (2, None), "-": (2, None)}.get(self.sign, (0, 0))
        if not fewest or len(self.parts) < fewest or (most and len(self.parts) > most):
            raise ValueError(
                f'A Combination is "|", "&" or "-" of two parts or more, or "*" of one; got {self.sign!r} of '
                f"{len(self.parts)}."
            )
        if not 0 < self.factor < float("inf"):
            raise ValueError(f"A weight multiplies a prompt's probabilities and is above 0, got {self.factor}.")
        if self.label is None:
            self.label = write_prompt(self)

    def leaves(self) -> list["Prompt"]:
        """The prompts at the ends, from left to right."""
        return [leaf for part in self.parts for leaf in (part.leaves() if isinstance(part, Combination) else [part])]


# From loose to tight, as in Python: "a | b & c - d" is "a | (b & (c - d))".
TIGHTNESS = {"|": 0, "&": 1, "-": 2, "*": 3}


def write_prompt(prompt: Prompt | Combination) -> str:
    """A prompt as `parse_prompt` reads it; example images by their labels."""
    if isinstance(prompt, Prompt):
        label = str(prompt.label)
        return f'"{label}"' if needs_quotes(label) else label
    parts = []
    for number, part in enumerate(prompt.parts):
        text = write_prompt(part)
        if isinstance(part, Combination):
            # a part as loose as the whole stays together only where it comes first: a - (b - c) is not a - b - c
            is_loose = TIGHTNESS[part.sign] < TIGHTNESS[prompt.sign] + (number > 0)
            text = f"({text})" if is_loose or prompt.sign == "*" else text
        parts.append(text)
    return f"{prompt.factor:g} * {parts[0]}" if prompt.sign == "*" else f" {prompt.sign} ".join(parts)


def needs_quotes(phrase: str) -> bool:
    """Whether `parse_prompt` would read a phrase as something else without quotes around it."""
    return _SIGNS.search(phrase) is not None or not phrase.strip()


def _join(sign: str, *given: Union["Prompt", "Combination", str, Combinable]) -> Combination:
    parts: list[Prompt | Combination] = []
    for number, part in enumerate(given):
        if isinstance(part, str):
            part = Prompt(part)
        if not isinstance(part, (Prompt, Combination)):
            raise TypeError(f"Prompts combine with prompts and texts, got a {type(part).__name__} beside {sign!r}.")
        same = isinstance(part, Combination) and part.sign == sign and (sign != "-" or not number)
        parts += part.parts if same and isinstance(part, Combination) else [part]
    return Combination(sign, tuple(parts))
