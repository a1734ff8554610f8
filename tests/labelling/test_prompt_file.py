"""Prompts in a file."""

import pytest

from clipseg_hf.labelling import read_prompt_file


def test_one_prompt_a_line(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_bytes(b"\xef\xbb\xbfa cat\r\n\r\n# animals\r\n  a   dog \r\ncat | dog - collar")
    assert read_prompt_file(file) == ["a cat", "a dog", "cat | dog - collar"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n# nothing\n", r"holds no prompt: write one a line\."),
        ("a cat\na dog\na  cat\n", r"line 3: 'a cat' is in line 1 already\."),
        ("a cat\na |\n", r"line 2: A prompt cannot be read: a phrase is missing here\."),
    ],
)
def test_errors(tmp_path, text, message):
    file = tmp_path / "prompts.txt"
    file.write_text(text)
    with pytest.raises(ValueError, match=f"prompts.txt.*{message}"):
        read_prompt_file(file)
    with pytest.raises(FileNotFoundError, match=r"There is no file of prompts .*none\.txt: write one prompt a line"):
        read_prompt_file(tmp_path / "none.txt")
