"""The command line starts at once: help, versions and errors in the options load nothing that computes."""

import json
import subprocess
import sys

import pytest

from clipseg_hf.cli import app

HEAVY = [
    *("torch", "transformers", "tokenizers", "huggingface_hub", "datasets", "accelerate", "evaluate"),
    *("numpy", "PIL", "matplotlib", "pycocotools", "pandas", "pyarrow", "pydantic", "tqdm"),
]
COMMANDS = [info.name or info.callback.__name__ for info in app.registered_commands]
MODULES = ["clipseg_hf.evaluation", "clipseg_hf.training"]
PROGRAMS = ["clipseg-hf", *(f"clipseg-hf {command}" for command in COMMANDS), *MODULES]
CASES = {
    **{f"{program} --help": 0 for program in PROGRAMS},
    **{f"{program} --misspelt": 2 for program in PROGRAMS},
    "clipseg-hf --version": 0,
    "clipseg-hf segmnt": 2,
    "clipseg-hf": 2,
}
"""Words on the command line, and how the program ends. Names with a dot are modules, for `python -m`."""

SCRIPT = """
import contextlib, io, json, runpy, sys
import typer
bare = len(sys.modules)
for words in json.loads(sys.argv[1]):
    program, *sys.argv[1:] = words.split()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            module = "clipseg_hf.cli" if program == "clipseg-hf" else program
            code = runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code or 0
    loaded = [name for name in json.loads(HEAVY) if name in sys.modules]
    print(json.dumps([words, code, loaded, len(sys.modules) / bare]))
"""


@pytest.fixture(scope="module")
def found() -> dict[str, list]:
    """How each case ends, what is loaded then, and how many modules for each that Typer loads; in one process."""
    command = [sys.executable, "-c", SCRIPT.replace("HEAVY", repr(json.dumps(HEAVY))), json.dumps(list(CASES))]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {words: rest for words, *rest in map(json.loads, lines)}


@pytest.mark.parametrize("words", CASES)
def test_what_computes_is_loaded_when_a_command_runs(found, words):
    code, heavy, modules = found[words]
    assert code == CASES[words]
    assert not heavy
    assert modules < 2
