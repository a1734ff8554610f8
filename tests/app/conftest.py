"""A visitor with a real browser, and the page as a process of its own."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipseg_hf.app.space import write_space

PATIENCE = 60  # seconds, on a machine that does much else


@pytest.fixture(scope="session")
def url(tmp_path_factory):
    """The page, started as a Space starts it: by `app.py`, from its own folder."""
    pytest.importorskip("gradio")
    pytest.importorskip("selenium")
    if missing := [name for name in ("chromium", "chromedriver") if not shutil.which(name)]:
        pytest.skip(f"{' and '.join(missing)} not found: install Debian's chromium and chromium-driver")
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
        options.binary_location = shutil.which("chromium") or ""
        width, height = size
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            f"--window-size={width},{height}",
        ):
            options.add_argument(argument)
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

    def until(self, condition: Callable[[], Any]) -> Any:
        """What it returns, once that is true."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if found := condition():
                return found
            time.sleep(0.1)
        raise AssertionError(f"It has not come about; the page says {self.says()!r}.")

    def until_says(self, *parts: str):
        self.until(lambda: all(part in self.says() for part in parts))

    def changed(self, before: str | None) -> str:
        """Address of the next picture with masks."""
        return self.until(lambda: (now := self.mask()) != before and now)

    def write(self, text: str):
        """Ask for other things."""
        from selenium.webdriver import Keys

        box = self.find("#prompts textarea")
        box.send_keys(Keys.CONTROL, "a")
        box.send_keys(Keys.DELETE)
        box.send_keys(text)

    def download(self, button: str, ending: str) -> Path:
        """A file, saved by a click."""
        before = {*self.downloads.glob("*")}
        self.find(button).click()
        new = self.until(lambda: [path for path in self.downloads.glob(f"*{ending}") if path not in before])[0]
        self.until(lambda: new.stat().st_size)
        return new


@pytest.fixture
def visit(url, tmp_path):
    visitors = []

    def visit(**options) -> Visitor:
        downloads = tmp_path / f"downloads{len(visitors)}"
        downloads.mkdir()
        visitors.append(Visitor(url, downloads, **options))
        return visitors[-1]

    yield visit
    for visitor in visitors:
        visitor.browser.quit()
