"""The page in a real browser; `make test-browser` runs it."""

import json
import urllib.request
import zipfile

import numpy as np
import pytest
from PIL import Image

from clipseg_hf.app.limits import Limits
from clipseg_hf.app.scenes import EXAMPLES

pytestmark = pytest.mark.browser
KOREAN_PHONE = {"language": "ko", "size": (390, 1200)}


def test_the_first_result_needs_no_click_and_nothing_from_elsewhere(visit, page):
    visitor = visit()
    assert all(word in visitor.says() for word in ("banana", "a robot", "an octopus", "score"))
    origins = "return [...new Set(performance.getEntriesByType('resource').map(entry => new URL(entry.name).origin))]"
    assert visitor.run(origins) == [page.url.rstrip("/")]
    assert not [entry for entry in visitor.browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_words(visit):
    visitor = visit()
    first = visitor.mask()
    visitor.write("a robot")
    second = visitor.changed(first)
    visitor.until(lambda: "a robot" in visitor.says() and "banana" not in visitor.says())
    visitor.write("a robot | banana - an octopus")
    combined = visitor.changed(second)
    visitor.until_says("a robot | banana - an octopus")
    visitor.find("#prompts textarea").send_keys(" |")
    visitor.until_says("a phrase is missing here")
    assert visitor.mask()  # what was found before stays while a line is being written
    visitor.write("")
    visitor.until_says("Say what to look for: write a line, or give an example.")
    visitor.write("a\n" * 13)
    visitor.until_says("There are 13 lines; at most 12 are asked at once.")
    visitor.write("banana")
    visitor.until_says("banana", "score")
    assert visitor.changed(combined)


def test_sliders_do_not_show_the_picture_to_the_model_again(visit, page):
    from selenium.webdriver import Keys

    visitor = visit()
    before, seen = visitor.mask(), len(page.encoded)
    visitor.find("#threshold input[type=range]").send_keys(*[Keys.ARROW_RIGHT] * 90)
    higher = visitor.changed(before)
    visitor.find("#threshold input[type=range]").send_keys(Keys.HOME)
    visitor.changed(higher)
    visitor.find("#operations button").click()
    visitor.until(lambda: visitor.find("#erode").is_displayed())
    before = visitor.mask()
    visitor.find("#erode input[type=range]").send_keys(*[Keys.ARROW_RIGHT] * 5)
    before = visitor.changed(before)
    visitor.find("#guided-filter input").click()
    visitor.changed(before)
    assert len(page.encoded) == seen


def test_files_to_take_home(visit):
    visitor = visit()
    record = json.loads(visitor.download("#save-json", ".json").read_text(encoding="utf-8"))
    assert [entry["prompt"] for entry in record["prompts"]] == ["a yellow banana", "a robot", "an octopus"]
    with Image.open(visitor.download("#save-overlay", ".png")) as overlay, Image.open(EXAMPLES[0][0]) as picture:
        assert overlay.width >= picture.width
    with (
        zipfile.ZipFile(visitor.download("#save-masks", ".zip")) as archive,
        archive.open("12_a-yellow-banana.png") as file,
    ):
        assert (np.asarray(Image.open(file)) > 0).sum() == record["prompts"][0]["area"]


def test_uploads(visit, page, tmp_path):
    visitor = visit()
    visitor.upload(EXAMPLES[2][0])
    visitor.write("a tomato")
    visitor.until_says("a tomato", "score")
    with Image.open(EXAMPLES[2][0]) as scene:
        scene.resize((3000, 1500)).save(tmp_path / "large.jpg")
    visitor.upload(tmp_path / "large.jpg")
    visitor.until_says("has 3000 x 1500 pixels; it was reduced to 2048 x 1024 before it was looked at.")
    assert page.encoded[-1] == (2048, 1024)
    seen = len(page.encoded)
    Image.new("L", (9000, 6000)).save(tmp_path / "pixels.png")
    (tmp_path / "bytes.png").write_bytes(bytes(17 * 2**20))
    (tmp_path / "wrong.png").write_text("no picture")
    complaints = {
        "pixels": "The picture has 54 million pixels; at most 50 million are taken.",
        "bytes": "The file has 17.0 MB; at most 16 MB are taken.",
        "wrong": "This file is not a picture that can be read.",
    }
    for name, complaint in complaints.items():
        visitor.upload(tmp_path / f"{name}.png")
        visitor.until_says(complaint)
        assert not visitor.mask()
    assert len(page.encoded) == seen


def test_two_at_once_and_who_comes_again(visit):
    one, other = visit(), visit(**KOREAN_PHONE)
    one.write("a robot")
    other.write("banana")
    one.until(lambda: one.says().startswith("a robot"))
    other.until(lambda: other.says().startswith("banana\n점수"))
    assert "banana" not in one.says() and "robot" not in other.says()
    one.browser.refresh()
    one.until(lambda: one.mask() and "octopus" in one.says())
    assert other.says().startswith("banana")


def test_scenes_and_the_keyboard_alone(visit):
    from selenium.webdriver import ActionChains, Keys

    visitor = visit()
    reached: list[str] = []
    here = "return document.activeElement.closest('[id]:not([id^=component]):not(label, input)')?.id"
    for _ in range(60):
        ActionChains(visitor.browser).send_keys(Keys.TAB).perform()
        reached.append(visitor.run(here))
        if reached.count("scenes") == 2:
            break
    order = ["picture", "prompts", "threshold", "by-example", "operations", "save-overlay", "save-json", "scenes"]
    assert sorted(order, key=reached.index) == order
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert visitor.run(outline) == "solid"
    ActionChains(visitor.browser).send_keys(Keys.ENTER).perform()  # the second scene
    visitor.until(lambda: visitor.says().startswith("laptop | dog"))
    assert visitor.find("#prompts textarea").get_property("value") == "laptop | dog"


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_in_korean(visit, dark):
    visitor = visit(**KOREAN_PHONE, dark=dark)
    visitor.until_says("점수")
    assert "찾는 마스크" in visitor.find("#title").text and visitor.find("#save-json").text == "수치와 마스크 (JSON)"
    visitor.find("#by-example button").click()
    visitor.find("#operations button").click()
    visitor.find("#example input[type=file]").send_keys(EXAMPLES[0][0])
    visitor.until_says("banana + 예시")
    assert visitor.find("#example .pick").text == "사진 고르기"
    assert visitor.find("#example .tools").text.split("\n")[0].startswith("되돌리기")
    assert visitor.run("return document.documentElement.scrollWidth") <= 390
    red = int(visitor.run("return getComputedStyle(document.body).backgroundColor").split("(")[1].split(",")[0])
    assert red < 40 if dark else red > 220


def test_a_full_queue_is_said(visit, serve_page):
    page = serve_page(limits=Limits(queue=1))
    at_work, *waiting = [visit(**who, url=page.url) for who in ({}, KOREAN_PHONE, KOREAN_PHONE | {"dark": True})]
    with page.closed:
        at_work.upload(EXAMPLES[1][0])
        for one in waiting:
            one.write("a cat")
        at_work.until(lambda: any("busy. Please try again" in one.find("body").text for one in waiting))


def test_a_request_without_end_is_not_heard_to_its_end(visit, page):
    def answer(size: int) -> int | None:
        body = b'{"data": ["' + b"x" * size + b'"]}'
        request = urllib.request.Request(page.url + "gradio_api/queue/join", body, {"Content-Type": "application/json"})
        with pytest.raises(OSError) as caught:
            urllib.request.urlopen(request, timeout=60)
        return getattr(caught.value, "code", None)

    assert answer(1000) == 400  # Gradio has read it, and knows of no such visitor
    assert answer(90 * 2**20) != 400
    assert "banana" in visit().says()
