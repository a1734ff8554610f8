import numpy as np
import pytest
from PIL import Image

from clipseg_hf.data.rows.flaws import FlawError
from clipseg_hf.data.sources import load_segmentation_dataset


@pytest.fixture
def root(tmp_path, make):
    root = tmp_path / "mine"
    for number in (1, 2):
        make.save_image(root / "images" / f"{number}.jpg")
        make.save_mask(root / "masks" / "red_box" / f"{number}.png", make.boxed(0, 0, 9, 9, value=255))
    make.save_mask(root / "masks" / "tree" / "1.png", make.boxed(10, 0, 20, 20))
    return root


def test_each_folder_of_masks_is_a_phrase(root, load, masks_of):
    rows, _ = load(root, strict=True)

    assert {phrase: mask.sum() for phrase, mask in masks_of(rows[0]).items()} == {"red box": 81, "tree": 200}
    assert list(masks_of(rows[1])) == ["red box"]


def test_splits_may_stand_above_the_phrases(tmp_path, load, make, masks_of):
    for split in ("train", "val"):
        make.save_image(tmp_path / "mine" / "images" / split / "1.jpg")
        make.save_mask(tmp_path / "mine" / "masks" / split / "tree" / "1.png", make.boxed(0, 0, 3, 3))

    rows, _ = load(tmp_path / "mine", "val", strict=True)

    assert rows["image_id"][:] == ["val/1"] and list(masks_of(rows[0])) == ["tree"]


def test_images_without_a_mask_are_counted_and_named_also_where_it_is_strict(root, load, make):
    make.save_image(root / "images" / "3.jpg")
    make.save_image(root / "images" / "test" / "4.jpg")
    (root / "masks" / "red_box" / "2.png").rename(root / "masks" / "red_box" / "02.png")  # misnamed

    with pytest.raises(FlawError, match=r"that of mask red_box/02\.png: .* \(missing_image\)"):
        load(root, strict=True)
    (root / "masks" / "red_box" / "02.png").unlink()
    rows, summary = load(root, strict=True)

    assert rows["image_id"][:] == ["1"] and summary.flaws == {"no_annotation": 3}
    assert summary.examples["no_annotation"] == ["test/4.jpg", "2.jpg", "3.jpg"]
    assert (
        "1 row with 2 phrases.\n  3 x no_annotation: nothing is annotated in the image; left the image out (test/4"
    ) in str(summary)


def test_masks_within_the_folder_of_images_are_no_images(tmp_path, load, make, masks_of):
    make.save_image(tmp_path / "mine" / "1.png")
    make.save_mask(tmp_path / "mine" / "masks" / "tree" / "1.png", make.boxed(0, 0, 3, 3))

    rows, summary = load(tmp_path / "mine", kind="binary_masks", images=".", strict=True)

    assert rows["image_id"][:] == ["1"] and not summary.flaws


FLAWED = [
    ("missing_image", lambda root: (root / "images" / "1.jpg").unlink(), r"that of mask red_box/1\.png"),
    ("unreadable_image", lambda root: (root / "images" / "1.jpg").write_bytes(b"x"), r"1\.jpg"),
    ("unreadable_mask", lambda root: (root / "masks" / "tree" / "1.png").write_bytes(b"x"), r"tree/1\.png"),
    ("empty_mask", lambda root: Image.new("L", (30, 20)).save(root / "masks" / "tree" / "1.png"), r"tree/1\.png"),
    (
        "mask_size_differs",
        lambda root: Image.new("L", (20, 30), 255).save(root / "masks" / "tree" / "1.png"),
        r"tree/1\.png \(20 x 30, 1\.jpg 30 x 20\)",
    ),
]


@pytest.mark.parametrize(("flaw", "cause", "where"), FLAWED)
def test_each_flaw_is_counted_and_named_and_strict_stops_at_it(root, load, tmp_path, flaw, cause, where):
    cause(root)

    rows, summary = load(root)

    assert summary.flaws == {flaw: 1} and "2" in rows["image_id"]
    with pytest.raises(FlawError, match=f"{where}: .* \\({flaw}\\)"):
        load_segmentation_dataset(root, strict=True, cache_dir=tmp_path / "strict")


def test_masks_without_images_are_a_wrong_layout(root, load):
    for image in (root / "images").iterdir():
        image.rename(image.with_name(f"photo{image.name}"))

    with pytest.raises(
        FileNotFoundError,
        match=r"No image has a mask of the same name\. Images in .*photo1\.jpg.*Masks in "
        r".*red_box/1\.png.*Expected images/<name>\.jpg and masks/<phrase>/<name>\.png",
    ):
        load(root)


BLACK, WHITE = np.zeros((20, 30), np.uint8), np.full((20, 30), 255, np.uint8)


@pytest.mark.parametrize("kind", ["black", "white", "grey and alpha", "cut out photo", "black and white"])
def test_a_mask_may_lie_in_its_transparency(root, load, masks_of, make, kind):
    alpha = make.boxed(0, 0, 9, 9, value=255)
    photo = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    pixels = {
        "black": np.dstack([BLACK] * 3 + [alpha]),
        "white": np.dstack([WHITE] * 3 + [alpha]),
        "grey and alpha": np.dstack([BLACK, alpha]),
        "cut out photo": np.dstack([photo, alpha]),
        "black and white": np.dstack([alpha] * 3 + [make.boxed(0, 0, 30, 19, value=255)]),
    }[kind]
    Image.fromarray(pixels).save(root / "masks" / "red_box" / "1.png")

    rows, summary = load(root, strict=True)

    assert (masks_of(rows[0])["red box"] == (alpha > 0)).all() and not summary.flaws


def test_masks_are_turned_as_their_images_are(root, load, masks_of):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    for name in ("images/1.jpg", "masks/tree/1.png"):
        Image.open(root / name).transpose(Image.Transpose.ROTATE_90).save(root / name, exif=exif)

    rows, summary = load(root, kind="binary_masks")

    assert masks_of(rows[0])["tree"].sum() == 200 and summary.flaws == {}
