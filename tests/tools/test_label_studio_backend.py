"""The backend as a server process, asked over HTTP as Label Studio asks; its own SDK reads the answers."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image, ImageDraw

from clipseg_hf.assets import EMOJI_SCENES
from clipseg_hf.inference import Segmenter
from tools.conftest import EXAMPLES

pytest.importorskip(
    "label_studio_ml", reason="`make test-tools` installs label-studio-ml beside the rest and runs this."
)
from label_studio_sdk.converter import brush
from label_studio_sdk.label_interface import LabelInterface

SCENE = f"{EMOJI_SCENES}/images/9.jpg"
LABELS = '<Label value="Dog" predicted_values="dog | fox"/><Label value="guitar"/><Label value="sunflower"/>'


def config(tag: str) -> str:
    return f'<View><Image name="photo" value="$picture"/><{tag} name="what" toName="photo">{LABELS}</{tag}></View>'


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of the backend."""
    folder = tmp_path_factory.mktemp("backend")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"MODEL_DIR": str(folder), "LOCAL_FILES_DOCUMENT_ROOT": str(EMOJI_SCENES)}
    command = [sys.executable, str(EXAMPLES / "label_studio_backend.py"), "--model", "emoji-tiny", "--port", str(port)]
    with open(folder / "log.txt", "wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            for _ in range(600):
                assert process.poll() is None, (folder / "log.txt").read_text()
                try:
                    ask(f"http://127.0.0.1:{port}/health")
                    break
                except urllib.error.URLError:
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def ask(address: str, body: dict | None = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=100) as answer:
        return json.load(answer)


def predict(server: str, tag: str) -> list[dict]:
    tasks = [{"id": 1, "data": {"picture": "/data/local-files/?d=images/9.jpg"}}]
    answer = ask(f"{server}/predict", {"tasks": tasks, "project": "3.1", "label_config": config(tag), "params": {}})
    [prediction] = answer["results"]
    assert LabelInterface(config(tag)).validate_prediction(prediction) is True
    return prediction


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    [result] = Segmenter.from_pretrained("emoji-tiny")(SCENE, ["dog | fox", "guitar"])
    cleaned = result.clean(min_area=0.0005)
    return dict(zip(["Dog", "guitar"], cleaned.masks, strict=True))


def test_it_answers_what_label_studio_asks_first(server):
    assert ask(f"{server}/health") == {"model_class": "CLIPSegBackend", "status": "UP"}
    body = {"project": "3.1", "schema": config("BrushLabels"), "hostname": "", "access_token": ""}
    assert ask(f"{server}/setup", body) == {"model_version": "clipseg-hf emoji-tiny"}


def test_brush_strokes(server, expected):
    prediction = predict(server, "BrushLabels")

    found = {label: np.zeros_like(mask) for label, mask in expected.items()}
    for region in prediction["result"]:
        assert (region["from_name"], region["to_name"], region["type"]) == ("what", "photo", "brushlabels")
        [label] = region["value"]["brushlabels"]  # a sunflower is not there
        size = region["original_height"], region["original_width"]
        found[label] |= brush.decode_rle(region["value"]["rle"]).reshape(*size, 4)[..., 3] > 127
        assert 0.3 < region["score"] <= 1
    assert all(np.array_equal(found[label], mask) and mask.any() for label, mask in expected.items())
    assert prediction["model_version"] == "clipseg-hf emoji-tiny"
    assert prediction["score"] == pytest.approx(np.mean([region["score"] for region in prediction["result"]]), abs=1e-5)


def test_polygons(server, expected):
    found = {label: np.zeros_like(mask) for label, mask in expected.items()}
    for region in predict(server, "PolygonLabels")["result"]:
        width, height = region["original_width"], region["original_height"]
        points = [(x * width / 100 - 0.5, y * height / 100 - 0.5) for x, y in region["value"]["points"]]
        drawn = Image.new("1", (width, height))
        ImageDraw.Draw(drawn).polygon(points, fill=1)  # which also draws the border, up to a pixel outside
        found[region["value"]["polygonlabels"][0]] |= np.asarray(drawn)
    for label, mask in expected.items():
        assert (found[label] & mask).sum() / (found[label] | mask).sum() > 0.9


def test_a_project_without_masks_is_told(server):
    body = {"tasks": [], "project": "3.1", "params": {}}
    body["label_config"] = (
        '<View><Image name="i" value="$i"/><Choices name="c" toName="i"><Choice value="a"/></Choices></View>'
    )
    with pytest.raises(urllib.error.HTTPError) as error:
        ask(f"{server}/predict", body)
    assert error.value.code == 500
    assert "No control tag of type ('BrushLabels', 'PolygonLabels')" in error.value.read().decode()
