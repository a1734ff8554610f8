"""The page as a Space, and the command that writes it."""

import ast
import os
import socket
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from clipseg_hf import __version__
from clipseg_hf.app import write_space
from clipseg_hf.assets import EMOJI_TINY
from clipseg_hf.cli import app

ROOT = Path(__file__).parents[2]


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


def publish(tmp_path, *options):
    command = ["publish", EMOJI_TINY, "me/tiny", "--license", "mit", "--data-license", "mit", "--dry-run", "-o"]
    return CliRunner().invoke(app, [*command, str(tmp_path / "look"), *options])


def test_a_checkpoint_is_published_with_its_space(tmp_path):
    result = publish(tmp_path, "--space", str(tmp_path / "space"))
    assert result.exit_code == 0 and "--repo-type space" in result.stdout
    assert "serve('me/tiny')" in (tmp_path / "space" / "app.py").read_text(encoding="utf-8")
    settings = yaml.safe_load((tmp_path / "space" / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert settings["license"] == "mit"


def test_nothing_is_published_where_the_space_has_no_room(tmp_path):
    (tmp_path / "file").touch()
    result = publish(tmp_path, "--space", str(tmp_path))
    assert result.exit_code == 2 and "is not empty; name a new folder." in result.stderr
    assert not (tmp_path / "look").exists()


def test_what_a_space_cannot_be(tmp_path):
    with pytest.raises(ValueError, match=r"but .* is a folder: publish it \(`clipseg-hf publish`\) and give its name"):
        write_space(tmp_path / "space", str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="is not empty; a Space is written into a new or empty folder"):
        write_space(tmp_path, "me/my-clipseg")


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.timeout(1500)
def test_it_starts_with_what_its_requirements_bring(browsers, tmp_path):
    """The package as a wheel, pip, `app.py` from its own folder, the port from the environment, as a Space has it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*command):
        subprocess.run([str(part) for part in command], check=True, cwd=tmp_path, env=environment)

    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT)
    wheel = next(tmp_path.glob("*.whl"))
    folder = tmp_path / "space"
    write_space(folder, "emoji-tiny", package=f"clipseg-hf[app] @ {wheel.as_uri()}")
    versions = (ROOT / "constraints.txt").read_text(encoding="utf-8").replace("pillow==", "# pillow==")
    versions += (ROOT / "constraints-app.txt").read_text(encoding="utf-8")
    (tmp_path / "constraints.txt").write_text(versions, encoding="utf-8")
    venv.create(tmp_path / "environment", with_pip=True)
    python = tmp_path / "environment" / "bin" / "python"
    pip = (python, "-m", "pip", "install", "--quiet", "--constraint", tmp_path / "constraints.txt")
    run(*pip, "torch")  # first, in the build that this machine has
    run(*pip, "--requirement", folder / "requirements.txt")

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    log = (tmp_path / "log").open("w+")
    environment |= {"GRADIO_SERVER_PORT": str(port), "CUDA_VISIBLE_DEVICES": ""}
    server = subprocess.Popen([python, "app.py"], cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 180
        while "The page with" not in Path(log.name).read_text(encoding="utf-8"):
            assert server.poll() is None and time.monotonic() < until, Path(log.name).read_text(encoding="utf-8")
            time.sleep(0.5)
        visitor = browsers("en-US", (1280, 1600), False)
        visitor.open(f"http://127.0.0.1:{port}/")
        visitor.until_says("banana", "score")
    finally:
        server.terminate()
        server.wait(timeout=30)
