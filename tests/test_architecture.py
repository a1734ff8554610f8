"""The house: data flows one way, files stay small, importing the package costs nothing that it need not."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "clipseg_hf"
# A folder may import from those before it.
ORDER = [
    "modeling",
    "processing",
    "drawing",
    "data",
    "evaluation",
    "training",
    "reproduction",
    "inference",
    "hub",
    "cli",
]


def _imported_folders(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "clipseg_hf" and len(parts) > 1 and parts[1] in ORDER:
                yield parts[1], node.lineno


def _files():
    for path in sorted(SOURCE.rglob("*.py")):
        folder = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if folder in ORDER:
            yield pytest.param(folder, path, id=str(path.relative_to(SOURCE)))


@pytest.mark.parametrize(("folder", "path"), list(_files()))
def test_imports_point_one_way(folder, path):
    wrong = [
        f"line {line} imports {other}"
        for other, line in _imported_folders(path)
        if ORDER.index(other) > ORDER.index(folder)
    ]
    assert not wrong


def test_every_folder_is_in_the_order():
    folders = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()}
    assert folders <= set(ORDER)


def test_import_is_light():
    """What only some commands need is imported by them."""
    code = (
        "import sys, clipseg_hf\n"
        "print([name for name in ('datasets', 'evaluate', 'matplotlib', 'pycocotools', 'cv2',"
        " 'emoji', 'nltk', 'tensorboard', 'typer', 'gradio', 'pandas') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
