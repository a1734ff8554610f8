"""The script that makes the embedded checkpoint from nothing, with few scenes and steps."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clipseg_hf import CLIPSegForImageSegmentation
from clipseg_hf.inference import Segmenter

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
@pytest.mark.timeout(900)  # 25 commands, each of which starts Python and PyTorch
@pytest.mark.needs_font
def test_all_steps_one_after_the_other(tmp_path):
    def make() -> subprocess.CompletedProcess:
        command = [sys.executable, str(EXAMPLES / "make_emoji_tiny.py"), str(tmp_path), "--quick"]
        return subprocess.run(command, capture_output=True, text=True, timeout=900)

    cut = tmp_path / "outputs" / "emoji-clip-longer"
    cut.parent.mkdir()
    cut.write_text("a file where a folder is to be")
    found = make()
    assert found.returncode != 0 and "emoji-clip-longer` ended with code" in found.stderr.replace(" --workers 1", "")
    cut.unlink()
    found = make()
    assert found.returncode == 0, found.stderr
    assert "there already: outputs/emoji-tiny/final/config.json" in found.stdout

    packed = tmp_path / "outputs" / "packed"
    measured = json.loads((packed / "measured.json").read_text())
    card = (packed / "README.md").read_text()
    assert f"| text | {measured['numbers']['text']['seen']:.3f} |" in card
    assert {"prompt_tokens.safetensors", "refiner.safetensors"} <= {path.name for path in packed.iterdir()}
    assert Segmenter.from_pretrained(packed, device="cpu").model.refiner is not None
    model, first = (
        CLIPSegForImageSegmentation.from_pretrained(tmp_path / "outputs" / name / "final").state_dict()
        for name in ("emoji-refiner", "emoji-tiny")
    )
    assert any(not model[name].equal(first[name]) for name in first if name.startswith("clip."))  # it has another CLIP
    # and in the end one with a block more, under the same decoder
    finished = CLIPSegForImageSegmentation.from_pretrained(tmp_path / "outputs" / "emoji-finished")
    assert finished.config.vision_config.num_hidden_layers == 7
    state, changed = finished.state_dict(), {"clip.vision_model.post_layernorm", "clip.visual_projection"}
    assert {name.rpartition(".")[0] for name in model if not model[name].equal(state[name])} <= changed
    assert make().stdout.count("there already") == 25
