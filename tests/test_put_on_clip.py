"""A trained CLIPSeg on another CLIP (that all of it works: `test_make_emoji_tiny.py`)."""

import runpy
from pathlib import Path

import pytest

from clipseg_hf.assets import EMOJI_TINY

put = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "put_on_clip.py"))["put"]


def test_what_cannot_be_put_on_a_clip(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint in .*nowhere; a training leaves one in its `final`"):
        put(tmp_path / "nowhere", "clip", "world", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="no-such-clip"):
        put(Path(EMOJI_TINY), str(tmp_path / "no-such-clip"), "world", tmp_path / "out")
    with pytest.raises(FileExistsError, match="name a new folder"):
        put(Path(EMOJI_TINY), "clip", "world", Path(EMOJI_TINY))
    assert not (tmp_path / "out").exists()
