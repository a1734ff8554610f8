"""Prompts in a text file, one a line."""

import os

from clipseg_hf._text_files import read_text
from clipseg_hf.inference.prompt_reading import parse_prompt


def read_prompt_file(path: str | os.PathLike) -> list[str]:
    """The prompts of a file, one a line, as `parse_prompt` reads them; empty lines and comments (#) are none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there is no prompt in it, one cannot be read, or one is there twice.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no file of prompts {path}: write one prompt a line.")
    lines: dict[str, int] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        prompt = " ".join(line.split())
        if not prompt or prompt.startswith("#"):
            continue
        if prompt in lines:
            raise ValueError(f"{path}, line {number}: {prompt!r} is in line {lines[prompt]} already.")
        lines[prompt] = number
        try:
            parse_prompt(prompt)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    if not lines:
        raise ValueError(f"{path} holds no prompt: write one a line.")
    return list(lines)
