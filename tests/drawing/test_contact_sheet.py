"""The contact sheet: where cards stand, what is cut, and how a mask lies over a picture."""

import numpy as np
import pytest
from PIL import Image

from clipseg_hf.drawing.contact_sheet import Card, Line, draw_sheet, draw_table, fit
from clipseg_hf.drawing.overlay import paint_mask

RED = (250, 0, 0)
PLACE = (60, 40)


def card(*lines, pictures=1) -> Card:
    return Card({f"{n}": Image.new("RGB", PLACE, (0, 0, 200)) for n in range(pictures)}, lines)


def corners(sheet: Image.Image) -> list[tuple[int, int]]:
    """(top, left) of every picture."""
    blue = (np.asarray(sheet) == (0, 0, 200)).all(axis=-1)
    starts = blue.copy()
    starts[1:] &= ~blue[:-1]
    starts[:, 1:] &= ~blue[:, :-1]
    return [(int(y), int(x)) for y, x in np.argwhere(starts) if blue[y, x : x + 60].all()]


def test_cards_stand_in_rows_under_their_headings():
    cards = [card(Line("a")) for _ in range(3)]
    places = corners(draw_sheet({"": cards}, "title", place=PLACE, columns=2))
    assert len(places) == 3
    assert places[0][0] == places[1][0] < places[2][0] and places[0][1] == places[2][1] < places[1][1]
    assert places[1][1] - places[0][1] == 60 + 2 * 10 + 14
    headed = corners(draw_sheet({"best": cards[:2], "worst": cards[2:]}, "title", place=PLACE, columns=2))
    assert headed[0][0] > places[0][0] and headed[2][0] - headed[0][0] > places[2][0] - places[0][0]


def test_the_fullest_card_says_how_large_all_are():
    small = draw_sheet({"": [card(Line("a"))]}, "title", place=(600, 40))
    large = draw_sheet({"": [card(Line("a")), card(*[Line("a")] * 4, pictures=2)]}, "title", place=(600, 40))
    assert large.height - small.height == 3 * 20
    assert large.width - 14 == 2 * (2 * 600 + 4 + 2 * 10 + 14)
    assert draw_sheet({"": []}, "title", place=PLACE).width == 640


def test_lines_show_their_colour_and_are_cut_before_their_end():
    sheet = np.asarray(draw_sheet({"": [card(Line("word " * 99, RED, "12%"))]}, "t" * 300, "s" * 300, place=PLACE))
    assert (sheet == RED).all(axis=-1).sum() > 80
    assert (sheet[:, -10:] == sheet[0, 0]).all()
    assert (sheet[140:, 14 + 2 * 10 + 60 : 300] == sheet[0, 0]).all()  # nothing beside the card


@pytest.mark.parametrize(("size", "drawn"), [((30, 20), (60, 40)), ((600, 100), (60, 10)), ((1, 900), (1, 40))])
def test_a_picture_fits_into_its_place(size, drawn):
    assert fit(Image.new("RGB", size), PLACE).size == drawn


def test_later_masks_lie_on_top_of_a_picture_of_any_size():
    whole, half = np.ones((20, 30), bool), np.zeros((80, 120), bool)
    half[:, :60] = True
    drawn = fit(np.full((40, 60, 3), 100, np.uint8), PLACE, [(whole, RED), (half, (0, 0, 250))], opacity=1)
    assert drawn.getpixel((10, 20)) == (0, 0, 250) and drawn.getpixel((50, 20)) == RED


def test_a_mask_may_be_faint_and_its_outline_have_a_halo():
    picture = Image.new("RGB", (60, 40), (100, 100, 100))
    paint_mask(picture, np.full((40, 60), 0.5, np.float32), RED, opacity=0.5)
    assert all(abs(a - b) <= 1 for a, b in zip(picture.getpixel((30, 20)), (137, 75, 75), strict=True))
    picture, half = Image.new("RGB", (60, 40), (100, 100, 100)), np.zeros((40, 60), bool)
    half[:, :30] = True
    paint_mask(picture, half, RED, opacity=0, line=1, halo=1)
    row = [picture.getpixel((x, 20)) for x in (20, 29, 30, 40)]
    assert row == [(100, 100, 100), RED, RED, (100, 100, 100)]
    assert min(picture.getpixel((28, 20))) > 200 and min(picture.getpixel((31, 20))) > 200  # white


def test_a_table_has_its_pictures_in_columns_whatever_their_height():
    blue, low = (Image.new("RGB", (60, height), (0, 0, 200)) for height in (40, 20))
    table = draw_table(["one", "two"], [(Line("a"), [blue, low]), (Line("b"), [low])], (60, 40))
    (first, left), (same, right), (second, below) = corners(table)
    assert first == same and left == below and right - left == 60 + 14
    assert second - first == 40 + 14 + 20 + 4
