"""Bands of a file are those of the picture, whatever the file's layout; what has no windows is read whole."""

import numpy as np
import pytest
from PIL import Image

from clipseg_hf.inference import Segmenter, Tiling
from clipseg_hf.inference.tiling import bands as module
from clipseg_hf.inference.tiling.bands import FileBands, open_bands
from clipseg_hf.processing.images import UnreadableImageError


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (230, 170, 3), dtype=np.uint8)


def _write(path, pixels: np.ndarray, **options):
    rasterio = pytest.importorskip("rasterio")
    count = 1 if pixels.ndim == 2 else pixels.shape[2]
    size = {"height": pixels.shape[0], "width": pixels.shape[1], "count": count}
    options = {"photometric": "RGB" if count == 3 else "MINISBLACK"} | options
    options |= {"transform": rasterio.Affine.translation(3, 5), "driver": "GTiff", "dtype": pixels.dtype}
    with rasterio.open(path, "w", **size, **options) as file:
        file.write(pixels.reshape(*pixels.shape[:2], count).transpose(2, 0, 1))
    return path


LAYOUTS = [
    {"compress": "deflate", "blockysize": 16},
    {"tiled": True, "blockxsize": 64, "blockysize": 48, "compress": "lzw"},
    {"interleave": "band", "blockysize": 16},
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=["strips", "tiles", "planes"])
def test_windows_of_files(pixels, tmp_path, layout, monkeypatch):
    monkeypatch.setattr(module, "OVERVIEW_PIXELS", 230 * 170 // 9)
    monkeypatch.setattr(module, "_BAND_PIXELS", 170 * 20)
    for name, picture in (("rgb.tif", pixels), ("grey.tiff", pixels[..., 0])):
        found, whole = open_bands(_write(tmp_path / name, picture, **layout)), open_bands(picture)
        assert type(found) is FileBands and type(whole) is module.Bands
        assert found.size == whole.size == (230, 170)
        np.testing.assert_array_equal(found.read(37, 101), whole.read(37, 101))
        np.testing.assert_array_equal(found.overview, whole.overview)
        assert found.overview.size == (57, 77)
        np.testing.assert_array_equal(np.asarray(found.image), picture)  # read when it is asked for
        assert open_bands(found) is found


def test_what_windows_would_show_otherwise_is_read_whole(pixels, tmp_path, monkeypatch):
    sixteen = _write(tmp_path / "16.tif", pixels.astype(np.uint16) * 257)
    alpha, turned, png = (tmp_path / name for name in ("alpha.tif", "turned.tif", "a.png"))
    Image.fromarray(np.dstack([pixels, pixels[..., :1]])).save(alpha)
    Image.fromarray(pixels).save(turned, tiffinfo={274: 6})
    Image.fromarray(pixels).save(png)
    for path in (sixteen, alpha, turned, png):
        assert type(open_bands(path)) is module.Bands, path
    assert open_bands(turned).size == (170, 230)
    one_block = _write(tmp_path / "block.tif", pixels, compress="deflate", blockysize=230)
    assert type(open_bands(one_block)) is FileBands
    monkeypatch.setattr(module, "OVERVIEW_PIXELS", 230 * 170 - 1)  # a window of it would cost all of it
    assert type(open_bands(one_block)) is module.Bands


def test_a_file_gives_what_its_picture_gives(checkpoint, pixels, tmp_path):
    path = _write(tmp_path / "a.tif", pixels, compress="deflate", blockysize=16)
    segmenter = Segmenter.from_pretrained(checkpoint, device="cpu", tiling=Tiling())
    by_file, by_array = segmenter([str(path), pixels], "a cat")
    np.testing.assert_array_equal(by_file.masks, by_array.masks)
    assert by_file.image.size == (170, 230)
    np.testing.assert_array_equal(by_file.overlay(), by_array.overlay())
    small = _write(tmp_path / "small.tif", pixels[:50, :60])
    np.testing.assert_array_equal(segmenter(small, "a cat")[0].masks, segmenter(pixels[:50, :60], "a cat")[0].masks)


def test_without_rasterio_files_are_read_whole(pixels, tmp_path, monkeypatch):
    path = _write(tmp_path / "a.tif", pixels)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert type(open_bands(path)) is module.Bands


def test_errors(pixels, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"images\[1\] \(.*none\.tif\): there is no such file"):
        open_bands(tmp_path / "none.tif", "images[1]")
    (tmp_path / "text.tif").write_text("no picture")
    with pytest.raises(UnreadableImageError, match=r"text\.tif\) is not an image that Pillow can read"):
        open_bands(tmp_path / "text.tif")
    path = _write(tmp_path / "cut.tif", pixels, compress="deflate", blockysize=16)
    path.write_bytes(path.read_bytes()[:60_000])
    with pytest.raises(UnreadableImageError, match=r"image \(.*cut\.tif\) is damaged or cut off: "):
        open_bands(path)
