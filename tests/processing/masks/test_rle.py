import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from clipseg_hf.processing import decode_rle, encode_rle


def test_runs_count_down_the_columns_background_first():
    rle = {"size": [2, 3], "counts": [1, 2, 3]}  # columns (0, 1), (1, 0), (0, 0)
    assert decode_rle(rle).tolist() == [[False, True, False], [True, False, False]]


def test_counts_are_coco_s_string_and_json():
    mask = np.zeros((5, 7), dtype=bool)
    mask[1:3, 2:6] = True
    rle = encode_rle(mask)
    assert json.loads(json.dumps(rle)) == {"size": [5, 7], "counts": ";23000004"}
    assert (decode_rle(rle) == mask).all()
    assert (decode_rle({**rle, "counts": rle["counts"].encode()}) == mask).all()


@given(hnp.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.booleans()))
def test_round_trip_and_agreement_with_pycocotools(mask):
    from pycocotools import mask as coco

    rle = encode_rle(mask)
    decoded = decode_rle(rle)
    assert decoded.dtype == bool and (decoded == mask).all()
    assert (coco.decode({**rle, "counts": rle["counts"].encode()}) == mask).all()


@pytest.mark.parametrize("fill", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (300, 400), (3000, 2000)])
def test_large_and_uniform_masks(shape, fill):
    mask = np.full(shape, fill)
    mask[0, 0] = True
    assert (decode_rle(encode_rle(mask)) == mask).all()


def test_a_mask_of_other_values_is_refused():
    with pytest.raises(ValueError, match=r"mask of 0 and 1, found 255: threshold it first"):
        encode_rle(np.array([[0, 255]], dtype=np.uint8))
    with pytest.raises(ValueError, match=r"shape \(height, width\), got shape \(1, 2, 2\)"):
        encode_rle(np.zeros((1, 2, 2), dtype=bool))


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ({"size": [5, 6], "counts": ";23000004"}, r"runs cover 35 pixels, but its size, 5 x 6, has 30"),
        ({"size": [5, 7], "counts": ";2300000"}, r"runs cover \d+ pixels, but its size, 5 x 7, has 35"),
        ({"size": [5, 7], "counts": ""}, r"runs cover 0 pixels"),
        ({"size": [5, 7], "counts": "no rle"}, r"not a COCO string"),
        ({"size": [5, 7], "counts": "o" * 20 + "0"}, r"a number never ends"),
        ({"size": [1, 1], "counts": [2, -1]}, r"runs cover 1 pixels"),
        ({"counts": ""}, r"'size' and 'counts', got keys \['counts'\]"),
        ({"size": [5, 7], "counts": [2**63 - 1, 2**63 - 1, 37]}, r"runs cover 18446744073709551616 pixels"),
        ({"size": [5, 7], "counts": [2**64]}, r"size and counts are whole numbers .*too large"),
        ({"size": [5, 7], "counts": None}, r"size and counts are whole numbers .*NoneType"),
        ({"size": 35, "counts": [35]}, r"size and counts are whole numbers"),
        ({"size": [5, float("inf")], "counts": [35]}, r"size and counts are whole numbers .*infinity"),
        ({"size": [5, 7, 1], "counts": [35]}, r"size and counts are whole numbers .*too many values"),
        ({"size": [5, 7], "counts": [35, [1]]}, r"size and counts are whole numbers .*inhomogeneous"),
        ({"size": [-5, -7], "counts": [35]}, r"size is \[height, width\] of at most 536,870,912 pixels, got -5 x -7"),
        ({"size": [10**9, 10**9], "counts": [10**18]}, r"of at most 536,870,912 pixels, got 1000000000 x 1000000000"),
        ({"size": [5, 7], "counts": [[35]]}, r"one list of run lengths, got an array of shape \(1, 1\)"),
        (";23000004", r"'size' and 'counts', got a str"),
    ],
)
def test_broken_codes_say_what_is_wrong(rle, message):
    with pytest.raises(ValueError, match=message):
        decode_rle(rle)
