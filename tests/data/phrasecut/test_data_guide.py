"""`docs/data.md` says what is true, and its code runs."""

import re
from pathlib import Path

import pytest

from clipseg_hf.data import FLAWS, load_phrasecut_plus
from clipseg_hf.data.sources import KINDS

GUIDE = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")


@pytest.fixture
def in_folder(layout, tmp_path, monkeypatch):
    layout.root = tmp_path / "VGPhraseCut_v0"
    layout.write()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path


def test_its_code_runs_top_down(in_folder):
    names = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL):
        exec(block, names)

    assert (in_folder / "phrasecut-rows" / "README.md").exists()
    assert len(load_phrasecut_plus("VGPhraseCut_v0", "train")) == 3


def test_its_table_of_flaws_is_the_one_in_the_code():
    section = GUIDE.partition("## What can be wrong")[2]
    table = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \|$", section, flags=re.MULTILINE)

    assert table == [(name, flaw.meaning, flaw.policy) for name, flaw in FLAWS.items()]


@pytest.mark.parametrize("kind", KINDS)
def test_its_table_of_layouts_names_each_kind_and_options_that_there_are(kind):
    import inspect

    [options] = re.findall(rf"^\| `{kind}` \|.*\| (.*) \|$", GUIDE, flags=re.MULTILINE)

    assert set(re.findall(r"`(\w+)`", options)) <= set(inspect.signature(KINDS[kind]).parameters)
