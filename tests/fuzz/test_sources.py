"""Data sets in every layout with something wrong in their files."""

from pathlib import Path

import pytest

from clipseg_hf.data.rows.row_images import undecoded
from clipseg_hf.data.sources import load_segmentation_dataset
from fuzz import rounds
from fuzz.archives import broken_archives
from fuzz.damage import Case, Link, broken
from fuzz.sandbox import check
from fuzz.seeds import COCO, FOLDERS, PHRASECUT
from fuzz.tool_seeds import TOOLS

LAYOUTS = {"coco": COCO, "folders": FOLDERS, "phrasecut": PHRASECUT, "tools": TOOLS}


def load(path: Path, cache_dir: Path, **options) -> None:
    """Every row of every split, images and all."""
    for rows in load_segmentation_dataset(path, cache_dir=cache_dir, **options).values():
        for row in undecoded(rows):
            assert row["phrases"]


def try_case(root: Path, case: Case, **options) -> None:
    folder = case.plant(root)
    has_links = any(isinstance(content, Link) for content in case.files.values())
    check(lambda: load(folder, folder / "cache", **options), folder, allowed=[root.parent] if has_links else [])


@pytest.mark.slow
@pytest.mark.timeout(rounds.TIMEOUT, method="thread")
@pytest.mark.parametrize("layouts", LAYOUTS.values(), ids=LAYOUTS)
def test_any_damage_is_told(root, layouts):
    rounds.fuzz(broken(layouts), lambda case: try_case(root, case))


def try_archive(root: Path, case: Case) -> None:
    folder = case.plant(root)
    [name] = case.files
    check(lambda: load(folder / name, folder / "cache"), folder)


@pytest.mark.slow
@pytest.mark.timeout(rounds.TIMEOUT, method="thread")
def test_any_archive_is_kept_within_bounds(root):
    rounds.fuzz(broken_archives(PHRASECUT["phrasecut"]), lambda case: try_archive(root, case))
