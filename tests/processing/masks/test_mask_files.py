"""The one reader of masks: what is kept, what is refused, and what lenience makes of it."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from clipseg_hf.processing import load_map
from clipseg_hf.processing.masks.mask_files import read_mask


def inside(image) -> np.ndarray:
    """A mask as data sets' are read."""
    return read_mask(load_map(image, colors="grey"), "mask", lenient=True) > 0


def test_maps_keep_their_numbers(tmp_path):
    index = np.array([[0, 1], [7, 255]], dtype=np.uint8)
    palette = Image.fromarray(index).convert("L")
    palette.putpalette(list(range(256)) * 3)
    assert palette.mode == "P"
    palette.save(tmp_path / "a.png")
    for given in (index, torch.from_numpy(index), index[None], index[..., None], palette, tmp_path / "a.png"):
        assert load_map(given).tolist() == index.tolist()
    assert load_map(Image.fromarray(index).convert("RGB")).tolist() == index.tolist()
    assert load_map(Image.fromarray(index).convert("RGBA")).tolist() == index.tolist()
    assert load_map(Image.fromarray(index > 0)).dtype == bool
    assert load_map(index / 255).dtype == np.float64


def test_maps_that_do_not_say_what_is_object():
    with pytest.raises(ValueError, match=r"masks has colours \(mode RGB\): save it as grey"):
        load_map(Image.new("RGB", (2, 2), "red"), "masks")
    with pytest.raises(ValueError, match="partly transparent, which does not say what is object"):
        load_map(Image.new("RGBA", (2, 2), (255, 255, 255, 0)))
    with pytest.raises(ValueError, match=r"mask has shape \(3, 4, 4\), expected \(height, width\)"):
        load_map(np.zeros((3, 4, 4)))


def _blurred(suffix: str) -> np.ndarray:
    """A disc as a drawing program or a JPEG leaves it."""
    y, x = np.mgrid[:60, :80]
    disc = np.clip(20 - np.hypot(y - 30, x - 40) + 0.5, 0, 1)
    buffer = io.BytesIO()
    Image.fromarray((disc * 255).astype(np.uint8)).save(buffer, suffix, quality=75)
    return load_map(buffer.getvalue())


@pytest.mark.parametrize(
    "values",
    [
        _blurred("PNG"),
        _blurred("JPEG"),
        _blurred("PNG").astype(np.uint16) * 257,
        (_blurred("PNG") > 127).astype(np.uint16) * 65535,
        np.repeat(_blurred("PNG")[..., None], 3, axis=2),
    ],
    ids=["anti-aliased", "jpeg", "16 bits, anti-aliased", "16 bits", "as RGB"],
)
def test_masks_of_drawing_programs_are_read_as_in_training(values):
    expected = _blurred("PNG") > 127
    found = read_mask(load_map(values), "mask")
    assert set(np.unique(found)) == {0, 1}
    assert (found != expected).mean() < 0.005
    gray = load_map(values)
    assert np.array_equal(found > 0, inside(Image.fromarray(gray)))  # the reader of training data


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0, 0, 12, 255]], np.uint8),  # an index map and its border
        np.array([[0, 1, 2, 3]], np.uint8),
        np.linspace(0, 255, 100).astype(np.uint8)[None],  # a heat map
        np.array([[0, 0, 0, 90]], np.uint8),
    ],
)
def test_what_may_be_no_mask_is_refused(values):
    with pytest.raises(ValueError, match="expected a mask of bool, 0/1, 0/255"):
        read_mask(values, "mask")


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(np.array([[0, 1]], np.uint8)),
        Image.fromarray(np.array([[0, 255]], np.uint8)),
        Image.fromarray(np.array([[90, 200]], np.uint8)),
        Image.fromarray(np.array([[False, True]])),
        Image.fromarray(np.array([[[0] * 3, [255] * 3]], np.uint8)),
        Image.fromarray(np.array([[0, 65535]], np.uint16)),
        Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P"),
    ],
)
def test_inside_is_what_is_bright(picture):
    assert inside(picture).tolist() == [[False, True]]


def test_black_is_empty():
    assert not inside(Image.new("L", (3, 2))).any()


def test_strict_is_stricter_than_lenient():
    grey = Image.fromarray(np.array([[0, 90, 200]], np.uint8))
    assert inside(grey).tolist() == [[False, False, True]]
    with pytest.raises(ValueError, match="holds 0, 90, 200, expected a mask"):
        read_mask(load_map(grey), "mask")
    colored = Image.fromarray(np.array([[[0, 0, 0], [250, 0, 0]]], np.uint8))
    assert inside(colored).tolist() == [[False, True]]
    assert load_map(colored, colors="kept").tolist() == [[[0, 0, 0], [250, 0, 0]]]
    with pytest.raises(ValueError, match="has colours"):
        load_map(colored)
    clear = Image.fromarray(np.array([[[0, 0], [7, 0]]], np.uint8), "LA")
    assert load_map(clear, colors="kept").tolist() == load_map(clear, colors="grey").tolist() == [[0, 7]]
    with pytest.raises(ValueError, match="partly transparent"):
        load_map(clear)
    palette = Image.fromarray(np.array([[0, 1, 3]], np.uint8)).convert("P")
    assert inside(palette).tolist() == [[False, True, True]]
    assert load_map(palette, colors="kept").tolist() == [[0, 1, 3]]
    assert load_map(palette, colors="shown").shape == (1, 3, 3)
    with pytest.raises(ValueError, match="holds 0, 1, 3, expected a mask"):
        read_mask(load_map(palette), "mask")
