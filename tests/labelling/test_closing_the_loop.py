"""docs/closing_the_loop.md: every line runs, on a few pictures; the run that is killed twice ends as an uncut one."""

import importlib.util
import json
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clipseg_hf.cli import app
from clipseg_hf.data.emoji_world.emoji_glyphs import find_emoji_font
from clipseg_hf.labelling import label_pictures, read_prompt_file, read_rows

ROOT = Path(__file__).parents[2]
SMALLER = {
    '("photos", 2000, 0), ("held-out", 300, 1)': '("photos", 24, 0), ("held-out", 6, 1)',
    "sizes=((480, 640),)": "sizes=((120, 160),)",
    "--processes 2": "--processes 2 --shard-size 4 --device cpu",
    "[:200]": "[:10]",
    "--set output_dir": "--set max_steps=4 --set eval_steps=2 --set save_steps=2 --set warmup_steps=0 "
    "--set per_device_train_batch_size=4 --set use_cpu=true --set output_dir",
}


def benchmark():
    spec = importlib.util.spec_from_file_location("closing_the_loop", ROOT / "benchmarks" / "closing_the_loop.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_here(command: str) -> str:
    """In this process, which has imported everything already."""
    if not command.startswith("clipseg-hf "):
        subprocess.run(command, shell=True, check=True)
        return ""
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 0, f"{command}\n{result.output}\n{result.exception!r}"
    return result.stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_runs_as_written(tmp_path, monkeypatch):
    try:
        find_emoji_font()
    except FileNotFoundError:
        pytest.skip("Noto Color Emoji is missing.")
    script = benchmark()
    text = script.TUTORIAL.read_text(encoding="utf-8")
    for real, small in SMALLER.items():
        assert real in text, real
        text = text.replace(real, small)
    monkeypatch.chdir(tmp_path)
    Path("examples").symlink_to(ROOT / "examples")

    said = {step: printed for step, printed, _ in script.run_tutorial(text, kills=(1, 3), run=run_here)}

    [label] = [step for step in said if step.startswith("clipseg-hf label ")]
    assert "of 6 shards are there from an earlier run." in said[label]
    prompts = read_prompt_file(Path("prompts.txt"))
    uncut = label_pictures("photos/images", prompts, "uncut", model="emoji-tiny", device="cpu", shard_size=4)
    rows = list(read_rows("labelled"))
    assert rows == list(read_rows(uncut.folder)) and len(rows) == 24 * 20
    assert Path("labelled/review.html").read_text(encoding="utf-8").count("<figure>") == 100
    [relabel] = [step for step in said if step.startswith("clipseg-hf relabel ")]
    assert said[relabel].startswith("Labels of 10 images as coco are in corrected.")
    content = json.loads(Path("corrected/annotations/instances_default.json").read_text())
    assert {category["name"] for category in content["categories"]} <= set(prompts)
    assert Path("outputs/corrected/final/model.safetensors").is_file()
    assert "95 %" in list(said.values())[-2] and Path("look/README.md").is_file()
