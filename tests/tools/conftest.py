"""Annotation tools as they are on PyPI, by `make test-tools`; tests of those that are missing are left out."""

import importlib.util
import os
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def load_example(name: str):
    """A file of `examples/` as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def fiftyone(tmp_path_factory):
    """FiftyOne with a database of its own."""
    if importlib.util.find_spec("fiftyone") is None:
        pytest.skip("FiftyOne is missing: `make test-tools` installs it beside the rest and runs this.")
    folder = tmp_path_factory.mktemp("fiftyone")
    os.environ["FIFTYONE_DATABASE_DIR"] = str(folder / "database")
    os.environ["FIFTYONE_DEFAULT_DATASET_DIR"] = str(folder / "datasets")
    os.environ["FIFTYONE_DO_NOT_TRACK"] = "true"
    os.environ["FIFTYONE_DATABASE_VALIDATION"] = "false"  # it tells that MongoDB 6 is the oldest that it supports
    os.environ["FIFTYONE_SHOW_PROGRESS_BARS"] = "false"
    import fiftyone

    return fiftyone
