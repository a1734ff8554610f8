"""Phrases in any script: the usual font, another one where it lacks letters, and a warning where none has them."""

import warnings
from pathlib import Path

import matplotlib
import pytest

from clipseg_hf.drawing import fonts

MATHEMATICS = str(Path(matplotlib.get_data_path(), "fonts", "ttf", "STIXGeneral.ttf"))


@pytest.fixture(autouse=True)
def _only_one_font_installed(monkeypatch):
    monkeypatch.setattr(fonts, "_system_fonts", lambda: [MATHEMATICS])
    fonts._find_font.cache_clear()
    yield
    fonts._find_font.cache_clear()


@pytest.mark.parametrize("text", ["a dog", "кошка", "σκύλος", "the dog's — “ball” …", ""])
def test_the_usual_font_where_it_has_all_letters(text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fonts.font_for(text, 14).getname()[0] == "DejaVu Sans"


def test_another_font_where_the_usual_one_lacks_a_letter():
    only_there = sorted(fonts._characters_of(MATHEMATICS) - fonts._characters_of(fonts._find_font(frozenset("a"))))[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fonts.font_for(f"a{only_there}", 14).getname()[0] == "STIXGeneral"


def test_a_warning_where_no_font_has_a_letter():
    with pytest.warns(UserWarning, match=r"No font of this system has 犬: .* boxes .* Noto Sans CJK"):
        assert fonts.font_for("犬 dog", 14).getname()[0] == "DejaVu Sans"
