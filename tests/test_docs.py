"""What `make docs` adds to MkDocs: the pages that it gathers, and its check of links."""

import importlib
import importlib.util
from pathlib import Path

import pytest

HOOKS = Path(__file__).parents[1] / "docs" / "mkdocs_hooks.py"


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("mkdocs_hooks", HOOKS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_link_leads_to_a_file_and_to_a_place_in_it(hooks, tmp_path):
    (tmp_path / "guides").mkdir()
    (tmp_path / "a picture.png").touch()
    (tmp_path / "index.html").write_text(
        '<h1 id="top">x</h1> <a href="#top">x</a> <a href="guides/data.html#flaws">x</a> <img src="a%20picture.png">'
        '<a href="https://example.org">x</a> <a href="mailto:somebody">x</a> <a href="guides">x</a>'
        '<a href="#below">x</a>'
    )
    (tmp_path / "guides" / "data.html").write_text(
        '<h2 id="flaws">x</h2> <a href="../index.html">x</a>'
        '<a href="../gone.html">x</a> <a href="../index.html#no">x</a>'
    )
    (tmp_path / "404.html").write_text('<a href="/from/the/root/of/a/server.html">x</a>')
    broken, outside = hooks.check_links(tmp_path)
    assert broken == [
        "guides/data.html: nothing is at ../gone.html",
        "guides/data.html: ../index.html#no names a place that its page does not have",
        "index.html: nothing is at guides",
        "index.html: #below names a place that its page does not have",
    ]
    assert outside == 2


def test_every_public_name_has_its_place(hooks):
    pages = hooks.api_pages()
    for room in hooks.ROOMS:
        for name in importlib.import_module(f"clipseg_hf.{room}").__all__:
            assert f"\n::: clipseg_hf.{room}.{name}\n" in pages[f"api/{room}.md"]
    assert "[`CLIPSegProcessor`][clipseg_hf.processing.CLIPSegProcessor]" in pages["api/clipseg_hf.md"]
    assert "\n::: clipseg_hf.EMOJI_TINY\n" in pages["api/clipseg_hf.md"]
