"""The script that makes the embedded checkpoint from nothing, with few scenes and steps."""

import json
import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml

from clipseg_hf import CLIPSegForImageSegmentation
from clipseg_hf.inference import Segmenter
from clipseg_hf.training import CLIPSegTrainingArguments

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_a_share_of_every_training(tmp_path):
    script = runpy.run_path(str(EXAMPLES / "make_emoji_tiny.py"))

    def steps(share: float) -> dict[str, list[int]]:
        folder = tmp_path / f"{share:g}"
        script["write_recipes"](folder, partial(script["scaled"], share))
        found = {}
        for path in sorted(folder.glob("*.yaml")):
            values = yaml.safe_load(path.read_text())
            if "stages" in values:
                found[path.stem] = [stage["steps"] for stage in values["stages"]]
            else:
                whole = CLIPSegTrainingArguments.from_yaml(path)  # with what it inherits
                found[path.stem] = [whole.max_steps, whole.max_train_samples, whole.eval_steps, whole.warmup_steps]
        return found

    whole, tenth = steps(1.0), steps(0.1)
    assert all((tmp_path / "1" / f"{name}.yaml").read_bytes() == _recipe(name).read_bytes() for name in whole)
    assert tenth == {name: [round(number / 10) for number in numbers] for name, numbers in whole.items()}
    assert steps(1e-6)["emoji-tiny"] == [1, 1, 1, 1]


def _recipe(name: str) -> Path:
    return EXAMPLES / "recipes" / f"{name}.yaml"


@pytest.mark.parametrize("wrong", ["0", "1.5", "-1", "half", "nan"])
def test_a_share_is_a_part(wrong):
    command = [sys.executable, str(EXAMPLES / "make_emoji_tiny.py"), "nowhere", "--share", wrong]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == 2 and f"a share is above 0 and at most 1, got '{wrong}'" in found.stderr


def test_one_folder_has_one_share(tmp_path):
    keep_to, note = runpy.run_path(str(EXAMPLES / "make_emoji_tiny.py"))["keep_to"], tmp_path / "share.txt"
    keep_to(note, "0.2")
    keep_to(note, "0.2")
    with pytest.raises(SystemExit, match=r"was begun with the share 0\.2, not 1: give that again, or another folder"):
        keep_to(note, "1")


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
    assert finished.config.image_prompt_weight in (0.3, 0.5, 0.7)
    state, changed = finished.state_dict(), {"clip.vision_model.post_layernorm", "clip.visual_projection"}
    assert {name.rpartition(".")[0] for name in model if not model[name].equal(state[name])} <= changed
    assert make().stdout.count("there already") == 25
