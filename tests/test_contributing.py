"""CONTRIBUTING.md sends nobody to a file or a name that is not there; what is told in several places is the same."""

import re
from pathlib import Path

import pytest
import yaml

from clipseg_hf import __version__

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (a .*?) \| (.*) \| (.*) \|$", GUIDE, flags=re.MULTILINE)
PATH = re.compile(r"`((?:src|tests|docs|examples|benchmarks)/[\w./-]*|[\w.]+\.(?:md|cff)|\.ci/run)`")


def test_every_file_that_is_named_exists():
    named = PATH.findall(GUIDE)
    assert len(named) > 30
    assert not [path for path in named if not (ROOT / path).exists()]


@pytest.mark.parametrize(("what", "where"), [row[:2] for row in ROWS], ids=[row[0] for row in ROWS])
def test_every_name_is_in_one_of_the_files_beside_it(what, where):
    files = [ROOT / path for path in PATH.findall(where)]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files if path.is_file())
    names = re.findall(r"`([A-Za-z_]+)`", where)
    assert files or names == ["__all__"]
    assert not [name for name in names if name != "__all__" and name not in text]


def test_every_target_is_there():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"\bmake ([a-z][\w-]+)`", GUIDE)
    assert {"docs", "format", "wheel"} <= set(targets)
    assert not [target for target in targets if not re.search(rf"^{target}:", makefile, flags=re.MULTILINE)]


def test_it_is_read_in_five_minutes():
    assert len(GUIDE.split()) < 1000


def test_the_version_is_told_alike():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+)", changelog, flags=re.MULTILINE)[1] == __version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == __version__


def test_pre_commit_takes_the_ruff_of_the_constraints():
    pinned = re.search(r"^ruff==\S+", (ROOT / "constraints.txt").read_text(encoding="utf-8"), flags=re.MULTILINE)[0]
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert [hook["id"] for hook in hooks] == ["ruff-check", "ruff-format"]
    assert all(hook["additional_dependencies"] == [pinned] for hook in hooks)
