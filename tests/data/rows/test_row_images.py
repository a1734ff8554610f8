import io

import datasets
import numpy as np
import pytest
from PIL import Image

from clipseg_hf.data.rows.row_images import decode_image, fingerprint_images, undecoded
from clipseg_hf.data.rows.rows import ROW_FEATURES


def encoded(picture: Image.Image, kind="JPEG", **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture
def picture():
    ramp = np.linspace(0, 255, 64 * 96 * 3).reshape(64, 96, 3).astype(np.uint8)
    return Image.fromarray(ramp)


def test_every_way_to_give_an_image(picture, tmp_path):
    path = tmp_path / "picture.png"
    picture.save(path)
    data = path.read_bytes()
    for image in (picture, path, str(path), data, {"bytes": data, "path": None}, {"bytes": None, "path": str(path)}):
        pixels, size = decode_image(image)
        assert size == (64, 96)
        assert np.array_equal(pixels, np.asarray(picture))


@pytest.mark.parametrize(
    ("at_least", "shape"),
    [
        (None, (64, 96)),
        ((33, 33), (64, 96)),
        ((32, 32), (32, 48)),
        ((16, 16), (16, 24)),
        ((8, 8), (8, 12)),
        ((1, 1), (8, 12)),
    ],
)
def test_large_jpegs_are_decoded_at_a_fraction(picture, at_least, shape):
    pixels, size = decode_image(encoded(picture), at_least)
    assert pixels.shape == (*shape, 3)
    assert size == (64, 96)
    whole = np.asarray(picture.resize(shape[::-1], Image.Resampling.BOX)).astype(int)
    assert np.abs(pixels - whole).mean() < 4


def test_other_files_and_pictures_are_decoded_whole(picture):
    assert decode_image(encoded(picture, "PNG"), (10, 10))[0].shape == (64, 96, 3)
    opened = Image.open(io.BytesIO(encoded(picture)))
    assert decode_image(opened, (10, 10))[0].shape == (64, 96, 3)  # it belongs to somebody else


def test_images_are_upright(picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    pixels, size = decode_image(encoded(picture, exif=exif, quality=100))
    assert size == (96, 64)
    turned = np.rot90(np.asarray(picture), -1).astype(int)
    assert np.abs(pixels - turned).mean() < 4
    assert decode_image(encoded(picture, exif=exif), (48, 32))[0].shape == (48, 32, 3)
    assert decode_image(encoded(picture, exif=exif), (32, 48))[0].shape == (96, 64, 3)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpegs_of_other_modes_become_rgb(picture, mode):
    pixels, _ = decode_image(encoded(picture.convert(mode)), (32, 32))
    assert pixels.shape == (32, 48, 3)


def test_errors(picture, tmp_path):
    with pytest.raises(OSError, match="cannot identify"):
        decode_image(b"no image")
    with pytest.raises(FileNotFoundError, match=r"gone\.jpg"):
        decode_image(tmp_path / "gone.jpg")
    with pytest.raises(OSError, match="truncated"):
        decode_image(encoded(picture)[:-200])
    with pytest.raises(TypeError, match="NoneType"):
        decode_image(None)


def test_a_dataset_leaves_its_images_to_us(world):
    data = datasets.Dataset.from_list(world[:2], features=ROW_FEATURES).with_format("torch")
    assert undecoded(data)[0]["image"]["bytes"] == world[0]["image"]["bytes"]
    assert undecoded(world) is world


def test_fingerprints_follow_the_picture_however_it_is_given(picture, tmp_path):
    other = Image.fromarray(255 - np.asarray(picture))
    path = tmp_path / "picture.png"
    for given in (lambda p: p, np.asarray, encoded, lambda p: {"bytes": encoded(p), "path": "a.jpg"}):
        first, second, again = fingerprint_images([{"image": given(p)} for p in (picture, other, picture)])
        assert first == again != second
    picture.save(path)
    rows = [{"image": str(path)}, {"image": path}, {"image": {"bytes": None, "path": str(path)}}]
    first, second, third = before = fingerprint_images(rows)
    assert first == second == third and before.dtype == np.uint64
    other.save(path)
    assert (fingerprint_images(rows) != before).all()


def test_fingerprints_need_no_picture_that_can_be_read(tmp_path):
    rows = [{"image": image} for image in (b"", str(tmp_path / "lost.png"), "https://a.test/b.png", np.ones((2, 3, 9)))]
    assert (fingerprint_images(rows) == fingerprint_images(rows)).all()


def test_a_data_sets_pictures_are_told_by_their_bytes(picture):
    phrases, size = {"phrases": []}, {"height": 64, "width": 96}
    images = [{"bytes": encoded(picture, quality=quality), "path": None} for quality in (90, 50)]
    rows = [{"image": image, "image_id": "a"} | phrases | size for image in images]
    made = datasets.Dataset.from_list(rows, features=ROW_FEATURES)
    assert (fingerprint_images(made) == fingerprint_images(rows)).all()
