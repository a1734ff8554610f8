"""Transformers.js runs an export as it is; `make test-node` installs it."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipseg_hf.assets import EMOJI_SCENES
from clipseg_hf.inference import Segmenter

NODE = Path(__file__).parent / "node"
TEXTS = ["dog", "the sunflower above the dog", "a cat"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (NODE / "node_modules").is_dir() or shutil.which("node") is None,
        reason="needs Node and what `make test-node` installs",
    ),
]


@pytest.fixture(scope="module")
def expected():
    segmenter = Segmenter.from_pretrained("emoji-tiny", device="cpu")
    # of the model's size: Transformers.js resizes by other means than Pillow
    picture = Image.open(f"{EMOJI_SCENES}/images/9.jpg").convert("RGB").crop((0, 0, 256, 256))
    return picture, segmenter.processor.tokenizer(TEXTS, padding=True)["input_ids"], segmenter(picture, TEXTS)[0].logits


@pytest.mark.parametrize(("dtype", "atol"), [("fp32", 1e-3), ("fp16", 0.1), ("q8", 2)])
def test_logits_are_those_of_torch(exported, expected, tmp_path, dtype, atol):
    picture, tokens, logits = expected
    picture.save(tmp_path / "scene.png")
    command = ["node", "segment.js", str(exported), dtype, str(tmp_path / "scene.png"), *TEXTS]
    result = subprocess.run(command, cwd=NODE, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["tokens"] == tokens
    found = np.reshape(found["logits"], found["shape"])
    np.testing.assert_allclose(found, logits, atol=atol, rtol=0)
    assert ((found > 0) != (logits > 0)).mean() < 0.003
