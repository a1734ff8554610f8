import base64
import http.server
import io
import os
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from clipseg_hf.processing import load_image, load_map
from clipseg_hf.processing.images import UnreadableImageError, measure_image

RGB = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3) * 8  # 2 rows, 5 columns


def png(array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def pixels(image, **options) -> list:
    loaded = load_image(image, **options)
    assert loaded.mode == "RGB"
    return np.array(loaded).tolist()


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(Image.fromarray(RGB), id="PIL"),
        pytest.param(RGB, id="channels last"),
        pytest.param(RGB.transpose(2, 0, 1), id="channels first"),
        pytest.param(torch.from_numpy(RGB).permute(2, 0, 1), id="tensor"),
        pytest.param(RGB.astype(np.int64), id="int64"),
        pytest.param(RGB.astype(np.float32), id="float 0-255"),
        pytest.param(RGB / 255, id="float 0-1"),
        pytest.param((torch.from_numpy(RGB) / 255).requires_grad_(), id="float tensor with gradient"),
        pytest.param(RGB.astype(np.uint16) * 257, id="uint16"),
        pytest.param(png(RGB), id="bytes"),
        pytest.param("data:image/png;base64," + base64.b64encode(png(RGB)).decode(), id="data URL"),
        pytest.param(np.dstack([RGB, np.full((2, 5), 255, np.uint8)]), id="opaque RGBA"),
    ],
)
def test_every_kind_of_image_gives_the_same_pixels(image):
    assert pixels(image) == RGB.tolist()


def test_files_and_bfloat16(tmp_path):
    (tmp_path / "a.png").write_bytes(png(RGB))
    assert pixels(tmp_path / "a.png") == pixels(str(tmp_path / "a.png")) == RGB.tolist()
    assert pixels(torch.ones(3, 2, 2, dtype=torch.bfloat16)) == [[[255] * 3] * 2] * 2


@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 1), (1, 2, 5), (2, 5, 3), (3, 2, 5)])
def test_grey_and_boolean_arrays(shape):
    assert np.array(load_image(np.ones(shape, dtype=bool), input_data_format=None)).min() == 255


def test_shapes_that_leave_the_channels_open():
    assert load_image(np.zeros((1, 500, 3), np.uint8)).size == (500, 1)  # one pixel high
    assert load_image(np.zeros((3, 500, 1), np.uint8)).size == (1, 500)
    assert load_image(np.zeros((1, 1), np.uint8)).size == (1, 1)
    assert load_image(np.zeros((3, 5, 2), np.uint8)).size == (2, 5)
    assert load_image(np.zeros((4, 5, 3), np.uint8)).size == (5, 4)
    assert load_image(np.zeros((4, 5, 6), np.uint8)).size == (6, 5)
    assert load_image(np.zeros((2, 5, 6), np.uint8)).size == (6, 5)
    with pytest.warns(UserWarning, match=r"shape \(3, 500, 3\) may have its channels first or last; taken as first"):
        assert load_image(np.zeros((3, 500, 3), np.uint8)).size == (3, 500)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = np.zeros((3, 500, 3), np.uint8)
        assert load_image(image, input_data_format="channels_last").size == (500, 3)
    with pytest.raises(ValueError, match="input_data_format is 'channels_first' or 'channels_last', got 'last'"):
        load_image(image, input_data_format="last")


def test_transparency_is_composited_on_white():
    rgba = np.zeros((1, 2, 4), np.uint8)
    rgba[0, 0] = (200, 0, 0, 255)  # opaque red, transparent black
    assert pixels(Image.fromarray(rgba)) == [[[200, 0, 0], [255, 255, 255]]]
    assert pixels(rgba) == [[[200, 0, 0], [255, 255, 255]]]
    assert pixels(np.array([[[0, 255], [0, 0]]], np.uint8), input_data_format="channels_last") == [[[0] * 3, [255] * 3]]
    assert pixels(Image.fromarray(rgba).convert("LA"))[0][1] == [255] * 3


def test_palette_with_and_without_transparency(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    assert pixels(palette) == [[[10, 20, 30], [40, 50, 60]]]
    palette.save(tmp_path / "a.gif", transparency=1)
    assert pixels(tmp_path / "a.gif") == [[[10, 20, 30], [255, 255, 255]]]


def test_transparent_colour_of_a_png(tmp_path):
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "a.png", transparency=(1, 2, 3))
    assert pixels(tmp_path / "a.png") == [[[255, 255, 255]]]


def test_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    red, green, blue = pixels(tmp_path / "a.jpg")[0][0]
    assert red > 250 and green < 5 and blue < 5


