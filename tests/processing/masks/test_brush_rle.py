"""Label Studio's brush code, bit by bit and for any mask."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clipseg_hf.processing.masks.brush_rle import decode_brush, encode_brush
from clipseg_hf.processing.masks.outlines import mask_runs


def test_the_bits_can_be_written_by_hand():
    mask = np.array([[False, True, True]])
    # 12 bytes, words of 8 bits, lengths of 3, 4, 8 and 16 bits; 4 times 0, 8 times 255
    bits = f"{12:032b}" + "00111" + "0010" + "0011" + "0111" + "1111"
    bits += "1" + "00" + "011" + "00000000" + "1" + "00" + "111" + "11111111"
    bits += "0" * (-len(bits) % 8)
    assert encode_brush(mask) == [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]
    assert mask_runs(mask) == [(0, 1), (1, 2)] and mask_runs(np.zeros((0, 3), dtype=bool)) == []


def test_what_label_studio_itself_wrote():
    """`mask2rle` of label-studio-sdk 2.1.2."""
    mask = np.zeros((4, 6), dtype=bool)
    mask[1:3, 2:5] = mask[3, 5] = True
    data = [0, 0, 0, 96, 57, 27, 254, 31, 0, 183, 255, 108, 2, 223, 254, 23, 0, 143, 252]
    assert np.array_equal(decode_brush(data, mask.shape), mask)


def test_plain_words_are_read():
    """Words that are not repeated, as of strokes in colour."""
    alpha = np.array([[0, 255, 0], [255, 255, 0]], dtype=np.uint8)
    words = np.repeat(alpha.ravel(), 4)
    words[0:4] = 0, 9, 0, 0  # colours do not matter
    bits = f"{24:032b}" + "00111" + "0010" + "0011" + "0111" + "1111"
    bits += "0" + "00" + "011" + "".join(f"{word:08b}" for word in words[:4])  # four words, none repeated
    for value, length in ((255, 4), (0, 4), (255, 8), (0, 4)):
        bits += "1" + "00" + f"{length - 1:03b}" + f"{value:08b}"
    bits += "0" * (-len(bits) % 8)
    data = [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]
    assert np.array_equal(decode_brush(data, (2, 3)), alpha > 0)


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_every_mask_comes_back(height, width, share, seed):
    mask = np.random.default_rng(seed).random((height, width)) < share
    assert np.array_equal(decode_brush(encode_brush(mask), mask.shape), mask)


def test_long_runs_are_divided():
    mask = np.zeros((200, 300), dtype=bool)
    mask[150:] = True
    code = encode_brush(mask)
    assert len(code) < 30 and np.array_equal(decode_brush(code, mask.shape), mask)
