"""What a visitor may send, and what comes back: by the embedded checkpoint on a shipped scene, without a server."""

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipseg_hf.app.asking import Asked, Desk
from clipseg_hf.app.limits import Limits, read_lines, read_picture
from clipseg_hf.app.scenes import EXAMPLES
from clipseg_hf.app.showing import Files, legend, show_cutouts, show_heat_maps, show_label_map, show_overlay
from clipseg_hf.app.words import WORDS, PageError, language_of
from clipseg_hf.inference import MaskOperations, Segmenter
from clipseg_hf.processing.masks.guided_filter import GuidedFilter

SCENE, TEXT = EXAMPLES[0]


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk(Segmenter.from_pretrained("emoji-tiny", device="cpu"), Limits(pictures=2))


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_every_scene_finds_all_that_it_is_asked_for(desk):
    for picture, text in EXAMPLES:
        found = desk.answer(Asked(picture, text))
        assert all(found.is_present) and min(found.areas) > 100


def test_words_and_sliders_do_not_encode_the_picture_again(desk, monkeypatch):
    first = desk.answer(Asked(SCENE, TEXT))
    monkeypatch.setattr(desk.segmenter, "encode", None)
    assert sum(desk.answer(Asked(SCENE, TEXT, threshold=0.9)).areas) < sum(first.areas)
    shrunk = desk.answer(Asked(SCENE, TEXT, operations=MaskOperations(erode=3)))
    assert sum(shrunk.areas) < sum(first.areas)
    assert desk.answer(Asked(Path(SCENE).read_bytes(), TEXT.split("\n")[0])).areas == first.areas[:1]


def test_borders_follow_edges_on_request_and_the_kept_picture_stays(desk, monkeypatch):
    plain = desk.answer(Asked(SCENE, TEXT))
    monkeypatch.setattr(desk.segmenter, "encode", None)
    guided = desk.answer(Asked(SCENE, TEXT, guided_filter=True))
    image = Image.open(SCENE).convert("RGB")
    segmenter = Segmenter(desk.segmenter.model, desk.segmenter.processor, guided_filter=GuidedFilter())
    expected = segmenter(image, TEXT.splitlines())[0]
    assert guided.areas == expected.areas != plain.areas
    assert desk.answer(Asked(SCENE, TEXT)).areas == plain.areas


def test_kept_pictures_are_bounded(desk):
    for picture, text in EXAMPLES[:3]:
        desk.answer(Asked(picture, text))
    assert len(desk._kept) == 2


def test_an_example_goes_with_the_first_line(desk):
    layer = np.zeros((100, 100, 4), np.uint8)
    layer[20:60, 20:60] = (255, 45, 120, 255)
    asked = Asked(SCENE, "banana\nrobot", SCENE, png(layer), mix=0)
    text = desk.answer(Asked(SCENE, "banana\nrobot"))
    found = desk.answer(asked)
    assert found.labels == ["banana + example", "robot"] and found.kinds == ["mixed", "text"]
    assert np.allclose(found.logits[0], text.logits[0], atol=1e-4)
    shown = desk.answer(replace(asked, mix=1))
    own = [desk.answer(replace(asked, mix=mix)).logits for mix in (None, desk.segmenter.image_prompt_weight)]
    assert np.array_equal(*own) and not np.allclose(own[0][0], text.logits[0], atol=1e-2)
    alone = desk.answer(replace(asked, text=""))
    assert alone.labels == ["example"] and np.allclose(shown.logits[0], alone.logits[0], atol=1e-4)
    whole = desk.answer(replace(asked, text="", brushed=png(np.zeros((9, 9, 4), np.uint8))))
    assert not np.allclose(whole.logits, alone.logits, atol=1e-2)
    assert desk.answer(replace(asked, text="banana | robot")).labels == ["banana | robot", "example"]


def complain(desk: Desk, *given, **named) -> str:
    with pytest.raises(PageError) as caught:
        desk.answer(Asked(*given, **named))
    assert caught.value.say("en") == str(caught.value) and caught.value.say("ko") != str(caught.value)
    return str(caught.value)


