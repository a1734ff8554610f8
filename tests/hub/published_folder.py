"""A folder as it is published: `emoji-tiny` for three things, with all that goes into its repository.

Without what stands beside its decoder, so that what runs by transformers alone gives the same masks.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clipseg_hf.assets import EMOJI_SCENES, EMOJI_TINY
from clipseg_hf.hub.remote_code import add_repository_files

SCENE = f"{EMOJI_SCENES}/images/2.jpg"  # with a dog and a sunflower
SERVER = Path(__file__).parent / "endpoint_server.py"
NAMES = ["dog", "sunflower", "cat"]


def make_published(folder: Path) -> Path:
    for name in ("model.safetensors", "processor_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(EMOJI_TINY) / name, folder / name)
    config = json.loads((Path(EMOJI_TINY) / "config.json").read_text())
    for name in ("refiner", "prompt_tokens"):
        config.pop(name, None)
    config["id2label"] = {str(number): name for number, name in enumerate(NAMES)}
    (folder / "config.json").write_text(json.dumps(config))
    add_repository_files(folder)
    return folder


# Put before a script: this package cannot be imported, as where it is not installed.
WITHOUT_US = """
import sys
class NotInstalled:
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "clipseg_hf":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NotInstalled())
"""


def alone(home: Path) -> dict[str, str]:
    """The environment of a process that shares nothing with this one, the place of the package included."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def without_us(script: Path, *arguments: str | Path) -> list[str]:
    """The command that runs a script where this package is not there."""
    return [sys.executable, "-c", WITHOUT_US + script.read_text(encoding="utf-8"), *map(str, arguments)]


@contextmanager
def endpoint(folder: Path, home: Path, *, with_us: bool = True, **environment: str) -> Iterator[str]:
    """The URL of a server that runs the folder's handler as the inference toolkit does, in a process of its own."""
    command = [sys.executable, SERVER, folder] if with_us else without_us(SERVER, folder)
    place = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")} if with_us else {}
    log = home / "endpoint.log"
    with log.open("w") as file:
        server = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=file, text=True, env=alone(home) | place | environment, cwd=home
        )
    try:
        port = server.stdout.readline().strip()
        assert port, log.read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
