"""Phrases -> token rows, with templates, and nothing cut off in silence."""

import warnings
from collections.abc import Sequence

from clipseg_hf.processing.layout import Prompts

CLIP_TEXT_LENGTH = 77


def read_templates(templates: str | Sequence[str] | None) -> list[str]:
    """None, one template or several -> a list of templates with one `{}` each.

    Raises:
        ValueError: no template, or one without exactly one `{}`.
        TypeError: not strings.
    """
    if templates is None:
        return ["{}"]
    templates = [templates] if isinstance(templates, str) else list(templates)
    if not templates:
        raise ValueError("prompt_templates is empty, expected something like ['a photo of a {}.'].")
    for template in templates:
        if not isinstance(template, str):
            raise TypeError(f"A prompt template is a string, got a {type(template).__name__}: {template!r}.")
        if template.count("{}") != 1:
            raise ValueError(f"The prompt template {template!r} needs exactly one {{}}, where the phrase goes.")
    return templates


def phrase_rows(texts: Prompts, templates: list[str]) -> list[list[str]]:
    """For each prompt its rows of text: the phrase in every template, none where the prompt has no text.

    Raises:
        TypeError: an entry is no string.
        ValueError: an empty phrase.
    """
    groups = []
    for number, phrase in enumerate(texts.entries):
        if phrase is None:
            groups.append([])
            continue
        if not isinstance(phrase, str):
            raise TypeError(
                f"{texts.path(number, 'text')} is a {type(phrase).__name__}, expected a string. (The order of the "
                "arguments is text, images.)"
            )
        if not phrase.strip():
            raise ValueError(f"{texts.path(number, 'text')} is an empty phrase ({phrase!r}): nothing to look for.")
        groups.append([template.replace("{}", phrase) for template in templates])
    return groups


def tokenize(tokenizer, rows: list[str], **options) -> dict:
    """Tokenize rows of text; cut what is too long, and say so.

    Args:
        tokenizer: of the model.
        rows: texts.
        options: of the tokenizer. Unlike there, rows are padded to the longest where tensors are asked for, and cut
            to the tokenizer's `model_max_length`, 77 where it names none.

    Returns:
        the tokenizer's result.
    """
    if options.get("return_tensors") is not None and options.get("padding") is None:
        options["padding"] = True
    if options.get("max_length") is None:
        # a tokenizer that knows no limit reports a number with thirty digits
        limit = tokenizer.model_max_length
        options["max_length"] = limit if limit <= 1_000_000 else CLIP_TEXT_LENGTH
    if options.get("truncation") is None:
        options["truncation"] = True
    if not options.get("padding") and not options["truncation"]:
        del options["max_length"]  # nothing reads it then, and the tokenizer would complain
    tokens = tokenizer(rows, **options)
    if options["truncation"]:
        # Asked last: a tokenizer remembers how it was asked, and would save it.
        _warn_of_cuts(tokenizer, rows, options["max_length"])
    return tokens


def _warn_of_cuts(tokenizer, rows: list[str], limit: int) -> None:
    lengths = [len(ids) for ids in tokenizer(rows, truncation=False, padding=False, verbose=False)["input_ids"]]
    for row, length in zip(rows, lengths, strict=True):
        if length > limit:
            warnings.warn(
                f"A text of {length} tokens is cut to {limit}, the end of it will not be looked for: {row!r}.",
                stacklevel=4,
            )
