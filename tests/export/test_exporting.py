"""What cannot be exported is refused before anything is loaded."""

import sys

import pytest
from typer.testing import CliRunner

from clipseg_hf.cli import app
from clipseg_hf.export import export_onnx


def test_a_folder_with_something_in_it(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileExistsError, match="is not empty; name a new folder"):
        export_onnx("emoji-tiny", tmp_path)


def test_a_model_that_is_not_there(tmp_path):
    result = CliRunner().invoke(app, ["export", "onnx", str(tmp_path / "none"), str(tmp_path / "out")])
    assert result.exit_code == 2 and "There is no folder" in result.output
    assert not (tmp_path / "out").exists()


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(
        ImportError, match=r"To export, onnxscript must be installed: pip install 'clipseg-hf\[export\]'"
    ):
        export_onnx("emoji-tiny", tmp_path / "out")


def test_an_export_that_is_interrupted_leaves_nothing(tmp_path):
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_onnx("emoji-tiny", tmp_path / "out", echo=interrupt)
    assert not (tmp_path / "out").exists()
