"""Phrases -> tokens by the `tokenizers` library alone."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np


class Tokens(dict):
    """`input_ids` and `attention_mask`, (T, L) int64; `encodings` know what was cut."""

    encodings: list


class PlainTokenizer:
    """A CLIP tokenizer, called as transformers' is by `tokenize`.

    Args:
        folder: with `tokenizer.json` and `tokenizer_config.json`.

    Raises:
        FileNotFoundError: one of them is missing.
    """

    def __init__(self, folder: str | os.PathLike):
        from tokenizers import Tokenizer

        settings = json.loads((Path(folder) / "tokenizer_config.json").read_text(encoding="utf-8"))
        self.file = str(Path(folder) / "tokenizer.json")
        if not Path(self.file).is_file():
            raise FileNotFoundError(f"There is no file {self.file}.")
        self._backend = Tokenizer.from_file(self.file)
        self.model_max_length = int(settings.get("model_max_length") or 10**30)
        pad = settings.get("pad_token", "<|endoftext|>")
        self.pad_token = pad["content"] if isinstance(pad, dict) else pad

    def __call__(self, rows: list[str], *, max_length: int, truncation: bool, padding: bool, **_: Any) -> Tokens:
        """Texts, cut and padded to the longest."""
        if truncation:
            self._backend.enable_truncation(max_length)
        if padding:
            self._backend.enable_padding(pad_id=self._backend.token_to_id(self.pad_token), pad_token=self.pad_token)
        encodings = self._backend.encode_batch(rows)
        tokens = Tokens(
            input_ids=np.array([each.ids for each in encodings], dtype=np.int64).reshape(len(rows), -1),
            attention_mask=np.array([each.attention_mask for each in encodings], dtype=np.int64).reshape(len(rows), -1),
        )
        tokens.encodings = encodings
        return tokens
