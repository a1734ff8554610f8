"""`emoji-tiny`, exported once for all tests."""

import shutil
from pathlib import Path

import pytest
from filelock import FileLock

pytest.importorskip("onnxruntime", reason="exports run by onnxruntime")


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Path:
    """Two minutes of work, shared by the processes that tests run in."""
    from clipseg_hf.export import export_onnx

    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if shared.name.startswith("popen-") else shared
    folder = shared / "emoji-tiny-onnx"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            unfinished = shared / "unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            lines: list[str] = []
            export_onnx("emoji-tiny", unfinished, int8=True, fp16=True, echo=lines.append)
            (unfinished / "report.txt").write_text("\n".join(lines), encoding="utf-8")
            unfinished.rename(folder)
    return folder


def pytest_collection_modifyitems(items):
    """Whichever test is the first waits for the export."""
    for item in items:
        if "exported" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(1200))
