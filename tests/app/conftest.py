"""The page at work, and visitors with a real browser."""

import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clipseg_hf.inference import Segmenter

PATIENCE = 60  # seconds, on a machine that does much else


@dataclass
class Page:
    """A page that is served.

    Attributes:
        url: where.
        encoded: (width, height) of each picture that the model of any page has been shown, one after the other.
        closed: while it is held, no model looks at a picture.
    """

    url: str
    encoded: list[tuple[int, int]]
    closed: Any


@pytest.fixture(scope="session")
def serve_page():
    """Starts pages, with limits if there are any."""
    pytest.importorskip("gradio")
    from clipseg_hf.app import serve

    encode, encoded, closed, pages = Segmenter.encode, [], threading.Lock(), []

    def watched(segmenter: Segmenter, image):
        with closed:
            encoded.append(image.size)
            return encode(segmenter, image)

    def start(**options) -> Page:
        pages.append(serve("emoji-tiny", device="cpu", wait=False, **options))
        return Page(pages[-1].local_url, encoded, closed)

    patch = pytest.MonkeyPatch()
    patch.setattr(Segmenter, "encode", watched)
    yield start
    patch.undo()
    for one in pages:
        one.close(verbose=False)


@pytest.fixture(scope="session")
def page(serve_page) -> Page:
    return serve_page()


class Visitor:
    """A browser of one person."""

    def __init__(self, downloads: Path, language: str, size: tuple[int, int], dark: bool):
        from selenium import webdriver

        self.downloads = downloads
        width, height = size
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", f"window-size={width},{height}"):
            options.add_argument(f"--{argument}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        options.add_experimental_option(
            "prefs", {"intl.accept_languages": language, "download.default_directory": str(downloads)}
        )
        self.browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def open(self, url: str):
        """Come to a page, and wait for the first masks."""
        self.browser.get(url)
        self.until(self.mask)

    def run(self, script: str, *arguments) -> Any:
        return self.browser.execute_script(script, *arguments)

    def find(self, selector: str):
        return self.browser.find_element("css selector", selector)

    def click(self, selector: str):
        """In the middle of the window, where nothing lies over it."""
        target = self.find(selector)
        self.run("arguments[0].scrollIntoView({block: 'center'})", target)
        target.click()

    def mask(self) -> str | None:
        """Address of the picture with the masks, which is another for another picture."""
        return self.run(
            "const image = document.querySelector('#overlay img');"
            "return image && image.naturalWidth > 0 ? image.src : null"
        )

    def says(self) -> str:
        return self.find("#status").text

    def until(self, condition: Callable[[], Any]) -> Any:
        """What it returns, once that is true; what is not there yet, or drawn anew, is not true."""
        from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException

        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with suppress(NoSuchElementException, StaleElementReferenceException):
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

    def upload(self, file: str | Path):
        """Give another picture."""
        if remove := self.browser.find_elements("css selector", "#picture button[aria-label='Clear']"):
            remove[0].click()
            self.until(lambda: not self.mask())
        self.find("#picture input[type=file]").send_keys(str(file))

    def download(self, button: str, ending: str) -> Path:
        """A file, saved by a click."""
        before = {*self.downloads.glob("*")}
        self.click(button)
        new = self.until(lambda: [path for path in self.downloads.glob(f"*{ending}") if path not in before])[0]
        self.until(lambda: new.stat().st_size)
        return new


@pytest.fixture(scope="session")
def browsers(tmp_path_factory):
    """Browsers by language, size and colours, each started once."""
    pytest.importorskip("selenium")
    if missing := [name for name in ("chromium", "chromedriver") if not shutil.which(name)]:
        pytest.skip(f"{' and '.join(missing)} not found: install Debian's chromium and chromium-driver")
    started: dict[tuple, Visitor] = {}

    def start(*options) -> Visitor:
        if options not in started:
            started[options] = Visitor(tmp_path_factory.mktemp("downloads"), *options)
        return started[options]

    yield start
    for visitor in started.values():
        visitor.browser.quit()


@pytest.fixture
def visit(browsers, page):
    """Somebody comes to the page, who has not been there before."""

    def come(
        language: str = "en-US", size: tuple[int, int] = (1280, 1600), dark: bool = False, url: str = page.url
    ) -> Visitor:
        visitor = browsers(language, size, dark)
        visitor.open(url)
        return visitor

    return come
