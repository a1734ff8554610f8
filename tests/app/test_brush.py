"""The example: brushed over in a real browser, and read from what that sends."""

import base64
import json

import pytest

from clipseg_hf.app.brush import brush_script, read_brushed
from clipseg_hf.app.scenes import EXAMPLES
from clipseg_hf.app.words import PageError

ROBOT, OCTOPUS = (0.115, 0.31), (0.46, 0.75)  # in the first scene, as shares of its sides


def test_what_the_browser_sends_is_read():
    address = "data:image/png;base64," + base64.b64encode(b"a file").decode()
    assert read_brushed(None) == (None, None)
    assert read_brushed({"picture": address, "mask": None}) == (b"a file", None)
    assert read_brushed({"picture": address, "mask": address}) == (b"a file", b"a file")


@pytest.mark.parametrize("value", ["x", {"picture": "x"}, {"picture": 3}, {"picture": "data:;base64,?"}])
def test_anything_else_is_refused(value):
    with pytest.raises(PageError, match="not a picture that can be read"):
        read_brushed(value)


def test_the_script_has_its_words_in_both_languages():
    script = brush_script()
    assert "Choose a picture" in script and "사진 고르기" in script


def brush(visitor, place: tuple[float, float]):
    """Draw a small square over what is there."""
    from selenium.webdriver import ActionChains

    canvas = visitor.find("#example canvas")
    visitor.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    size = canvas.size
    x, y = ((share - 0.5) * size[side] for share, side in zip(place, ("width", "height"), strict=True))
    stroke = ActionChains(visitor.browser).move_to_element_with_offset(canvas, round(x) - 6, round(y) - 6)
    stroke.click_and_hold()
    for step in ((12, 0), (0, 12), (-12, 0), (0, -12)):
        stroke.move_by_offset(*step)
    stroke.release().perform()


def found_at(visitor) -> tuple[float, float]:
    """The middle of what the first prompt has found, as shares of the picture's sides."""
    record = json.loads(visitor.download("#save-json", ".json").read_text(encoding="utf-8"))
    left, top, width, height = record["prompts"][0]["box"]
    return (left + width / 2) / record["width"], (top + height / 2) / record["height"]


@pytest.mark.browser
def test_what_is_brushed_is_found(visit, page, tmp_path):
    from selenium.webdriver import Keys

    visitor = visit()
    visitor.find("#by-example button").click()
    visitor.until(lambda: visitor.find("#example .pick").is_displayed())
    wrong = tmp_path / "wrong.png"
    wrong.write_text("no picture")
    upload = visitor.find("#example input[type=file]")
    upload.send_keys(str(wrong))
    visitor.until(lambda: "not a picture that can be read" in visitor.find("#example [role=alert]").text)
    upload.send_keys(EXAMPLES[0][0])
    visitor.until_says("banana + example")
    visitor.write("")
    visitor.until(lambda: visitor.says().startswith("example"))
    brush(visitor, ROBOT)
    visitor.until(lambda: found_at(visitor) == pytest.approx(ROBOT, abs=0.05))
    visitor.find("#example .tools button").click()  # undo
    brush(visitor, OCTOPUS)
    visitor.until(lambda: found_at(visitor) == pytest.approx(OCTOPUS, abs=0.05))
    # the brush by keyboard, and the mix: none of the example is the text alone
    visitor.find("#example canvas").send_keys(Keys.ARROW_RIGHT, " ")
    visitor.write("banana")
    visitor.until_says("banana + example")
    mixed, seen = visitor.mask(), len(page.encoded)
    assert visitor.find("#mix input[type=range]").get_attribute("value") == "0.3"  # the checkpoint's own
    visitor.find("#mix input[type=range]").send_keys(Keys.HOME)
    visitor.changed(mixed)
    assert len(page.encoded) == seen
    visitor.find("#example .tools button:last-child").click()
    visitor.until(lambda: "example" not in visitor.says())