def test_what_a_visitor_can_mend(desk, tmp_path):
    assert complain(desk, None, "a cat") == "Give a picture first."
    assert complain(desk, SCENE, " \n ") == "Say what to look for: write a line, or give an example."
    assert complain(desk, SCENE, "cat |").startswith(
        "This cannot be asked. A prompt cannot be read: a phrase is missing"
    )
    assert "12 are asked at once" in complain(desk, SCENE, "a\n" * 13)
    assert complain(desk, SCENE, "a" * 1001).startswith("The text has 1001 characters; at most 1000 are read.")
    wrong = tmp_path / "notes.png"
    wrong.write_text("no picture")
    not_one = "This file is not a picture that can be read. PNG, JPEG and WebP are fine."
    assert complain(desk, str(wrong), "a cat") == not_one
    assert complain(desk, SCENE, "", str(wrong)) == not_one
    assert complain(desk, b"\x89PNG\r\n\x1a\n" + bytes(30), "a cat") == not_one


def test_pictures_are_bounded():
    content = png(np.zeros((40, 60, 3), np.uint8))
    with pytest.raises(PageError, match=r"^The file has 0\.0 MB; at most 0 MB are taken"):
        read_picture(content, Limits(file_bytes=len(content) - 1))
    with pytest.raises(PageError, match=r"million pixels; at most 0 million are taken\. Scale it down\.$"):
        read_picture(content, Limits(pixels=2399))
    picture, size = read_picture(content, Limits(file_bytes=len(content), pixels=2400, side=30))
    assert picture.size == (30, 20) and size == (60, 40)
    assert read_lines(" a \n\nb", Limits()) == ["a", "b"]


def test_what_was_reduced_is_said(desk):
    small = Desk(desk.segmenter, Limits(side=100))
    found, size = small.answer(Asked(SCENE, TEXT)), small.reduced_from(SCENE)
    assert size == (256, 256) and desk.reduced_from(SCENE) is None
    assert "has 256 x 256 pixels; it was reduced to 100 x 100 before" in legend(found, "en", size)


def test_what_is_shown_and_saved(desk):
    found = desk.answer(Asked(SCENE, "banana\n<b>robot</b>", threshold=0.5))
    text = legend(found, "en")
    assert text.count("<li>") == 2 and "&lt;b&gt;robot" in text and "<b>robot" not in text
    assert max(show_overlay(found).size) <= 960 and len(show_heat_maps(found)) == 2
    assert show_label_map(found).getpixel((1, 1)) == (0, 0, 0)
    assert [label for _, label in show_cutouts(found)] == [
        label for label, area in zip(found.labels, found.areas, strict=True) if area
    ]
    files = Files()
    assert Image.open(files.write(found, "overlay", "x")).width >= found.image.width
    record = json.loads(Path(files.write(found, "json", "x")).read_text(encoding="utf-8"))
    assert [entry["area"] for entry in record["prompts"]] == found.areas
    with zipfile.ZipFile(files.write(found, "masks", "x")) as archive:
        assert {"x_banana.png", "x_banana_cutout.png", "x_labels.png"} <= set(archive.namelist())
        mask = np.asarray(Image.open(io.BytesIO(archive.read("x_banana.png"))))
        assert np.array_equal(mask > 0, found.masks[0])


def test_both_languages_say_everything():
    assert WORDS["en"].keys() == WORDS["ko"].keys()
    for key, text in WORDS["en"].items():
        assert text != WORDS["ko"][key] or key == "prompts_hint"
        assert {p.split("}")[0] for p in text.split("{")[1:]} == {
            p.split("}")[0] for p in WORDS["ko"][key].split("{")[1:]
        }


def test_the_browser_tells_its_language():
    assert language_of("fr-FR,ko-KR;q=0.8,en;q=0.5") == "ko"
    assert language_of("en-US") == language_of("") == language_of(None) == language_of("fr") == "en"
