"""The page in a real browser, with the server as a process of its own; `make test-browser` runs it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clipseg_hf.app.scenes import EXAMPLES
from clipseg_hf.app.space import write_space

pytestmark = pytest.mark.browser
PATIENCE = 60  # seconds, on a machine that does much else


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The page, started as a Space starts it: by `app.py`, from its own folder."""
    pytest.importorskip("gradio")
    pytest.importorskip("selenium")
    folder = tmp_path_factory.mktemp("space") / "space"
    write_space(folder, "emoji-tiny")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "CUDA_VISIBLE_DEVICES": ""}
    log = (folder.parent / "log").open("w+")
    server = subprocess.Popen([sys.executable, "app.py"], cwd=folder, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}/"
    until = time.monotonic() + 180
    while "The page with" not in Path(log.name).read_text():
        assert server.poll() is None and time.monotonic() < until, Path(log.name).read_text()
        time.sleep(0.5)
    yield address
    server.terminate()
    server.wait(timeout=30)


class Visitor:
    """A browser on the page."""

    def __init__(self, url: str, downloads: Path, language: str = "en-US", size: tuple[int, int] = (1280, 1100)):
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
        width, height = size
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            f"--window-size={width},{height}",
        ):
            options.add_argument(argument)
        options.add_argument("--enable-unsafe-swiftshader")  # the brush draws by WebGL
        options.add_experimental_option(
            "prefs", {"intl.accept_languages": language, "download.default_directory": str(downloads)}
        )
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self.browser, self.downloads = webdriver.Chrome(options=options, service=service), downloads
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.browser.get(url)
        self.until(lambda: self.mask())

    def find(self, selector: str):
        return self.browser.find_element("css selector", selector)

    def mask(self) -> str | None:
        """Address of the picture with the masks, which is another for another picture."""
        return self.browser.execute_script(
            "const image = document.querySelector('#overlay img');"
            "return image && image.naturalWidth > 0 ? image.src : null"
        )

    def says(self) -> str:
        return self.find("#status").text

    def until(self, condition):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if found := condition():
                return found
            time.sleep(0.1)
        raise AssertionError(f"It has not come about; the page says {self.says()!r}.")

    def changed(self, before: str | None) -> str:
        return self.until(lambda: (now := self.mask()) != before and now)

    def write(self, text: str):
        from selenium.webdriver import Keys

        box = self.find("#prompts textarea")
        box.send_keys(Keys.CONTROL, "a")
        box.send_keys(Keys.DELETE)
        box.send_keys(text)


@pytest.fixture
def visit(url, tmp_path):
    visitors = []

    def visit(**options) -> Visitor:
        visitors.append(Visitor(url, tmp_path, **options))
        return visitors[-1]

    yield visit
    for visitor in visitors:
        visitor.browser.quit()


def test_words_sliders_files_and_nothing_from_elsewhere(visit, url):
    from selenium.webdriver import Keys

    visitor = visit()  # the first result has come without a click
    assert "banana" in visitor.says() and "octopus" in visitor.says()
    first = visitor.mask()
    visitor.write("a robot")
    second = visitor.changed(first)
    visitor.until(lambda: "a robot" in visitor.says() and "banana" not in visitor.says())
    visitor.find("#threshold input[type=range]").send_keys(*[Keys.ARROW_RIGHT] * 90)  # by keyboard alone
    visitor.changed(second)
    visitor.write("")
    visitor.until(lambda: "Say what to look for" in visitor.says())
    visitor.write("robot |")
    visitor.until(lambda: "a phrase is missing here" in visitor.says())
    visitor.write("banana")
    visitor.until(lambda: "banana" in visitor.says() and "score" in visitor.says())
    visitor.find("#save-json").click()
    saved = visitor.until(lambda: [*visitor.downloads.glob("*.json")])[0]
    visitor.until(lambda: saved.stat().st_size)
    assert json.loads(saved.read_text(encoding="utf-8"))["prompts"][0]["prompt"] == "banana"
    origins = visitor.browser.execute_script(
        "return [...new Set(performance.getEntriesByType('resource').map(entry => new URL(entry.name).origin))]"
    )
    assert origins == [url.rstrip("/")]


def test_uploads_reload_and_two_at_once(visit, tmp_path):
    one, other = visit(), visit(language="ko", size=(390, 1200))
    assert other.browser.execute_script("return document.documentElement.scrollWidth") <= 390
    other.until(lambda: "점수" in other.says())
    before = one.mask()
    one.find("#picture button[aria-label*='lear'], #picture button[aria-label*='emove']").click()
    one.until(lambda: "Give a picture first." in one.says())
    one.find("#picture input[type=file]").send_keys(EXAMPLES[2][0])
    one.write("a tomato")
    one.changed(before)
    one.until(lambda: "a tomato" in one.says() and "score" in one.says())
    assert "banana" in other.says() and "tomato" not in other.says()
    one.browser.refresh()
    one.until(lambda: one.mask() and "banana" in one.says())
    wrong = tmp_path / "wrong.png"
    wrong.write_text("no picture")
    one.find("#picture button[aria-label*='lear'], #picture button[aria-label*='emove']").click()
    one.until(lambda: "Give a picture first." in one.says())
    one.find("#picture input[type=file]").send_keys(str(wrong))
    one.until(lambda: "not a picture that can be read" in one.says())
