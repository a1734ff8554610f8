"""The house: data flows one way, files stay small, importing the package costs nothing that it need not."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "clipseg_hf"
# A folder may import from those before it.
ORDER = [
    "assets",
    "console",
    "modeling",
    "processing",
    "drawing",
    "data",
    "labels",
    "evaluation",
    "inference",
    "labelling",
    "export",
    "hub",
    "app",
    "training",
    "reproduction",
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


def _imports() -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports, wherever in the file, packages' own `__init__` left out."""
    modules = {".".join(path.relative_to(SOURCE.parent).with_suffix("").parts): path for path in SOURCE.rglob("*.py")}
    found = {}
    for module, path in modules.items():
        names = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        found[module] = names & modules.keys()
    return found


def test_no_module_imports_itself_by_way_of_others():
    imports, done = _imports(), set()

    def visit(module: str, path: tuple[str, ...]):
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for other in imports[module]:
                visit(other, (*path, module))
            done.add(module)

    for module in imports:
        visit(module, ())


def test_no_folder_is_a_hall():
    """One subject in each; what grows beyond a dozen files has two."""
    sizes = {folder: len(list(folder.glob("*.py"))) for folder in SOURCE.rglob("*") if folder.is_dir()}
    assert not {str(folder): size for folder, size in sizes.items() if size > 13}


def test_every_room_says_what_it_is_for():
    for path in SOURCE.rglob("__init__.py"):
        assert len(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "") > 100, path


def test_every_folder_is_in_the_order():
    folders = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()}
    assert folders <= set(ORDER)


def test_import_is_light():
    """What a name or a command needs is imported when it is used."""
    code = (
        "import sys, clipseg_hf\n"
        "print([name for name in ('torch', 'transformers', 'numpy', 'PIL', 'huggingface_hub', 'tokenizers',"
        " 'datasets', 'evaluate', 'matplotlib', 'pycocotools', 'cv2',"
        " 'emoji', 'nltk', 'tensorboard', 'typer', 'gradio', 'pandas') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
