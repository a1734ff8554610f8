"""No line of the package writes or reads a pickle; weights of others (.pth, .bin) are read as tensors alone."""

import ast
from pathlib import Path

import pytest

import clipseg_hf

SOURCES = sorted(Path(clipseg_hf.__file__).parent.rglob("*.py"))
PICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve"}
FORBIDDEN = {"torch.save", "torch.jit.save", "torch.jit.load", "np.save", "numpy.save"}
FORBIDDEN |= {"accelerator.save", "accelerator.save_state", "accelerator.load_state", "accelerator.save_model"}
SAFE = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}
"""Calls that read no pickle, as they are told to by name."""


def _name(node: ast.expr) -> str:
    """`a.b.c` of a call's function."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    parts.append(node.id if isinstance(node, ast.Name) else "?")
    return ".".join(reversed(parts))


def pickling_calls(source: str) -> list[str]:
    """The calls in a source that could write or read a pickle."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PICKLERS:
            found.append(f"from {node.module} import ...")
        if not isinstance(node, ast.Call):
            continue
        name = _name(node.func)
        options = {keyword.arg: keyword.value for keyword in node.keywords}
        safe = {
            name for name, harmless in SAFE.items() if getattr(options.get(harmless[0]), "value", None) is harmless[1]
        }
        if name.split(".")[0] in PICKLERS or name in FORBIDDEN or (name in SAFE and name not in safe):
            found.append(f"{name}, line {node.lineno}")
    return found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle\npickle.dump(1, f)", ["pickle.dump, line 2"]),
        ("from dill import dumps", ["from dill import ..."]),
        ("torch.load(path)", ["torch.load, line 1"]),
        ("torch.load(path, weights_only=False)", ["torch.load, line 1"]),
        ("torch.load(path, weights_only=True)", []),
        ("np.load(path)", ["np.load, line 1"]),
        ("np.load(path, allow_pickle=False)", []),
        ("accelerator.save_state(folder)", ["accelerator.save_state, line 1"]),
        ("save_file(tensors, path)", []),
    ],
)
def test_the_search_finds_what_it_should(source, found):
    assert pickling_calls(source) == found


@pytest.mark.parametrize("path", SOURCES, ids=[path.stem for path in SOURCES])
def test_no_source_writes_or_reads_a_pickle(path):
    assert pickling_calls(path.read_text(encoding="utf-8")) == []
