"""A trained CLIPSeg on another CLIP."""

import copy
import runpy
from pathlib import Path

import pytest
import torch

from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.assets import EMOJI_TINY
from clipseg_hf.data.emoji_world.emoji_files import write_scenes
from clipseg_hf.modeling.configuration import get_field

put = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "put_on_clip.py"))["put"]


def test_what_cannot_be_put_on_a_clip(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint in .*nowhere; a training leaves one in its `final`"):
        put(tmp_path / "nowhere", "clip", "world", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="no-such-clip"):
        put(Path(EMOJI_TINY), str(tmp_path / "no-such-clip"), "world", tmp_path / "out")
    with pytest.raises(FileExistsError, match="name a new folder"):
        put(Path(EMOJI_TINY), "clip", "world", Path(EMOJI_TINY))
    assert not (tmp_path / "out").exists()


@pytest.mark.needs_font
def test_texts_stay_and_examples_follow_the_clip(tmp_path):
    trained = CLIPSegForImageSegmentation.from_pretrained(EMOJI_TINY)
    changed = copy.deepcopy(trained.clip)
    with torch.no_grad():
        changed.visual_projection.weight.mul_(1.5)
    changed.save_pretrained(tmp_path / "clip")
    write_scenes(
        tmp_path / "world", train=2, val=4, test=2, concepts=["dog", "rose", "fox", "banana", "penguin", "rocket"]
    )
    put(Path(EMOJI_TINY), str(tmp_path / "clip"), str(tmp_path / "world"), tmp_path / "out", scenes=4, weights=[0.7])

    moved = CLIPSegForImageSegmentation.from_pretrained(tmp_path / "out")
    assert moved.config.image_prompt_weight == 0.7
    state, kept = moved.state_dict(), trained.state_dict()
    assert {name for name in kept if not state[name].equal(kept[name])} == {"clip.visual_projection.weight"}
    found = CLIPSegProcessor.from_pretrained(tmp_path / "out").mask_thresholds
    assert {"text", "image", "mixed", "presence"} == set(moved.config.mask_thresholds)
    assert {kind: found[kind] for kind in moved.config.mask_thresholds} == moved.config.mask_thresholds
    put(Path(EMOJI_TINY), str(tmp_path / "clip"), str(tmp_path / "world"), tmp_path / "half", scenes=4)
    found = CLIPSegForImageSegmentation.from_pretrained(tmp_path / "half").config
    assert trained.config.image_prompt_weight != get_field(found, "image_prompt_weight") == 0.5
    records = {
        path.name for pattern in ("*recipe*.yaml", "*provenance*.json") for path in Path(EMOJI_TINY).glob(pattern)
    }
    assert len(records) > 2 and records <= {path.name for path in (tmp_path / "out").iterdir()}
