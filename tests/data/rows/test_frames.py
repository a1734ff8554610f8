"""What is annotated on a stored image is turned as Pillow turns the image."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from clipseg_hf.data.rows.frames import Frame, turn, turn_phrase
from clipseg_hf.data.rows.rows import make_phrase
from clipseg_hf.processing.masks.rle import decode_rle, encode_rle


def turned_by_pillow(array, orientation):
    image = Image.fromarray(array)
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_arrays_masks_and_boxes_are_turned_as_the_image(orientation):
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert np.array_equal(turn(array, orientation), turned_by_pillow(array, orientation))
    mask = np.zeros((20, 30), np.uint8)
    mask[2:6, 3:13] = 1
    ignore = np.zeros((20, 30), np.uint8)
    ignore[:2, :9] = 1

    entry = turn_phrase(make_phrase("box", encode_rle(mask), phrase_id="1", ignore=encode_rle(ignore)), orientation)

    shown = turned_by_pillow(mask, orientation)
    assert np.array_equal(decode_rle(entry["mask"]), shown)
    assert np.array_equal(decode_rle(entry["ignore"]), turned_by_pillow(ignore, orientation))
    assert entry["boxes"] == make_phrase("box", encode_rle(shown), phrase_id="1")["boxes"]
    frame = Frame(shown.shape, orientation)
    assert frame.stored == (20, 30) and frame.is_unclear == (orientation in (2, 3, 4))
