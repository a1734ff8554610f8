"""A result from logits whose masks can be drawn by hand."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from clipseg_hf.inference import MaskOperations, Segmentation
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


def test_clean_works_on_masks_and_counts_scores_anew(result):
    cleaned = result.clean(erode=1)
    assert cleaned.masks[0].sum(axis=1).tolist() == [2, 2, 2, 2]  # the edge of the image is no border
    assert cleaned.areas == [8, 8, 0] and cleaned.scores == pytest.approx(result.scores)
    assert result.clean(MaskOperations(dilate=1)).scores[0] < result.scores[0]  # less sure pixels are in it
    outside = result.clean(invert=True)
    assert outside.areas == [12, 8, 24]
    assert outside.scores == pytest.approx([1 - 0.047426] * 3, abs=1e-5)  # sure that they are not
    with pytest.raises(TypeError, match="unexpected keyword argument 'min_aera'"):
        result.clean(min_aera=3)


def test_clean_keeps_a_label_map_a_label_map(result):
    """Who has a pixel keeps it; what grows takes what is free."""
    grown = result.exclusive().clean(dilate=1)
    assert grown.label_map.tolist() == [[1, 2, 2, 2, 2, 2]] * 4
    assert grown.masks.sum(axis=0).max() == 1 and grown.areas == [4, 20, 0]
    shrunk = result.exclusive().clean(erode=1)
    assert shrunk.label_map.tolist() == [[0, 0, 2, 2, 0, 0]] * 4


def test_objects_are_the_parts_of_masks_with_scores_of_their_own():
    logits = torch.full((2, 4, 6), UNLIKELY)
    logits[0, :, :1], logits[0, :2, 3:5] = LIKELY, SURE
    parts = Segmentation.from_logits(
        Image.new("RGB", (6, 4)), logits, ["thing", "nothing"], ["text"] * 2, [0.5] * 2, 0.3
    ).objects()
    assert parts.labels == ["thing", "thing", "nothing"]
    assert parts.boxes == [[0, 0, 1, 4], [3, 0, 2, 2], None]
    assert parts.scores == pytest.approx([0.731059, 0.952574, 0], abs=1e-6)
    assert parts.probabilities(1)[0, 3] == pytest.approx(0.952574, abs=1e-6)


def test_json_lists_objects_where_they_are_wanted(result):
    result.masks[0, :, 1] = False  # two parts
    first, _, last = json.loads(json.dumps(result.to_dict(objects=True)))["prompts"]
    assert [(part["box"], part["area"]) for part in first["objects"]] == [([0, 0, 1, 4], 4), ([2, 0, 1, 4], 4)]
    assert decode_rle(first["objects"][1]["rle"]).sum() == 4 and last["objects"] == []
    assert "objects" not in result.to_dict()["prompts"][0]


def test_a_cutout_shows_what_the_mask_shows(result):
    result.image = Image.new("RGB", (6, 4), (10, 20, 30))
    cutout = result.cutout(0)
    assert cutout.size == (3, 4) and cutout.getcolors() == [(12, (10, 20, 30, 255))]
    assert result.cutout(2).getcolors() == [(1, (10, 20, 30, 0))]  # nothing was found
    assert result.clean(feather=1).cutout(0).width > 3


def test_what_is_done_to_masks_adds_up(result):
    """Scores are of the masks that stand there in the end, whichever way they were come by."""
    inverted = result.clean(invert=True)
    assert inverted.scores == pytest.approx([1 - 0.047426, 1 - 0.047426, 1 - 0.047426], abs=1e-6)
    assert inverted.clean(min_area=1).scores == inverted.scores
    back = inverted.clean(invert=True)
    assert np.array_equal(back.masks, result.masks) and back.scores == pytest.approx(result.scores)
    soft = result.clean(feather=1)
    assert np.array_equal(soft.clean(min_area=1).soft_mask(0), soft.soft_mask(0)) and soft.soft_mask(0)[0, 3] > 0


@pytest.mark.parametrize("options", [{"erode": 1}, {"invert": True}, {"min_area": 13}, {"dilate": 1}])
def test_masks_are_cleaned_alike_before_and_after_they_become_exclusive(result, options):
    before, after = result.clean(**options).exclusive(), result.exclusive().clean(**options)
    assert np.array_equal(before.masks, after.masks) and np.array_equal(before.label_map, after.label_map)
    assert before.scores == after.scores


def test_operations_that_cannot_be_are_told(result):
    with pytest.raises(TypeError, match=r"clean\(\) takes operations or their fields, and got both: .*'erode': 5"):
        result.clean(MaskOperations(fill_holes=1), erode=5)
    with pytest.raises(TypeError, match="min_area is a number, got '5'"):
        result.clean(min_area="5")
