"""docs/labelling.md: its commands and its code run as written, one after the other."""

import re
import shlex
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from typer.testing import CliRunner

from clipseg_hf.assets import EMOJI_SCENES
from clipseg_hf.cli import app

DOCUMENT = Path(__file__).parents[2] / "docs" / "labelling.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_it_runs_as_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    for scene in sorted(Path(EMOJI_SCENES, "images").iterdir())[:4]:
        shutil.copy(scene, "pictures")
    said, commands = [], 0
    for language, text in BLOCK.findall(DOCUMENT.read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(text, str(DOCUMENT), "exec"), {})
            continue
        for line in text.splitlines():
            command = line.removeprefix("$ ")
            if command.startswith("pip ") or (" ray " in command and find_spec("ray") is None):
                continue  # `make test-ray` has it
            commands += 1
            if not command.startswith("clipseg-hf "):
                subprocess.run(command, shell=True, check=True)
                continue
            result = CliRunner().invoke(app, shlex.split(command)[1:])
            assert result.exit_code == 0, result.output
            said.append(result.stdout)
    assert commands == 4 + (find_spec("ray") is not None)
    assert "4 pictures x 3 prompts" in said[0] and "4 pictures x 3 prompts" in said[1]
    assert "a second" not in said[-1] and Path("labelled/review.html").is_file()
    assert Path("labelled/coco/annotations/instances_default.json").is_file()
    rows = capsys.readouterr().out.splitlines()
    assert rows and all(re.fullmatch(r"\S+ (a dog|a cat|pizza \| hamburger) 0\.\d+ \[.*\]", row) for row in rows)