@pytest.mark.parametrize("mode", ["1", "L", "YCbCr", "LAB", "HSV", "RGBX"])
def test_other_modes_become_rgb(mode):
    assert load_image(Image.new(mode, (4, 3))).size == (4, 3)
    if mode != "LAB":  # which Pillow cannot make of RGB
        assert pixels(Image.new("RGB", (4, 3), "white").convert(mode))[0][0] == [255, 255, 255]


def test_sixteen_bits_and_floats(tmp_path):
    deep = np.array([[0, 257, 65535]], dtype=np.uint16)
    grey = [[[0] * 3, [1] * 3, [255] * 3]]
    assert pixels(Image.fromarray(deep)) == grey
    Image.fromarray(deep).save(tmp_path / "a.png")
    Image.fromarray(deep).save(tmp_path / "a.tif")
    assert pixels(tmp_path / "a.png") == pixels(tmp_path / "a.tif") == grey
    assert pixels(Image.fromarray(deep.astype(np.int32))) == grey
    assert pixels(Image.fromarray(np.array([[0, 1, 255]], dtype=np.int32))) == grey  # 8 bits in a wide type
    assert pixels(Image.fromarray(np.array([[0, 1 / 255, 1]], dtype=np.float32))) == grey


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path, orientation):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = 255  # white in the upper left quarter
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # PIL's transpositions that store it so
    stored = Image.fromarray(upright)
    if orientation in undo:
        stored = stored.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    assert pixels(tmp_path / "a.png") == upright.tolist()


def test_of_several_frames_the_first_is_used_with_a_warning(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match=r"a.gif\) has 2 frames; the first is used"):
        assert pixels(tmp_path / "a.gif")[0][0] == [255, 0, 0]


def test_missing_file_folder_and_no_image(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"images\[2\] \(.*nothing.png\): there is no such file"):
        load_image(tmp_path / "nothing.png", "images[2]")
    with pytest.raises(ValueError, match="is a folder, expected an image file"):
        load_image(tmp_path)
    (tmp_path / "a.png").write_text("not a picture")
    with pytest.raises(ValueError, match=r"a.png\) is not an image that Pillow can read"):
        load_image(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ValueError, match=r"pipe\.png is a device or a pipe, expected a file\."):
        load_image(tmp_path / "pipe.png")
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty.jpg\) is not an image that Pillow can read"):
        load_image(tmp_path / "empty.jpg")
    with pytest.raises(ValueError, match="image is not an image that Pillow can read"):
        load_image(b"bytes")


