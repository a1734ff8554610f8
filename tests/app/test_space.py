"""The page as a Space, and the command that writes it."""

import ast

import pytest
import yaml
from typer.testing import CliRunner

from clipseg_hf import __version__
from clipseg_hf.app import write_space
from clipseg_hf.cli import app


def test_three_files(tmp_path):
    files = write_space(tmp_path / "space", "me/my-clipseg", license="mit")
    assert [file.name for file in files] == ["app.py", "requirements.txt", "README.md"]
    code, requirements, card = (file.read_text(encoding="utf-8") for file in files)
    ast.parse(code)
    assert "serve('me/my-clipseg')" in code
    assert requirements == f"clipseg-hf[app]=={__version__}\n"
    settings = yaml.safe_load(card.split("---")[1])
    assert settings["sdk"] == "gradio" and settings["app_file"] == "app.py" and settings["models"] == ["me/my-clipseg"]
    assert settings["sdk_version"].startswith("6.") and settings["license"] == "mit"
    assert len(settings["short_description"]) <= 60


def test_the_command(tmp_path):
    result = CliRunner().invoke(app, ["app", "--model", "emoji-tiny", "--space", str(tmp_path / "s")])
    assert result.exit_code == 0 and "--repo-type space" in result.stdout
    assert "models" not in yaml.safe_load((tmp_path / "s" / "README.md").read_text(encoding="utf-8").split("---")[1])


def test_what_a_space_cannot_be(tmp_path):
    with pytest.raises(ValueError, match=r"but .* is a folder: publish it \(`clipseg-hf publish`\) and give its name"):
        write_space(tmp_path / "space", str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="is not empty: a Space is written into a new or empty folder"):
        write_space(tmp_path, "me/my-clipseg")
