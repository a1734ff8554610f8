"""What to look for, in one object or from a command line's lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clipseg_hf.processing.images import ImageLike


@dataclass
class Prompt:
    """What to look for: a text, an example image, or both.

    Attributes:
        text: a phrase such as "a cat".
        image: an example, whatever `load_image` takes; a tuple or list of several is averaged.
        mask: where the thing is in the example, as many for several; None where the whole image shows it.
        weight: the image's share where there is also a text: 0 is the text alone, 1 the image alone.
        label: what to call the prompt; made of text and file name where left out.

    Raises:
        ValueError: neither a text nor an image, a mask without an image, or a weight outside of [0, 1].
    """

    text: str | None = None
    image: ImageLike | tuple[ImageLike, ...] | None = None
    mask: ImageLike | tuple[ImageLike | None, ...] | None = None
    weight: float = 0.5
    label: str | None = None

    def __post_init__(self) -> None:
        if self.mask is not None and self.image is None:
            raise ValueError("A prompt's mask says where the thing is in its example: give image= with it.")
        if self.text is None and self.image is None:
            raise ValueError("A Prompt needs a text, an image, or both: Prompt('a cat'), Prompt(image=..., mask=...).")
        if not 0 <= self.weight <= 1:
            raise ValueError(f"A prompt's weight is the image's share, in [0, 1]; got {self.weight}.")
        self.image = tuple(self.image) if isinstance(self.image, list) else self.image
        self.mask = tuple(self.mask) if isinstance(self.mask, list) else self.mask
        if self.label is None:
            images = self.image if isinstance(self.image, tuple) else (self.image,)
            files = [Path(image).name for image in images if isinstance(image, (str, Path))]
            example = None if self.image is None else f"like {', '.join(files)}" if files else "example image"
            self.label = " + ".join(part for part in (self.text, example) if part)


def read_prompts(prompts: str | Prompt | Sequence[str | Prompt]) -> list[Prompt]:
    """One prompt or several, texts or `Prompt`s -> a list of `Prompt`s.

    Raises:
        ValueError: there is none.
        TypeError: something else among them.
    """
    given = [prompts] if isinstance(prompts, (str, Prompt)) else list(prompts)
    if not given:
        raise ValueError("There is no prompt: give at least one text or example image.")
    for prompt in given:
        if not isinstance(prompt, (str, Prompt)):
            raise TypeError(f"A prompt is a string or a Prompt(text=, image=, mask=), got a {type(prompt).__name__}.")
    return [Prompt(prompt) if isinstance(prompt, str) else prompt for prompt in given]


def make_prompts(
    texts: Sequence[str], examples: Sequence[ImageLike], masks: Sequence[ImageLike], mix: float | None = None
) -> list[Prompt]:
    """Texts and example images as they come on a command line -> prompts, texts first.

    Args:
        texts: phrases.
        examples: images that show the thing.
        masks: where the thing is, one for each example; none for all to be taken whole.
        mix: the images' share where each text goes together with the example at the same place; None keeps texts and
            examples apart.

    Raises:
        ValueError: nothing to look for, or numbers that do not fit.
    """
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
        return [*(Prompt(text) for text in texts), *shown]
    if len(texts) != len(examples):
        raise ValueError(
            f"--mix puts each --prompt together with the --image-prompt at the same place, but there are {len(texts)} "
            f"and {len(examples)} of them."
        )
    return [Prompt(*parts, weight=mix) for parts in zip(texts, examples, masks, strict=True)]
