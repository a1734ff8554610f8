"""Which text and which example image belong to which prompt, and which prompt asks about which image.

Prompts come flat (`["a cat", "a dog"]`) or as one list for each image (`[["a cat", "a dog"], ["a tree"]]`); `None`
stands for a prompt without a text or without an image; a tuple of images is one prompt with several examples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clipseg_hf._counted import counted


@dataclass(frozen=True)
class Prompts:
    """One entry for each prompt, and how many belong to each image (None: given flat)."""

    entries: list
    counts: list[int] | None

    def path(self, number: int, name: str) -> str:
        """What to call entry `number` in errors: `text[3]` or `text[1][0]`."""
        if self.counts is None:
            return f"{name}[{number}]"
        for image, count in enumerate(self.counts):
            if number < count:
                return f"{name}[{image}][{number}]"
            number -= count
        raise IndexError(number)


def read_texts(given: Any) -> Prompts:
    """The `text` argument -> one phrase for each prompt."""
    if isinstance(given, np.ndarray):
        given = given.tolist()
    if isinstance(given, (list, tuple)):  # tuples of images are one prompt, but tuples of texts are lists
        given = [list(part) if isinstance(part, tuple) else part for part in given]
    return read_prompts(given, "text")


def read_images(given: Any) -> Prompts:
    """The `visual_prompt` argument -> one image, or a tuple of images, for each prompt."""
    if _is_group(given):
        return Prompts([given], None)
    return read_prompts(unstack(given, 3), "visual_prompt")


def read_prompts(given: Any, name: str) -> Prompts:
    """One entry, a flat list, or a list for each image -> `Prompts`.

    Raises:
        ValueError: nothing in it, or single prompts and lists side by side.
    """
    if _is_one(given):
        return Prompts([given], None)
    if not len(given):
        raise ValueError(f"{name} is an empty list, expected at least one prompt.")
    nested = [isinstance(part, list) for part in given]
    if not any(nested):
        return Prompts(list(given), None)
    if not all(nested):
        raise ValueError(
            f"{name} mixes single prompts and lists of prompts (place {nested.index(False)} is no list): give a flat "
            "list, or one list for each image."
        )
    entries = [entry for part in given for entry in part]
    if not entries:
        raise ValueError(f"{name} holds {counted(len(given), 'empty list')}, expected at least one prompt.")
    return Prompts(entries, [len(part) for part in given])


def same_prompts(texts: Prompts | None, visuals: Prompts | None) -> Prompts | None:
    """Check that texts and example images describe the same prompts; -> one of both, for its counts.

    Raises:
        ValueError: they differ in number or nesting, or a prompt has neither.
    """
    if (
        texts is not None
        and visuals is not None
        and (texts.counts != visuals.counts or len(texts.entries) != len(visuals.entries))
    ):
        raise ValueError(
            f"text has {_describe(texts)} but visual_prompt has {_describe(visuals)}: with both, give them in the same "
            "order and nesting, None where a prompt has only one of the two."
        )
    given = {name: side for name, side in (("text", texts), ("visual_prompt", visuals)) if side is not None}
    for number, entries in enumerate(zip(*(side.entries for side in given.values()), strict=True)):
        if all(entry is None for entry in entries):
            places = " and ".join(side.path(number, name) for name, side in given.items())
            raise ValueError(f"{places} is None: a prompt needs a text, an image, or both.")
    return texts or visuals


def prompt_images(prompts: Prompts, images: int) -> list[int] | None:
    """For each prompt the image that it asks about; None where the model needs no telling: one prompt for each image,
    or all of one image.

    Raises:
        ValueError: the prompts do not fit the number of images.
    """
    number = len(prompts.entries)
    if prompts.counts is None:
        if number == images or images == 1:
            return None
        raise ValueError(
            f"{counted(number, 'prompt')} for {counted(images, 'image')}: give one prompt for each image, one image "
            "for all, or one list of prompts for each image, such as [['a cat', 'a dog'], ['a tree']]."
        )
    if len(prompts.counts) != images:
        raise ValueError(
            f"The prompts come in {counted(len(prompts.counts), 'list')}, one for each image, but there are "
            f"{counted(images, 'image')}."
        )
    if images == 1 or all(count == 1 for count in prompts.counts):
        return None
    return [image for image, count in enumerate(prompts.counts) for _ in range(count)]


def rows_of(groups: list[list]) -> tuple[list, list[int] | None]:
    """Rows grouped by prompt -> all rows, and the prompt of each (None where row n simply is prompt n)."""
    rows = [row for group in groups for row in group]
    owners = [prompt for prompt, group in enumerate(groups) for _ in group]
    return rows, None if owners == list(range(len(groups))) else owners


def pair_masks(visuals: Prompts, masks: Any) -> list[list[tuple]]:
    """For each prompt its example images as (image, mask or None, name).

    Raises:
        ValueError: the masks come in another number or nesting than the images; a mask without an image.
    """
    if masks is None:
        masks = Prompts([None] * len(visuals.entries), visuals.counts)
    elif _is_group(masks) and len(visuals.entries) == 1 and isinstance(visuals.entries[0], tuple):
        masks = Prompts([masks], visuals.counts)
    else:
        masks = read_prompts(unstack(masks, 2), "visual_prompt_masks")
    if masks.counts != visuals.counts or len(masks.entries) != len(visuals.entries):
        raise ValueError(
            f"visual_prompt has {_describe(visuals)} but visual_prompt_masks has {_describe(masks)}: give them in the "
            "same order and nesting, None for an image without a mask."
        )
    groups: list[list[tuple]] = []
    for number, (images, found) in enumerate(zip(visuals.entries, masks.entries, strict=True)):
        name = visuals.path(number, "visual_prompt")
        if images is None:
            if found is not None:
                raise ValueError(f"{name} is None but has a mask.")
            groups.append([])
        elif not isinstance(images, tuple):
            groups.append([(images, found, name)])
        else:
            found = (None,) * len(images) if found is None else found
            if not images or not isinstance(found, tuple) or len(found) != len(images):
                raise ValueError(
                    f"{name} is a tuple of {counted(len(images), 'image')}: its masks are a tuple of as many."
                )
            groups.append([(*pair, f"{name}[{i}]") for i, pair in enumerate(zip(images, found, strict=True))])
    return groups


def prompts_per_image(prompts: Prompts | None, images: int) -> list[int]:
    """The number of prompts of each image; one each where no prompts are given."""
    if prompts is None:
        return [1] * images
    if prompts.counts is not None:
        return prompts.counts
    return [len(prompts.entries)] if images == 1 else [1] * images


def prompt_kinds(texts: Prompts | None, visuals: Prompts | None) -> list[str] | None:
    """For each prompt "text", "image" or "mixed"."""
    if texts is None and visuals is None:
        return None
    number = max(len(side.entries) for side in (texts, visuals) if side is not None)
    has_text = [False] * number if texts is None else [entry is not None for entry in texts.entries]
    has_image = [False] * number if visuals is None else [entry is not None for entry in visuals.entries]
    names = {(True, False): "text", (False, True): "image", (True, True): "mixed"}
    return [names[pair] for pair in zip(has_text, has_image, strict=True)]


def unstack(given: Any, axes: int) -> Any:
    """An array or tensor with more than `axes` axes is a batch: -> list of its parts. All else stays."""
    return list(given) if getattr(given, "ndim", 0) > axes else given


def as_list(given: Any, axes: int) -> list:
    """One array-like of `axes` axes, a batch of them, or a list -> list."""
    given = unstack(given, axes)
    return [given] if _is_one(given) else list(given)


def named_images(given: Any, name: str = "images") -> list[tuple[Any, str]]:
    """One image, a batch or (nested) lists of images -> (image, name) of each.

    Raises:
        ValueError: there is none.
    """
    images = list(_flatten(given))
    if not images:
        raise ValueError(f"{name} is empty, expected at least one image.")
    single = _is_one(given)
    return [(image, name if single and len(images) == 1 else f"{name}[{i}]") for i, image in enumerate(images)]


def _is_one(given: Any) -> bool:
    """Whether this is one thing rather than a list, a tuple or a column of a data set."""
    return isinstance(given, (str, bytes)) or not isinstance(given, Sequence)


def _is_group(given: Any) -> bool:
    """Whether this is a tuple of several things that belong to one prompt."""
    return isinstance(given, tuple) and bool(given) and not any(isinstance(part, (list, tuple)) for part in given)


def _flatten(given: Any) -> Iterator[Any]:
    given = unstack(given, 3)
    if _is_one(given):
        yield given
    else:
        for part in given:
            yield from _flatten(part)


def _describe(prompts: Prompts) -> str:
    number = len(prompts.entries)
    said = counted(number, "prompt")
    return said if prompts.counts is None else f"{said} in lists of {prompts.counts}"
