"""The wheel holds everything that the demo needs."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from clipseg_hf.hub.remote_code import REPOSITORY_FILES

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_installed_wheel_runs_the_demo_outside_of_the_tree(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert all(f"clipseg_hf/hub/repository_files/{path.name}" in names for path in REPOSITORY_FILES.glob("*.*"))
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "site")]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "HF_HOME": str(tmp_path / "home")}
    where = [sys.executable, "-c", "import clipseg_hf; print(clipseg_hf.__file__)"]
    path = subprocess.run(where, check=True, capture_output=True, text=True, env=environment, cwd=tmp_path).stdout
    assert path.startswith(str(tmp_path / "site"))
    demo = [sys.executable, "-m", "clipseg_hf.cli", "demo", "-o", str(tmp_path / "out")]
    result = subprocess.run(demo, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert list((tmp_path / "out").glob("*.png"))
