"""`emoji-tiny`, exported once for all tests."""

import shutil
from pathlib import Path

import pytest
from filelock import FileLock

pytest.importorskip("onnxruntime", reason="exports run by onnxruntime")


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Path:
    """A minute and a half of work, shared by the processes that tests run in."""
    from clipseg_hf.export import export_onnx

    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if shared.name.startswith("popen-") else shared
    folder = shared / "emoji-tiny-onnx"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            unfinished = shared / "unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            export_onnx("emoji-tiny", unfinished, echo=lambda line: None)
            unfinished.rename(folder)
    return folder
