"""Drawings: what is painted where, at what size, and that no label is cut."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from clipseg_hf.drawing import overlay as drawing
from clipseg_hf.drawing.overlay import heat_map, overlay, palette, steady_colors

RED, BLUE = (255, 0, 0), (0, 0, 255)


def _half_mask(height: int = 40, width: int = 60) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[:, : width // 2] = True
    return mask


def _grey(width: int = 60, height: int = 40) -> Image.Image:
    return Image.new("RGB", (width, height), (100, 100, 100))


def test_colours_are_distinct_and_stay_when_more_are_asked_for():
    colours = palette(40)
    assert palette(5) == colours[:5]
    assert palette(0) == []
    distances = [np.abs(np.subtract(a, b)).sum() for a, b in itertools.combinations(colours[:12], 2)]
    assert min(distances) > 60
    assert len(set(palette(255))) == 255
    assert all(0 <= part <= 255 for colour in colours for part in colour)


def test_overlay_paints_the_mask_and_leaves_the_rest():
    drawn = overlay(_grey(), [_half_mask()], mask_colors=[RED], opacity=0.5, min_side=60)
    assert drawn.size == (60, 40)
    assert drawn.getpixel((10, 20)) == (178, 50, 50)  # half red, half of 100
    assert drawn.getpixel((50, 20)) == (100, 100, 100)
    red, green, _ = drawn.getpixel((30, 20))  # the outline
    assert red > 180
    assert green < 50


def test_each_mask_may_have_its_opacity():
    masks = [_half_mask(), ~_half_mask()]
    drawn = overlay(_grey(), masks, mask_colors=[RED, BLUE], opacity=[0, 1], min_side=60)
    assert drawn.getpixel((10, 20)) == (100, 100, 100)
    assert drawn.getpixel((50, 20)) == BLUE


def test_later_masks_lie_above_earlier_ones():
    whole = np.ones((40, 60), bool)
    drawn = overlay(_grey(), [whole, torch.from_numpy(_half_mask())], mask_colors=[RED, BLUE], opacity=1, min_side=60)
    assert drawn.getpixel((10, 20)) == BLUE
    assert drawn.getpixel((50, 20)) == RED


@pytest.mark.parametrize(
    ("size", "drawn"),
    [((64, 32), (640, 320)), ((800, 600), (800, 600)), ((5000, 2500), (2048, 1024)), ((1, 900), (1, 900))],
)
def test_small_images_are_enlarged_and_large_ones_reduced(size, drawn):
    mask = np.ones(size[::-1], bool)
    assert overlay(_grey(*size), [mask]).size == drawn
    assert heat_map(_grey(*size), mask.astype(np.float32)).size == drawn


def test_the_image_given_is_not_painted():
    image = _grey(800, 600)
    overlay(image, [np.ones((600, 800), bool)])
    assert image.getcolors() == [(800 * 600, (100, 100, 100))]


def test_enlarged_edges_are_smooth_but_sharp():
    drawn = overlay(_grey(), [_half_mask()], mask_colors=[(255, 255, 255)], opacity=1, min_side=1200)
    row = np.asarray(drawn)[400, :, 0].astype(int)
    between = ((row > 110) & (row < 245)).sum()
    assert 1 <= between <= 12  # of 20 pixels that a pixel of the mask covers


def test_legend_stands_below_and_shows_each_colour():
    plain = overlay(_grey(640, 400), [_half_mask(400, 640)] * 2)
    drawn = overlay(_grey(640, 400), [_half_mask(400, 640)] * 2, ["a cat", "a dog"], mask_colors=[RED, BLUE])
    assert drawn.width == plain.width
    legend = drawn.crop((0, plain.height, drawn.width, drawn.height))
    found = {colour for _, colour in legend.getcolors(10_000)}
    assert {RED, BLUE, (255, 255, 255)} <= found


def _texts_drawn(monkeypatch) -> list[tuple[float, str, float]]:
    """Left edge, text and width of each line of the legends that are drawn from now on."""
    drawn, draw = [], drawing.ImageDraw.ImageDraw.text

    def record(self, place, text, *, font, **options):
        drawn.append((place[0], text, font.getlength(text)))
        return draw(self, place, text, font=font, **options)

    monkeypatch.setattr(drawing.ImageDraw.ImageDraw, "text", record)
    return drawn


@pytest.mark.parametrize("size", [(40, 30), (300, 2000), (640, 480), (4000, 1000)])
def test_no_label_is_cut(monkeypatch, size):
    drawn = _texts_drawn(monkeypatch)
    labels = [
        "the small brown dog that lies in front of the old red brick house on the left side of the street: 0.51",
        "x" * 500,
        "short",
        "",
        *(f"thing {number}" for number in range(20)),
    ]
    masks = [np.zeros(size[::-1], bool)] * len(labels)
    picture = overlay(_grey(*size), masks, labels)
    assert all(left >= 0 and left + width <= picture.width for left, _, width in drawn)
    assert "".join(text for _, text, _ in drawn).replace(" ", "") == "".join(labels).replace(" ", "")
    plain = overlay(_grey(*size), masks)
    white_below = np.asarray(picture)[-2:]
    assert (white_below == 255).all()  # the last line ends before the picture does
    assert picture.width == max(plain.width, 360)


def test_heat_map_grows_from_the_grey_picture_to_bright_colours():
    image = Image.new("RGB", (640, 40), (200, 100, 100))
    probabilities = np.tile(np.linspace(0, 1, 640, dtype=np.float32), (40, 1))
    row = np.asarray(heat_map(image, torch.from_numpy(probabilities)))[20].astype(int)
    assert row[0].max() - row[0].min() <= 1  # grey where nothing is
    brightness = row.sum(axis=1)
    assert brightness[-1] > brightness[320] > 0
    assert row[320][0] > row[320][2] + 50  # warm


def test_errors():
    with pytest.raises(ValueError, match=r"masks\[1\] has the shape \(40, 61\), but the image is 40 x 60"):
        overlay(_grey(), [_half_mask(), np.zeros((40, 61), bool)])
    with pytest.raises(ValueError, match="1 labels do not fit 2 masks"):
        overlay(_grey(), [_half_mask()] * 2, ["a cat"])
    with pytest.raises(ValueError, match="3 mask_colors do not fit 1 masks"):
        overlay(_grey(), [_half_mask()], mask_colors=palette(3))
    with pytest.raises(ValueError, match=r"opacity is in \[0, 1\], got 50"):
        overlay(_grey(), [_half_mask()], opacity=50)
    with pytest.raises(ValueError, match="2 opacities do not fit 1 masks"):
        overlay(_grey(), [_half_mask()], opacity=[0.5, 0.5])
    with pytest.raises(ValueError, match=r"probabilities has the shape \(3, 3\)"):
        heat_map(_grey(), np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"probabilities are in \[0, 1\], got -2 to 2"):
        heat_map(_grey(), np.linspace(-2, 2, 2400).reshape(40, 60))


def test_a_name_has_one_colour_and_those_of_one_group_differ():
    colors = steady_colors([["cat", "dog"], ["dog", "bird"], ["bird", "cat"], ["sun"]])
    assert len({colors["cat"], colors["dog"], colors["bird"]}) == 3
    assert colors["sun"] == palette(1)[0]  # no more colours than it takes
