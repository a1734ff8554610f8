from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clipseg_hf.data.sampling.crops import Window, draw_window, resize_image, resize_mask, resize_part, window_size


def box(size, left, top, right, bottom):
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def draws(masks, share=0.05, aspect=(1, 1), times=400):
    generator = torch.Generator().manual_seed(0)
    return [draw_window(masks, share, generator, aspect) for _ in range(times)]


def test_a_window_is_as_large_as_can_be():
    assert window_size(375, 500) == (375, 375)
    assert window_size(500, 375) == (375, 375)
    assert window_size(100, 100, (2, 1)) == (100, 50)
    assert window_size(90, 300, (224, 352)) == (90, 141)
    assert window_size(1, 500, (1, 3)) == (1, 3)


def test_a_window_cuts_rows_and_columns():
    array = np.arange(12).reshape(3, 4)
    assert Window(1, 2, 2, 2).of(array).tolist() == [[6, 7], [10, 11]]


def test_it_slides_along_the_longer_side():
    assert {window.left for window in draws([np.zeros((10, 14), bool)])} == {0, 1, 2, 3, 4}
    assert {window.top for window in draws([np.zeros((14, 10), bool)])} == {0, 1, 2, 3, 4}
    assert set(draws([np.zeros((7, 7), bool)])) == {Window(0, 0, 7, 7)}


def test_enough_is_more_than_the_share_of_the_whole_image():
    mask = box((10, 20), 0, 0, 1, 10) | box((10, 20), 15, 0, 17, 10)  # 10 pixels, and 20 of 200
    assert {window.left for window in draws([mask], 0.05)} == {7, 8, 9, 10}  # 10 are not more than 5 %
    assert {window.left for window in draws([mask], 0.04)} == {0, 6, 7, 8, 9, 10}


def test_where_nothing_is_enough_the_best_are_drawn():
    mask = box((10, 20), 12, 4, 15, 6)
    assert {window.left for window in draws([mask])} == {5, 6, 7, 8, 9, 10}


def test_what_is_enough_is_drawn_with_equal_probability():
    lefts = [window.left for window in draws([box((10, 20), 8, 0, 12, 10)], times=4000)]
    counts = np.bincount(lefts, minlength=11)
    assert counts[:11].min() > 0.8 * 4000 / 11  # every window shows more than one of the four columns


def test_of_several_masks_as_many_as_can_be_are_served():
    left, right = box((10, 20), 0, 0, 3, 10), box((10, 20), 17, 0, 20, 10)
    middle = box((10, 20), 10, 4, 11, 5)
    assert {window.left for window in draws([left, right])} <= {0, 1, 9, 10}  # never both; never neither
    assert {window.left for window in draws([left, middle, right])} == {1, 9, 10}


@given(
    st.integers(1, 12), st.integers(1, 12), st.integers(1, 3), st.floats(0, 0.6), st.integers(0, 2**31), st.booleans()
)
def test_the_window_is_the_best_by_brute_force(height, width, count, share, seed, wide):
    random = np.random.default_rng(seed)
    masks = [random.random((height, width)) < random.random() for _ in range(count)]
    aspect = (2, 3) if wide else (1, 1)
    rows, columns = window_size(height, width, aspect)
    windows = [
        Window(top, left, rows, columns) for top, left in product(range(height - rows + 1), range(width - columns + 1))
    ]
    shown = np.array([[window.of(mask).sum() for mask in masks] for window in windows])
    suits = (shown > share * height * width) | (shown == shown.max(axis=0)) & (
        shown.max(axis=0) <= share * height * width
    )
    best = {
        window for window, number in zip(windows, suits.sum(axis=1), strict=True) if number == suits.sum(axis=1).max()
    }
    assert set(draws(masks, share, aspect, times=20)) <= best


def test_one_mask_gives_the_distribution_of_many_random_tries():
    """The original: of at most 50 random windows the first with enough, else the one with the most."""
    random = np.random.default_rng(0)
    mask = box((10, 40), 5, 0, 9, 10)

    def tries():
        best = None
        for left in random.integers(0, 31, 50):
            shown = mask[:, left : left + 10].sum()
            if shown > 0.05 * mask.size:
                return left
            best = left if best is None or shown > mask[:, best : best + 10].sum() else best
        return best

    theirs = np.bincount([tries() for _ in range(4000)], minlength=31) / 4000
    ours = np.bincount([window.left for window in draws([mask], times=4000)], minlength=31) / 4000
    assert np.abs(theirs - ours).max() < 0.03
    assert np.array_equal(theirs > 0, ours > 0)


def test_images_are_resized_as_pillow_does():
    pixels = np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8)
    for size in ((32, 32), (64, 80), (37, 50)):
        expected = np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR))
        assert np.abs(resize_image(pixels, size).astype(int) - expected).max() <= 1


def test_a_resized_image_is_a_copy():
    pixels = np.zeros((4, 4, 3), np.uint8)
    resize_image(pixels, (4, 4))[:] = 1
    assert not pixels.any()


@pytest.mark.parametrize("resample", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
@pytest.mark.parametrize("size", [(352, 469), (100, 77), (375, 500), (900, 1200)])
def test_a_part_equals_that_part_of_the_whole(size, resample):
    pixels = np.random.default_rng(0).integers(0, 256, (375, 500, 3), dtype=np.uint8)
    whole = np.asarray(Image.fromarray(pixels).resize(size[::-1], resample)).astype(int)
    height, width = size
    for window in (Window(20, 10, 40, 50), Window(0, 0, height, width), Window(height - 9, width - 30, 9, 30)):
        part = resize_part(pixels, size, window, resample)
        assert part.shape == (window.height, window.width, 3)
        assert np.abs(part - window.of(whole)).max() <= 2


def test_masks_take_the_nearest_pixel():
    mask = np.array([[True, False, False, True], [False, False, True, True]])
    assert resize_mask(mask, (2, 2)).tolist() == [[False, True], [False, True]]  # columns 1 and 3
    assert resize_mask(mask, (4, 8)).tolist() == np.kron(mask, np.ones((2, 2))).astype(bool).tolist()
    assert resize_mask(mask, (2, 4)) is mask


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.data())
def test_a_mask_that_is_not_empty_stays_so(height, width, rows, columns, data):
    mask = np.zeros((height, width), bool)
    assert not resize_mask(mask, (rows, columns)).any()
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    mask[y, x] = True
    resized = resize_mask(mask, (rows, columns))
    assert resized.shape == (rows, columns)
    assert resized[
        y * rows // height : -(-(y + 1) * rows // height), x * columns // width : -(-(x + 1) * columns // width)
    ].any()
