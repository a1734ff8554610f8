from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from clipseg_hf.data.phrasecut.polygons import encode_polygons, fill_polygons
from clipseg_hf.processing.masks.rle import encode_rle

corner = st.tuples(st.integers(-4, 16), st.integers(-4, 14))


def picture(mask):
    return ["".join(".#"[value] for value in row) for row in mask.astype(int)]


def test_a_square_holds_its_outline():
    assert picture(fill_polygons([[[1, 1], [4, 1], [4, 3], [1, 3]]], 5, 6)) == [
        "......",
        ".####.",
        ".####.",
        ".####.",
        "......",
    ]


def test_corners_are_truncated_not_rounded():
    assert picture(fill_polygons([[[0.9, 0.9], [2.9, 0.2], [2.99, 1.99], [0.0, 1.6]]], 3, 4)) == [
        "###.",
        "###.",
        "....",
    ]


def test_two_corners_draw_a_line_and_a_corner_twice_a_pixel():
    assert picture(fill_polygons([[[0, 0], [3, 3]], [[3, 0], [3, 0]]], 4, 4)) == ["#..#", ".#..", "..#.", "...#"]


def test_polygons_are_united_and_cut_at_the_border():
    left, right = [[-5, -5], [1, -5], [1, 9], [-5, 9]], [[1, 1], [9, 1], [9, 2], [1, 2]]

    assert picture(fill_polygons([left, right], 4, 5)) == ["##...", "#####", "#####", "##..."]


def test_crossing_itself_leaves_a_hole_by_the_even_odd_rule():
    twice_around = [[0, 0], [8, 0], [8, 8], [0, 8], [0, 0], [3, 3], [5, 3], [5, 5], [3, 5], [3, 3]]

    mask = fill_polygons([twice_around], 9, 9)

    assert not mask[4, 4] and mask[3, 3] and mask[4, 5] and mask[4, 6]


def test_realistic_polygons_are_what_pillow_draws_as_fill_and_outline_apart():
    generator = np.random.default_rng(0)
    for _ in range(20):
        angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        radii = generator.integers(10, 90) * (1 + 0.1 * generator.standard_normal(40))
        center = generator.integers((50, 50), (450, 325))
        polygon = (center + radii[:, None] * np.stack((np.cos(angles), np.sin(angles)), axis=1)).tolist()
        canvas = Image.new("L", (500, 375))
        ImageDraw.Draw(canvas).polygon([(int(x), int(y)) for x, y in polygon], fill=1, outline=2)

        assert (fill_polygons([polygon], 375, 500) == (np.asarray(canvas) > 0)).all()


@given(st.lists(st.lists(corner, min_size=2, max_size=6), max_size=3))
def test_run_lengths_are_those_of_the_mask(polygons):
    mask = fill_polygons(polygons, 11, 13)

    assert encode_polygons(polygons, 11, 13) == (encode_rle(mask) if mask.any() else None)


def test_no_polygons_make_an_empty_mask():
    assert fill_polygons([], 3, 2).shape == (3, 2) and not fill_polygons([], 3, 2).any()


# The definition in exact arithmetic, pixel by pixel: inside by the even-odd rule, or no further than half a pixel
# from an edge, measured across it. Exactly half a pixel is open: a line has to take one of the two pixels there.
def defined_mask(polygon, height, width):
    certain, possible = np.zeros((2, height, width), dtype=bool)
    edges = list(zip(polygon, polygon[1:] + polygon[:1], strict=True))
    for y in range(height):
        for x in range(width):
            crossings = [
                Fraction(x2 - x1) * (y - y1) / (y2 - y1) + x1 for (x1, y1), (x2, y2) in edges if (y1 > y) != (y2 > y)
            ]
            inside = sum(x < crossing for crossing in crossings) % 2 == 1
            distances = [edge_distance(x, y, edge) for edge in edges]
            certain[y, x] = inside or any(d < Fraction(1, 2) for d in distances)
            possible[y, x] = inside or any(d <= Fraction(1, 2) for d in distances)
    return certain, possible


def edge_distance(x, y, edge):
    (x1, y1), (x2, y2) = edge
    if abs(y2 - y1) > abs(x2 - x1):
        x, y, x1, y1, x2, y2 = y, x, y1, x1, y2, x2
    if not min(x1, x2) <= x <= max(x1, x2):
        return Fraction(1000)
    return abs(y - y1) if x1 == x2 else abs(Fraction(y2 - y1) * (x - x1) / (x2 - x1) + y1 - y)


@settings(max_examples=200)
@given(st.lists(corner, min_size=3, max_size=7))
def test_random_polygons_are_filled_as_defined(polygon):
    mask = fill_polygons([polygon], 11, 13)
    certain, possible = defined_mask(polygon, 11, 13)

    assert (mask >= certain).all() and (mask <= possible).all()
