"""What the fuzz relies on: its sound files are sound, and it notices what it is there for."""

import os
import time

import pytest

from clipseg_hf.processing import load_image
from fuzz import sandbox, seeds, tool_seeds
from fuzz.archives import KINDS, pack
from fuzz.damage import OUTSIDE, Case
from fuzz.sandbox import NotOursError, check
from fuzz.test_sources import load
from fuzz.test_texts import READERS

LAYOUTS = seeds.COCO | seeds.FOLDERS | seeds.PHRASECUT | tool_seeds.TOOLS


@pytest.mark.parametrize("name", LAYOUTS)
def test_sound_data_is_read(root, name):
    folder = Case(dict(LAYOUTS[name])).plant(root)
    assert check(lambda: load(folder, folder / "cache", strict=True), folder) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_sound_archives_are_read(root, kind):
    folder = Case({f"data.{kind}": pack(kind, seeds.PHRASECUT["phrasecut"])}).plant(root)
    assert check(lambda: load(folder / f"data.{kind}", folder / "cache", strict=True), folder) == ""


@pytest.mark.parametrize("name", seeds.TEXTS)
def test_sound_settings_are_read(root, name):
    folder = Case(dict(seeds.TEXTS[name])).plant(root)
    assert check(lambda: READERS[name](folder, name), folder) == ""


def test_sound_pictures_are_read(root):
    assert len(seeds.PICTURES) > 20
    for name, files in seeds.PICTURES.items():
        folder = Case(dict(files)).plant(root)
        assert check(lambda folder=folder, name=name: load_image(folder / name), folder) == ""


def test_foreign_errors_files_and_hangs_are_noticed(root, monkeypatch):
    folder = Case({"1.png": b""}).plant(root)
    assert "1.png" in check(lambda: load_image(folder / "1.png"), folder)
    with pytest.raises(NotOursError, match=r"names no file: TypeError: image is a int"):
        check(lambda: load_image(3), folder)
    for read in (lambda: {}["x"], lambda: int("x")):
        with pytest.raises((KeyError, ValueError), match="x"):
            check(read, folder)
    with pytest.raises(AssertionError, match=f"touched what is not its own: .*open .*{OUTSIDE}/1.png"):
        check(lambda: load_image(folder.parent / OUTSIDE / "1.png"), folder)
    with pytest.raises(AssertionError, match=r"touched what is not its own: .*os\.remove"):
        check(lambda: os.remove(folder.parent / OUTSIDE / "1.png"), folder)
    with pytest.raises(AssertionError, match="/dev/zero, which is a device or a pipe"):
        check(lambda: open("/dev/zero").close(), folder, allowed=["/dev"])
    with pytest.raises(MemoryError):
        check(lambda: bytes(100 << 30), folder)
    monkeypatch.setattr(sandbox, "SECONDS", 0.1)
    with pytest.raises(AssertionError, match=r"not done after 0\.1 s"):
        check(lambda: time.sleep(30), folder)
