"""Transformers.js runs an export as it is; `make test-node` installs it."""

import json
import re
import shutil
import subprocess
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit
from transformers import CLIPSegConfig

from clipseg_hf.assets import EMOJI_SCENES, EMOJI_TINY
from clipseg_hf.inference import Segmenter

NODE = Path(__file__).parent / "node"
PAGE = Path(__file__).parents[2] / "examples" / "in_the_browser.html"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
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
    size = segmenter.processor.image_processor.size
    picture = Image.open(f"{EMOJI_SCENES}/images/9.jpg").convert("RGB").crop((0, 0, size["width"], size["height"]))
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
    away = np.abs(found - logits)
    if dtype == "fp16":  # the refiner magnifies, at a few edges, what half precision rounds
        assert (away > atol).mean() < 1e-3 and away.max() < 3 * atol
    elif dtype == "fp32":  # relative far from 0, where a refiner magnifies what single precision rounds
        np.testing.assert_allclose(found, logits, rtol=2e-4, atol=atol)
        np.testing.assert_allclose(expit(found), expit(logits), atol=2e-4)
    else:
        assert away.max() < atol
    assert ((found > 0) != (logits > 0)).mean() < 0.003


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_page_finds_the_same_in_a_browser(exported, expected, tmp_path):
    picture, _, logits = expected
    picture.save(tmp_path / "scene.png")
    shutil.copy(PAGE, tmp_path)
    (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
    (tmp_path / "emoji-onnx").symlink_to(exported)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=tmp_path))
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/{PAGE.name}?picture=scene.png&texts={','.join(TEXTS)}"
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=120000", "--dump-dom"]
    command = [CHROMIUM, *options, f"--user-data-dir={tmp_path / 'profile'}", address.replace(" ", "%20")]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=240)
    finally:
        server.shutdown()
        server.server_close()
    assert '<p id="status" role="status">Done.</p>' in result.stdout
    found = re.findall(r"<li[^>]*>(.*?): ([\d.]+) % of the picture", result.stdout)
    threshold = CLIPSegConfig.from_pretrained(EMOJI_TINY).mask_thresholds["text"]
    shares = 100 * (1 / (1 + np.exp(-logits)) > threshold).mean((1, 2))
    assert [text for text, _ in found] == TEXTS
    np.testing.assert_allclose([float(share) for _, share in found], shares, atol=0.01)