@pytest.mark.parametrize(
    ("form", "change", "message"),
    [
        ("PPM", lambda data: data[:4], r"is damaged or cut off: Reached EOF while reading header"),
        ("PPM", lambda data: b"P6 a 2 255 " + data, r"is damaged or cut off: invalid literal for int\(\)"),
        ("SGI", lambda data: data[:3] + b"\x0c" + data[4:], r"is damaged or cut off: Unsupported SGI image mode"),
        ("DDS", lambda data: data[:-1], r"is damaged or cut off: not enough image data"),
    ],
)
def test_damage_in_any_format_is_told_alike(tmp_path, form, change, message):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.img", form)
    (tmp_path / "a.img").write_bytes(change((tmp_path / "a.img").read_bytes()))
    with pytest.raises(UnreadableImageError, match=rf"^image \(.*a\.img\) {message}"):
        load_image(tmp_path / "a.img")
    noise = png(np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8))
    with pytest.raises(UnreadableImageError, match=r"^image is damaged or cut off: image file is truncated"):
        load_image(noise[: len(noise) // 2])


def test_a_file_that_may_not_be_read_is_not_called_damaged():
    class Locked(io.BytesIO):
        def read(self, *args):
            raise PermissionError(13, "Permission denied")

    with pytest.raises(UnreadableImageError, match=r"^image may not be read by this user: Permission denied\.$"):
        load_image(Locked())


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp"])
def test_truncated_files(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / f"a.{suffix}")
    whole = (tmp_path / f"a.{suffix}").read_bytes()
    (tmp_path / f"a.{suffix}").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=rf"images\[0\] \(.*a.{suffix}\) is (damaged or cut off|not an image)"):
        load_image(tmp_path / f"a.{suffix}", "images[0]")


def test_a_truncated_picture_opened_before_names_its_place():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    opened = Image.open(io.BytesIO(png(noise)[:5000]))  # Pillow reads no further than the head
    with pytest.raises(ValueError, match=r"images\[1\] is damaged or cut off: .*truncated"):
        load_image(opened, "images[1]")


def bomb() -> bytes:
    """A PNG that claims 30,000 x 30,000 pixels in under a hundred bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_decompression_bomb_is_refused_before_it_is_read(tmp_path):
    (tmp_path / "bomb.png").write_bytes(bomb())
    with pytest.raises(ValueError, match=r"bomb.png\) is too large: Image size \(900000000 pixels\).*MAX_IMAGE"):
        load_image(tmp_path / "bomb.png")
    with pytest.raises(ValueError, match=r"mask \(.*bomb.png\) is too large"):
        load_map(tmp_path / "bomb.png")


def test_a_picture_in_memory_has_the_same_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    assert load_image(np.zeros((10, 10), np.uint8)).size == (10, 10)
    for image in (np.zeros((10, 11), np.uint8), Image.new("RGB", (10, 11))):
        with pytest.raises(ValueError, match=r"images\[0\] is too large: Image size \(110 pixels\)"):
            load_image(image, "images[0]")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert load_image(np.zeros((10, 11), np.uint8)).size == (11, 10)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.full((6, 6, 3), 256), ValueError, r"values from 256 to 256, expected bool, 0 to 255"),
        (np.full((6, 6, 3), -1.0), ValueError, r"from -1 to -1, .*normalised already pass do_resize=False"),
        (np.full((6, 6, 3), np.nan), ValueError, r"values from nan to nan"),
        (np.zeros((6, 4, 5), np.uint8), ValueError, r"\(6, 4, 5\), in which no outer axis is 1, 3 or 4 channels"),
        (np.zeros((4,), np.uint8), ValueError, r"shape \(4,\), expected \(H, W\)"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, r"shape \(0, 4, 3\): there is nothing in it"),
        (np.full((6, 6, 3), "a"), TypeError, r"holds <U1, expected bool, integers or floats"),
        (np.zeros((6, 6, 3), complex), TypeError, r"holds complex128"),
        (Image.fromarray(np.full((2, 2), 70_000, np.int32)), ValueError, r"values from 70000 to 70000"),
        (
            42,
            TypeError,
            r"image is a int, expected a PIL image, an array, a tensor, .*, bytes or an open file",
        ),
        ({"x": 1}, TypeError, r"image is a dict without bytes or path, expected a PIL image"),
        ("data:image/png,xyz", ValueError, r"is not in base64"),
        ("data:image/png;base64,?", ValueError, r"is not valid base64"),
    ],
)
def test_errors_name_the_input_and_what_is_wrong(image, error, message):
    with pytest.raises(error, match=message):
        load_image(image)


@pytest.fixture
def server():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/a.png")
                self.end_headers()
                return
            self.send_response(200 if self.path == "/a.png" else 404)
            self.end_headers()
            self.wfile.write(png(RGB) if self.path == "/a.png" else b"")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_urls(server):
    assert pixels(f"{server}/a.png") == pixels(f"{server}/moved") == RGB.tolist()
    with pytest.raises(ConnectionError, match=r"images\[0\] \(http://127.0.0.1:\d+/gone\) cannot be fetched: .*404"):
        load_image(f"{server}/gone", "images[0]")
    with pytest.raises(ConnectionError, match="cannot be fetched"):
        load_image("http://127.0.0.1:9/a.png")


def test_files_that_are_open(tmp_path):
    picture = Image.new("RGB", (5, 4), "red")
    picture.save(tmp_path / "a.png")
    with open(tmp_path / "a.png", "rb") as file:
        assert load_image(file).tobytes() == picture.tobytes()
    assert load_image(io.BytesIO((tmp_path / "a.png").read_bytes())).tobytes() == picture.tobytes()
    with pytest.raises(ValueError, match="image is not an image that Pillow can read"):
        load_image(io.BytesIO(b"no image"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_sizes_are_measured_as_they_stand_upright(kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20)).save(buffer, kind, exif=exif)
    for image in (buffer.getvalue(), {"bytes": buffer.getvalue(), "path": "a"}):
        loaded = load_image(image)
        assert measure_image(image) == (loaded.height, loaded.width) == (30, 20)


def test_a_file_that_cannot_be_read_is_an_error_of_its_own():
    for read in (load_image, measure_image, load_map):
        with pytest.raises(
            UnreadableImageError, match=r"image that Pillow can read\. It says: cannot identify"
        ) as caught:
            read({"bytes": b"no image", "path": None})
        assert isinstance(caught.value, OSError) and isinstance(caught.value, ValueError)


def test_the_picture_given_is_nobody_else_s():
    given = Image.new("RGB", (4, 3))
    load_image(given).putpixel((0, 0), (255, 0, 0))
    assert given.getpixel((0, 0)) == (0, 0, 0)
