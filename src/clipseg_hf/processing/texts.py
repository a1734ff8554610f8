"""Phrases -> token rows, with templates, and nothing cut off in silence."""

import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from clipseg_hf.processing.layout import Prompts

CLIP_TEXT_LENGTH = 77

# A tokenizer is told how to cut and pad before it is asked, so two threads that share one take turns. A process that is
# forked meanwhile must not inherit a lock that nobody there will open.
_TOKENIZING = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_TOKENIZING.acquire, after_in_parent=_TOKENIZING.release, after_in_child=_TOKENIZING.release
    )


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
    groups: list[list[str]] = []
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


def tokenize(tokenizer: Any, rows: list[str], **options: Any) -> Any:
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
    with _TOKENIZING:
        tokens = tokenizer(rows, **options)
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is not None:  # it remembers how it was asked, and would save it
            backend.no_truncation()
            backend.no_padding()
    for row, length in _cut_texts(tokenizer, rows, tokens, options):
        warnings.warn(
            f"A text of {length} tokens is cut to {options['max_length']}, the end of it will not be looked for: "
            f"{row!r}.",
            stacklevel=3,
        )
    return tokens


def _cut_texts(tokenizer: Any, rows: list[str], tokens: Any, options: dict) -> Iterator[tuple[str, int]]:
    """What was cut, and how many tokens it has as a whole."""
    if not options["truncation"] or options.get("return_overflowing_tokens"):
        return
    # A tokenizer in Python keeps nothing of what it cut, and no state either.
    if getattr(tokens, "encodings", None) is None:
        whole = tokenizer(rows, truncation=False, padding=False, verbose=False)["input_ids"]
        yield from ((row, len(ids)) for row, ids in zip(rows, whole, strict=True) if len(ids) > options["max_length"])
        return
    shared = options.get("stride") or 0  # tokens that neighbouring pieces have in common
    for row, encoding in zip(rows, tokens.encodings, strict=True):
        rest = [piece.special_tokens_mask.count(0) - shared for piece in encoding.overflowing]
        if rest:
            yield row, sum(encoding.attention_mask) + sum(rest)
