"""A result from logits whose masks can be drawn by hand."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from clipseg_hf.inference import Segmentation
from clipseg_hf.processing import decode_rle

LIKELY, SURE, UNLIKELY = 1.0, 3.0, -3.0  # probabilities 0.731, 0.953, 0.047


@pytest.fixture
def result() -> Segmentation:
    """On 4 x 6 pixels: "left" the left half, "middle" four columns, more surely, "nothing" nowhere."""
    logits = torch.full((3, 4, 6), UNLIKELY)
    logits[0, :, :3], logits[1, :, 1:5] = LIKELY, SURE
    image = Image.new("RGB", (6, 4), "grey")
    return Segmentation.from_logits(image, logits, ["left", "middle", "nothing"], ["text"] * 3, [0.5] * 3, 0.3)


def test_masks_and_what_is_read_off_them(result):
    assert result.areas == [12, 16, 0]
    assert result.boxes == [[0, 0, 3, 4], [1, 0, 4, 4], None]
    assert result.scores == pytest.approx([0.731059, 0.952574, 0], abs=1e-6)
    assert result.presence == pytest.approx([0.731059, 0.952574, 0.047426], abs=1e-6)
    assert result.is_present == [True, True, False]
    for rle, mask in zip(result.rles, result.masks, strict=True):
        assert np.array_equal(decode_rle(rle), mask)


def test_probabilities_are_at_the_image_s_size(result):
    result.image = Image.new("RGB", (60, 40))
    probabilities = result.probabilities(0)
    assert probabilities.shape == (40, 60)
    assert probabilities[20, 5] == pytest.approx(0.731059, abs=1e-6)


def test_exclusive_gives_each_pixel_to_the_surest(result):
    exclusive = result.exclusive()
    assert exclusive.label_map.tolist() == [[1, 2, 2, 2, 2, 0]] * 4
    assert exclusive.areas == [4, 16, 0]
    assert exclusive.scores == pytest.approx([0.731059, 0.952574, 0], abs=1e-6)
    assert result.areas == [12, 16, 0]  # the result itself stays


def test_json(result):
    record = json.loads(json.dumps(result.to_dict()))
    assert (record["height"], record["width"]) == (4, 6)
    first, _, last = record["prompts"]
    rle = first.pop("rle")
    assert first == {
        "prompt": "left",
        "kind": "text",
        "threshold": 0.5,
        "box": [0, 0, 3, 4],
        "area": 12,
        "score": 0.731059,
        "presence": 0.731059,
        "is_present": True,
    }
    assert decode_rle(rle).sum() == 12
    assert last["box"] is None


def test_words_for_people(result):
    result.is_present[0] = False
    assert list(result.captions()) == ["left: 0.73, perhaps absent", "middle: 0.95", "nothing: not found"]
    assert result.describe() == [
        "left     score 0.73  presence 0.73   50.0% of the image  box 0, 0, 3, 4   (perhaps absent)",
        "middle   score 0.95  presence 0.95   66.7% of the image  box 1, 0, 4, 4",
        "nothing  not found   presence 0.05",
    ]


def test_what_may_be_absent_is_only_outlined(result):
    result.image = Image.new("RGB", (640, 427), "grey")
    result.masks = np.zeros((3, 427, 640), bool)
    result.masks[:2, 100:300, 100:300] = True
    result.is_present = [False, False, False]
    drawn = result.overlay(legend=False)
    assert drawn.getpixel((200, 200)) == result.image.getpixel((200, 200)) != drawn.getpixel((100, 200))


def test_pictures(result):
    overlay, plain, heat = result.overlay(), result.overlay(legend=False), result.heat_map(1)
    assert plain.size == heat.size == (640, 427)
    assert overlay.height > plain.height
