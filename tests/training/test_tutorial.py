"""Every command and every piece of code in examples/finetune_your_data.md runs, on a small made-up folder."""

import io
import json
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from glob import glob
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.processing import CLIPSegProcessor
from hub.published_folder import endpoint

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "examples" / "finetune_your_data.md").read_text(encoding="utf-8")
PUBLISHED = "CIDAS/clipseg-rd64-refined"
SMALL = ["image_size=64", "max_steps=4", "warmup_steps=0", "eval_steps=2", "save_steps=2", "use_cpu=true"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COLORS = {"rusty bolt": (170, 80, 30), "weld seam": (90, 100, 160)}


def _blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(TUTORIAL) if kind == language]


def _write_pictures(folder: Path, count: int, seed: int) -> None:
    """Pictures with a rectangle for each thing, in the tutorial's layout."""
    random = np.random.default_rng(seed)
    for name in ("images", *(f"masks/{phrase}" for phrase in COLORS)):
        (folder / name).mkdir(parents=True)
    for number in range(1, count + 1):
        pixels = random.integers(100, 140, (60, 80, 3), dtype=np.uint8)
        for phrase, color in COLORS.items():
            left, top = random.integers(0, 50), random.integers(0, 30)
            mask = np.zeros((60, 80), np.uint8)
            mask[top : top + 25, left : left + 25] = 255
            pixels[mask > 0] = color
            Image.fromarray(mask).save(folder / "masks" / phrase / f"{number:04d}.png")
        Image.fromarray(pixels).save(folder / "images" / f"{number:04d}.jpg")


@pytest.fixture(scope="module")
def place(deep_clip, tmp_path_factory):
    """A folder with the pictures, the recipe, and a small model in place of the published one."""
    folder = tmp_path_factory.mktemp("tutorial")
    _write_pictures(folder / "my_pictures", 10, seed=0)
    _write_pictures(folder / "my_test_pictures", 3, seed=1)
    (folder / "examples").symlink_to(ROOT / "examples")
    CLIPSegForImageSegmentation.from_clip(deep_clip, reduce_dim=16).save_pretrained(folder / "published")
    CLIPSegProcessor.from_clip(deep_clip, size=64).save_pretrained(folder / "published")
    return folder


def test_the_tutorial_runs(place, hub, monkeypatch, tmp_path):
    """From pictures to a checkpoint on a Hub to the answer of an endpoint."""
    from clipseg_hf.cli import app

    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", list(sys.path))
    published = str(place / "published")
    commands = [line[2:] for block in _blocks("console") for line in block.splitlines()]
    *commands, curl = commands
    expected = ["inspect", "train", "evaluate", "evaluate", "segment", "publish", "publish"]
    assert [command.split()[1] for command in commands] == expected
    for command in commands:
        _, *words = shlex.split(command.replace(PUBLISHED, published))
        arguments = [file for word in words for file in (sorted(glob(word)) if "*" in word else [word])]
        if "train" in words:
            changes = [f"model_name_or_path={published}", *SMALL]
            arguments += [part for change in changes for part in ("--set", change)]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{command}\n{result.output}\n{result.exception!r}"

    said, names = io.StringIO(), {}
    with endpoint(place / "look", tmp_path) as url, redirect_stdout(said):
        for block in _blocks("python"):
            exec(compile(block.replace("https://ENDPOINT", url), "finetune_your_data.md", "exec"), names)
        answer = subprocess.run(curl.replace("https://ENDPOINT", url), shell=True, check=True, capture_output=True)
    assert [found["label"] for found in json.loads(answer.stdout)] == ["rusty bolt"]
    assert re.search(r"rusty bolt is (not )?there and covers \d", said.getvalue())
    assert names["logits"].shape == (2, 64, 64)
    assert len(re.findall(r"^weld seam ", said.getvalue(), re.MULTILINE)) == 4  # code, pipeline, handler, endpoint
    card = hub.files("me/my-clipseg")["README.md"].decode()
    assert "| measured | prompt | number | samples | before | after |" in card and str(place) not in card

    assert (place / "inspection.png").is_file()
    assert list((place / "outputs" / "my_clipseg" / "pictures").glob("step-*.png"))
    assert list((place / "report").iterdir()) and list((place / "report_before").iterdir())
    assert list((place / "found").rglob("*.png"))


def test_what_it_says_about_the_output_is_so(place):
    output = place / "outputs" / "my_clipseg"
    if not output.exists():
        pytest.skip("the tutorial did not run")
    for name in ("final", "pictures", "log.jsonl", "logs", "best", "cache"):
        assert (output / name).exists(), name
    assert (ROOT / "examples" / "recipes" / "finetune-your-data.yaml").is_file()


def test_the_options_that_it_names_exist():
    from clipseg_hf.training import CLIPSegTrainingArguments, parse_overrides

    settings = re.findall(r"`(\w+=[\w./-]+)`", TUTORIAL) + re.findall(r"--set (\w+=[\w./-]+)", TUTORIAL)
    assert len(settings) >= 10
    known = CLIPSegTrainingArguments().to_dict()
    assert all(key in known for key in parse_overrides(settings))
