"""handler.py behind a real server in its own process, asked by the official client; and what it refuses."""

import base64
import importlib.util
import io
import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from PIL import Image
from pycocotools import mask as coco

import clipseg_hf
from clipseg_hf.assets import EMOJI_TINY
from clipseg_hf.hub.remote_code import REPOSITORY_FILES
from clipseg_hf.processing import decode_rle
from hub.published_folder import NAMES, SCENE, endpoint, make_published

DATA = Path(SCENE).read_bytes()
CODED = base64.b64encode(DATA).decode()


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    folder = make_published(tmp_path_factory.mktemp("published"))
    settings = json.loads((folder / "processor_config.json").read_text())
    settings["image_processor"]["size"] = {"height": 192, "width": 192}  # quicker
    (folder / "processor_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def url(published, tmp_path_factory):
    limits = {"CLIPSEG_MAX_PROMPTS": "3", "CLIPSEG_MAX_PIXELS": "1000000"}
    with endpoint(published, tmp_path_factory.mktemp("home"), **limits) as url:
        yield url


@pytest.fixture
def online(monkeypatch):
    """The official client refuses to reach anything, this machine included, where the tests' HF_HUB_OFFLINE is set."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


@pytest.fixture(scope="module")
def ours(published):
    return clipseg_hf.pipeline(model=published, device="cpu")


def ask(url: str, body: bytes | dict, kind: str = "application/json") -> tuple[int, list | dict]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def parameters(**given) -> dict:
    return {"inputs": CODED, "parameters": given}


def _pixels(mask: Image.Image) -> np.ndarray:
    return np.asarray(mask) > 0


def test_the_official_client_gets_masks(url, ours, online):
    expected = ours(SCENE)
    client = InferenceClient(url)
    own = json.loads((Path(EMOJI_TINY) / "config.json").read_text())["mask_thresholds"]["text"]
    for given in ({}, {"threshold": own}, {"mask_threshold": own}):  # as an image, as base64
        found = client.image_segmentation(SCENE, **given)
        assert [entry.label for entry in found] == NAMES
        assert [entry.score for entry in found] == pytest.approx([entry["score"] for entry in expected], abs=1e-3)
        assert [entry.presence for entry in found] == pytest.approx([e["presence"] for e in expected], abs=1e-4)
        for entry, other in zip(found, expected, strict=True):
            assert entry.mask.mode == "L" and (_pixels(entry.mask) != _pixels(other["mask"])).mean() < 1e-3
    assert [entry.label for entry in client.image_segmentation(DATA, subtask="semantic")] == NAMES


def test_prompts_and_formats(url, ours):
    (dog, sunflower) = ours(SCENE, prompts=["dog", "sunflower"], threshold=[0.48, 0.2])
    answers = {}
    for form in ("png", "rle", "polygons"):
        status, found = ask(url, parameters(prompts=["dog", "sunflower"], threshold=[0.48, 0.2], output_format=form))
        assert status == 200
        assert [entry["label"] for entry in found] == ["dog", "sunflower"]
        assert found[0]["box"] == pytest.approx(dog["box"], abs=1)
        answers[form] = [entry["mask"] for entry in found]
    for number, expected in enumerate((dog, sunflower)):
        picture = _pixels(Image.open(io.BytesIO(base64.b64decode(answers["png"][number]))))
        assert (picture != _pixels(expected["mask"])).mean() < 1e-3 and picture.any()
        rle = answers["rle"][number]
        assert np.array_equal(decode_rle(rle), picture)
        assert np.array_equal(coco.decode(coco.frPyObjects(rle, *rle["size"])), picture)
        polygons = coco.merge(coco.frPyObjects(answers["polygons"][number], *picture.shape))
        assert np.array_equal(coco.decode(polygons), picture)
    status, (found,) = ask(f"{url}?prompts=dog&threshold=0.48", DATA, "image/jpeg")  # as curl does it
    assert (status, found["label"]) == (200, "dog")
    assert found["score"] == pytest.approx(dog["score"], abs=1e-3)
    assert ask(url, {"inputs": f"data:image/jpeg;base64,{CODED}"})[0] == 200


def test_masks_are_worked_over(url, ours):
    options = {"prompts": "dog | penguin", "min_area": 200, "dilate": 2, "objects": True}
    expected = ours(SCENE, **options)
    assert len(expected) > 1 and {entry["label"] for entry in expected} == {"dog | penguin"}
    status, found = ask(url, parameters(output_format="rle", **options))
    assert status == 200
    for entry, other in zip(found, expected, strict=True):
        assert (decode_rle(entry["mask"]) != _pixels(other["mask"])).mean() < 1e-3
    status, (edged,) = ask(f"{url}?prompts=dog&guided_filter=true&output_format=rle", DATA, "image/jpeg")
    (other,) = ours(SCENE, prompts="dog", guided_filter=True)
    assert status == 200 and (decode_rle(edged["mask"]) != _pixels(other["mask"])).mean() < 1e-3
    status, inverted = ask(f"{url}?prompts=dog&invert=true", DATA, "image/jpeg")
    plain = _pixels(ours(SCENE, prompts="dog")[0]["mask"])
    picture = Image.open(io.BytesIO(base64.b64decode(inverted[0]["mask"])))
    assert status == 200 and (_pixels(picture) == plain).mean() < 1e-3


def test_an_empty_and_a_full_mask_as_runs(handler):
    assert handler.MASKS["rle"](Image.new("L", (3, 2))) == {"size": [2, 3], "counts": [6]}
    assert handler.MASKS["rle"](Image.new("L", (3, 2), 255)) == {"size": [2, 3], "counts": [0, 6]}
    corner = Image.new("L", (3, 2))
    corner.putpixel((2, 1), 255)
    corner.putpixel((0, 1), 255)
    assert handler.MASKS["rle"](corner) == {"size": [2, 3], "counts": [1, 1, 3, 1]}


def _png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


MALFORMED = [
    (b"{", "Expecting property name"),  # by the toolkit itself
    ({"image": CODED}, "Body needs to provide a inputs key"),
    ({"inputs": CODED[:4000]}, "The image is damaged or cut off."),
    ({"inputs": "/etc/passwd"}, "inputs is a text, but not the base64 of an image."),
    (
        {"inputs": base64.b64encode(b"GIF of nothing").decode()},
        "inputs is no image that can be read; expected one of PN",
    ),
    ({"inputs": [CODED]}, "inputs is an image, or its base64; got list."),
    (
        {"inputs": base64.b64encode(_png(2000, 501)).decode()},
        "The image has 2000 x 501 pixels; at most 1000000 of them.",
    ),
    (
        {"inputs": "http://127.0.0.1/secret.png"},
        "This endpoint fetches no URLs (CLIPSEG_ALLOW_URLS=1 lets it): send the",
    ),
    (parameters(prompts=["a"] * 4), "At most 3 prompts of 1000 characters, got 4."),
    (parameters(prompts=["a" * 1001]), "At most 3 prompts of 1000 characters, got 1."),
    (parameters(prompts=[{"image": 1}]), "prompts is a text or a list of texts."),
    (parameters(prompts=[]), "There is no prompt"),
    (parameters(prompts=" "), "empty phrase"),
    (
        parameters(treshold=0.5),
        "parameters are prompts, threshold, mask_threshold, subtask, output_format, fill_holes, ",
    ),
    (parameters(threshold=0.1, mask_threshold=0.2), "threshold and mask_threshold are the same: give one of them."),
    (parameters(threshold="high"), "threshold is a number, or a list with one for each prompt; got 'high'."),
    (parameters(threshold=[0.1, 0.2]), "2 thresholds for 3 prompts"),
    (parameters(threshold=7), "A threshold is a probability in [0, 1]"),
    (parameters(subtask="panoptic"), "subtask is one of prompted, semantic; got 'panoptic'."),
    (parameters(output_format="svg"), "output_format is one of png, rle, polygons; got 'svg'."),
    (parameters(min_area="large"), "min_area is a number, got 'large'."),
    (parameters(dilate=-1), "dilate is a size of 0 or more, got -1.0."),
    (parameters(invert="perhaps"), "invert is true or false, got 'perhaps'."),
    ({"inputs": CODED, "parameters": [1]}, "parameters is an object, got list."),
]


def test_two_hundred_requests_from_eight_threads_a_tenth_of_them_malformed(url, online):
    client = InferenceClient(url)

    def work(number):
        if number % 10 == 9:
            return ask(url, MALFORMED[number // 10][0])
        return client.image_segmentation(SCENE, threshold=0.3 if number % 2 else None)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(work, range(10 * len(MALFORMED))))
    for number, answer in enumerate(answers):
        if number % 10 == 9:
            status, error = answer
            assert status == 400 and list(error) == ["error"]
            assert MALFORMED[number // 10][1] in error["error"]
            assert "Traceback" not in error["error"] and "clipseg_hf" not in error["error"]
        else:
            assert [entry.label for entry in answer] == NAMES
            assert answer[0].score == pytest.approx(answers[number % 2][0].score)
            assert (_pixels(answer[0].mask) == _pixels(answers[number % 2][0].mask)).all()


def test_the_official_client_is_told_why(url, online):
    with pytest.raises(HfHubHTTPError) as error:
        InferenceClient(url).image_segmentation(SCENE, subtask="panoptic")
    assert "subtask is one of prompted, semantic" in error.value.response.text


def test_where_this_package_is_not_installed(published, url, tmp_path):
    asked = parameters(prompts=["dog", "animal"], output_format="rle")
    with endpoint(published, tmp_path, with_us=False) as stock:
        (_, expected), (status, found) = ask(url, asked), ask(stock, asked)
        assert status == 200
        for entry, other in zip(found, expected, strict=True):
            assert entry["label"] == other["label"]
            assert entry["presence"] == pytest.approx(other["presence"], abs=1e-4)
            assert (decode_rle(entry["mask"]) != decode_rle(other["mask"])).mean() < 1e-3
        assert [entry["label"] for entry in ask(stock, DATA, "image/jpeg")[1]] == NAMES
        status, error = ask(stock, parameters(objects=True))
        assert (status, error["error"]) == (400, "objects needs clipseg-hf in the endpoint's requirements.txt.")
        status, error = ask(stock, parameters(output_format="polygons"))
        assert status == 400 and error["error"].startswith('output_format "polygons" needs clipseg-hf')


# What is inside, in this process


@pytest.fixture
def handler() -> ModuleType:
    spec = importlib.util.spec_from_file_location("handler_under_test", REPOSITORY_FILES / "handler.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_fails_inside_is_told_to_the_log_alone(handler, published, caplog):
    endpoint = handler.EndpointHandler(str(published))
    assert len(endpoint({"inputs": DATA})) == 3  # bytes, as other servers give them
    endpoint.segment.model.decoder = None
    with pytest.raises(
        RuntimeError, match=r"^The request could not be answered; the endpoint's log says why\.$"
    ) as error:
        endpoint({"inputs": DATA, "parameters": {"prompts": "dog"}})
    assert error.value.__cause__ is None and error.value.__suppress_context__
    assert "Traceback" in caplog.text


def test_sizes(handler, monkeypatch):
    monkeypatch.setattr(handler, "MAX_BYTES", len(DATA))
    for given in (DATA, CODED, f"data:image/jpeg;base64,{CODED}"):
        assert handler.read_image(given).size == Image.open(SCENE).size
    monkeypatch.setattr(handler, "MAX_BYTES", len(DATA) - 3)
    for given in (DATA, CODED):
        with pytest.raises(ValueError, match=rf"^The image has more than {len(DATA) - 3} bytes\.$"):
            handler.read_image(given)
    monkeypatch.setattr(handler.Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match="too many pixels"):
        handler.read_image(_png(8, 8))


class Files(BaseHTTPRequestHandler):
    """The scene, endless data, and redirects to wherever the path says."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
        elif self.path == "/scene.jpg":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(DATA)
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(bytes(1 << 16))
            except OSError:
                pass
        else:
            self.send_error(404)


@pytest.fixture
def files():
    with ThreadingHTTPServer(("0.0.0.0", 0), Files) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield partial("http://{}:{}{}".format)("127.0.0.1", server.server_port, "")
        server.shutdown()


@pytest.fixture
def as_if_public(handler, monkeypatch):
    """127.0.0.1 stands for an address of the internet; 127.0.0.2 stays one of this machine."""
    monkeypatch.setattr(handler, "ALLOW_URLS", True)
    monkeypatch.setattr(handler, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(handler, "MAX_BYTES", 1_000_000)


def test_a_url_is_fetched_where_that_is_switched_on(handler, files, as_if_public):
    assert handler.read_image(f"{files}/scene.jpg").size == Image.open(SCENE).size
    assert handler.read_image(f"{files}/to/{files}/scene.jpg").size == Image.open(SCENE).size
    with pytest.raises(ValueError, match="The image has more than 1000000 bytes"):
        handler.read_image(f"{files}/endless")
    with pytest.raises(ValueError, match=r"^The URL cannot be fetched: it did not answer with a file\.$"):
        handler.read_image(f"{files}/lost.jpg")


@pytest.mark.parametrize("place", ["http://127.0.0.2:{port}/scene.jpg", "file:///etc/passwd", "ftp://127.0.0.1/a"])
def test_a_redirect_leads_nowhere_else(handler, files, as_if_public, place):
    target = place.format(port=files.rpartition(":")[2])
    with pytest.raises(ValueError, match=r"^The URL cannot be fetched: it"):
        handler.read_image(f"{files}/to/{target}")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0.0.0.0", "[::ffff:127.0.0.1]"])
def test_no_address_of_this_machine(handler, files, monkeypatch, host):
    monkeypatch.setattr(handler, "ALLOW_URLS", True)
    with pytest.raises(ValueError, match=r"^The URL cannot be fetched: it leads to an address that is not public\.$"):
        handler.read_image(f"{files.replace('127.0.0.1', host)}/scene.jpg")


def test_what_is_public(handler):
    private = "10.1.2.3 172.16.0.1 192.168.1.1 127.0.0.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 255.255.255.255"
    private += " ::1 :: fe80::1 fc00::1 ff02::1 ::ffff:10.0.0.1 ::ffff:169.254.169.254"
    assert not [address for address in private.split() if handler.is_public(address)]
    assert all(handler.is_public(address) for address in ("8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"))
