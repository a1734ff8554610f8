"""The page in a real browser, with the server as a process of its own; `make test-browser` runs it."""

import json

import pytest

from clipseg_hf.app.scenes import EXAMPLES

pytestmark = pytest.mark.browser


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
    saved = visitor.download("#save-json", ".json")
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
