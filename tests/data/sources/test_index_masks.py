import json

import numpy as np
import pytest
from PIL import Image

from clipseg_hf.data.rows.flaws import FlawError
from clipseg_hf.data.rows.row_phrases import truth_of
from clipseg_hf.data.sources import load_segmentation_dataset
from clipseg_hf.data.sources.classes import clean_name, make_class_table


@pytest.fixture
def root(tmp_path, make):
    """Two images with masks of background, road, car and a value for what is not labelled."""
    root = tmp_path / "street"
    for number in (1, 2):
        make.save_image(root / "images" / f"{number}.jpg")
        mask = make.blank()
        mask[10:], mask[12:16, 5:15], mask[:3] = 1, number + 1, 255
        make.save_mask(root / "masks" / f"{number}.png", mask, palette=number == 2)
    (root / "classes.txt").write_text("background\nroad\nsmall_car\nbus\n")
    return root


def test_each_class_that_a_mask_shows_is_a_phrase(root, load, masks_of):
    rows, summary = load(root, ignore_index=255, strict=True)

    first, second = (masks_of(row) for row in rows)
    assert list(first) == ["road", "small car"] and list(second) == ["road", "bus"]  # no background
    assert first["road"].sum() == 300 - 40 and first["small car"].sum() == 40
    assert not first["road"][:3].any()
    assert rows[0]["phrases"][1]["boxes"] == [[5, 12, 10, 4]] and rows[0]["image_id"] == "1"
    assert (rows[0]["height"], rows[0]["width"]) == (20, 30) and not summary.flaws


def test_what_is_not_labelled_does_not_count(root, load):
    rows, _ = load(root, ignore_index=255)
    ignored = truth_of(rows[0]["phrases"], [1]).ignored
    assert ignored[:3].all() and not ignored[3:].any()

    (root / "classes.json").write_text('{"background": 0, "road": 1, "car": 2, "bus": 3, "Void": 255}')
    rows, _ = load(root, classes="classes.json")  # a name may say so, too
    assert (truth_of(rows[0]["phrases"], [1]).ignored == ignored).all()
    rows, _ = load(root, classes="classes.json", leave_out=())
    assert [entry["phrase"] for entry in rows[0]["phrases"]][-1] == "Void"
    assert truth_of(rows[0]["phrases"], [1]).ignored is None


def test_a_value_that_is_no_class_is_named_unless_it_is_ignored(root, load, tmp_path):
    (root / "classes.txt").write_text("background\nroad\nsmall_car\n")
    message = (
        r"(?s)Nothing is left of train of .* to make rows of\..*2 x unknown_label.*1\.png: value 255 \(90 pixels\), "
    )
    with pytest.raises(ValueError, match=message + r"2\.png: value 3 \(40 pixels\), 255 \(90 pixels\)"):
        load_segmentation_dataset(root, cache_dir=tmp_path / "lenient")
    with pytest.raises(FlawError, match=r"1\.png: value 255 \(90 pixels\): the mask holds a value that no class has"):
        load_segmentation_dataset(root, strict=True, cache_dir=tmp_path / "strict")
    rows, summary = load(root, ignore_index=[3, 255])
    assert len(rows) == 2 and not summary.flaws


def test_the_background_is_a_phrase_where_it_is_wanted(root, load, masks_of):
    rows, _ = load(root, ignore_index=255, leave_out=("road",))

    assert list(masks_of(rows[0])) == ["background", "small car"]


def test_colours_stand_for_classes(tmp_path, load, make, masks_of):
    root = tmp_path / "camvid"
    make.save_image(root / "images" / "1.png")
    mask = np.zeros((20, 30, 3), np.uint8)
    mask[:10], mask[10:, :15], mask[10:, 15:] = (128, 64, 128), (64, 0, 128), (0, 0, 0)
    make.save_mask(root / "masks" / "1.png", mask)
    (root / "label_colors.txt").write_text("128 64 128\tRoad\n64 0 128\tCar\n")

    rows, _ = load(root, ignore_color=(0, 0, 0), strict=True)

    assert {phrase: found.sum() for phrase, found in masks_of(rows[0]).items()} == {"Car": 150, "Road": 300}


@pytest.fixture
def flattened(tmp_path, make):
    """VOC's palette, turned into colours by some editor: aeroplane and bicycle."""
    root = tmp_path / "flattened"
    make.save_image(root / "images" / "1.jpg")
    mask = np.zeros((20, 30, 3), np.uint8)
    mask[:10], mask[10:, :5] = (128, 0, 0), (0, 128, 0)
    make.save_mask(root / "masks" / "1.png", mask)
    (root / "classes.txt").write_text("background\naeroplane\nbicycle\n")
    return root


def test_a_colour_without_a_name_is_told_with_the_file_that_would_give_it_one(flattened, load, tmp_path, masks_of):
    message = (
        r"1\.png: colour 0, 0, 0 \(250 pixels\); 0, 128, 0 \(50 pixels\); 128, 0, 0 \(300 pixels\); a line "
        r'"0 0 0 NAME" for each in classes\.txt names them: the mask holds'
    )
    with pytest.raises(FlawError, match=message):
        load_segmentation_dataset(flattened, strict=True, cache_dir=tmp_path / "strict")

    (flattened / "classes.txt").write_text("0 0 0 background\n128 0 0 aeroplane\n0 128 0 bicycle\n")
    rows, _ = load(flattened, strict=True)

    assert {phrase: mask.sum() for phrase, mask in masks_of(rows[0]).items()} == {"aeroplane": 300, "bicycle": 50}


def test_classes_told_by_colours_are_found_in_a_palette_and_indices_in_grey(flattened, load, masks_of):
    (flattened / "labelmap.txt").write_text("background:0,0,0::\naeroplane:128,0,0::\nbicycle:0,128,0::\n")
    (flattened / "classes.txt").unlink()
    mask = Image.open(flattened / "masks" / "1.png")
    mask.quantize(3).save(flattened / "masks" / "1.png")
    assert Image.open(flattened / "masks" / "1.png").mode == "P"
    expected = {"aeroplane": 300, "bicycle": 50}
    rows, _ = load(flattened, strict=True)
    assert {phrase: mask.sum() for phrase, mask in masks_of(rows[0]).items()} == expected

    indices = np.zeros((20, 30), np.uint8)
    indices[:10], indices[10:, :5] = 1, 2
    Image.fromarray(indices).convert("RGB").save(flattened / "masks" / "1.png")
    rows, _ = load(flattened, classes=["background", "aeroplane", "bicycle"], strict=True)
    assert {phrase: mask.sum() for phrase, mask in masks_of(rows[0]).items()} == expected


def test_folders_called_train_and_val_are_splits_and_names_may_end_differently(tmp_path, load, make):
    root = tmp_path / "cityscapes"
    for split in ("train", "val"):
        make.save_image(root / "leftImg8bit" / split / "aachen" / "a_0_leftImg8bit.png")
        make.save_mask(root / "gtFine" / split / "aachen" / "a_0_gtFine_labelIds.png", make.boxed(0, 0, 9, 9, value=7))
        make.save_mask(root / "gtFine" / split / "aachen" / "a_0_gtFine_instanceIds.png", make.blank())
    names = {"images": "leftImg8bit", "masks": "gtFine", "classes": {0: "background", 7: "road"}}
    endings = {"image_ending": "_leftImg8bit", "mask_ending": "_gtFine_labelIds"}

    data = load_segmentation_dataset(
        root, kind="index_masks", **names, **endings, strict=True, cache_dir=tmp_path / "cache"
    )

    assert {split: rows["image_id"][:] for split, rows in data.items()} == {
        "train": ["train/aachen/a_0"],
        "val": ["val/aachen/a_0"],
    }


def test_ade_style_folders_are_called_training_and_validation(tmp_path, load, make):
    for folder in ("training", "validation"):
        make.save_image(tmp_path / "ade" / "images" / folder / "1.jpg")
        make.save_mask(tmp_path / "ade" / "annotations" / folder / "1.png", make.boxed(0, 0, 9, 9, value=150))

    rows, _ = load(
        tmp_path / "ade", "val", kind="index_masks", masks="annotations", classes={0: "other", 150: "flag"}, strict=True
    )

    assert rows[0]["phrases"][0]["phrase"] == "flag"


def test_sixteen_bits_are_read_as_they_are(root, load, make, masks_of):
    Image.fromarray(np.full((20, 30), 1000, np.uint16)).save(root / "masks" / "1.png")

    rows, _ = load(root, classes={1000: "sky", 0: "a", 1: "b", 3: "c", 255: "d"})

    assert masks_of(rows[0])["sky"].all()


FLAWED = [
    ("missing_mask", lambda root: (root / "masks" / "1.png").unlink(), r"that of image 1\.jpg"),
    ("missing_image", lambda root: (root / "images" / "1.jpg").unlink(), r"that of mask 1\.png"),
    ("unreadable_image", lambda root: (root / "images" / "1.jpg").write_bytes(b"x"), r"1\.jpg"),
    ("unreadable_mask", lambda root: (root / "masks" / "1.png").write_bytes(b"x"), r"1\.png"),
    (
        "mask_size_differs",
        lambda root: Image.new("L", (31, 20)).save(root / "masks" / "1.png"),
        r"1\.png \(31 x 20, 1\.jpg 30 x 20\)",
    ),
]


@pytest.mark.parametrize(("flaw", "cause", "where"), FLAWED)
def test_each_flaw_is_counted_and_named_and_strict_stops_at_it(root, load, tmp_path, flaw, cause, where):
    cause(root)

    rows, summary = load(root, ignore_index=255)

    assert summary.flaws == {flaw: 1} and rows["image_id"][:] == ["2"]
    with pytest.raises(FlawError, match=f"{where}: .* \\({flaw}\\)"):
        load_segmentation_dataset(root, ignore_index=255, strict=True, cache_dir=tmp_path / "strict")


def test_images_that_show_nothing_to_ask_for_are_counted_also_where_it_is_strict(root, load, make):
    make.save_mask(root / "masks" / "1.png", make.boxed(0, 0, 9, 9, value=255))

    rows, summary = load(root, ignore_index=255, strict=True)

    assert rows["image_id"][:] == ["2"] and not summary.filtered
    assert summary.examples == {"no_annotation": ["1.jpg (nothing but what is left out in 1.png)"]}


@pytest.mark.parametrize("endings", [("", "_mask"), ("_picture", ""), ("_picture", "_mask"), ("", "")])
def test_images_and_masks_may_be_in_one_folder(tmp_path, load, make, endings):
    root, (image_ending, mask_ending) = tmp_path / "mine", endings
    for name in ("a", "b"):
        make.save_image(root / f"{name}{image_ending}.{'png' if any(endings) else 'jpg'}")
        make.save_mask(root / f"{name}{mask_ending}.png", make.boxed(0, 0, 9, 9))
    options = {"image_ending": image_ending, "mask_ending": mask_ending, "classes": ["background", "box"]}

    rows, summary = load(root, kind="index_masks", images=".", masks=".", strict=True, **options)

    assert rows["image_id"][:] == ["a", "b"] and not summary.flaws


def test_missing_parts_are_named(root, load):
    (root / "classes.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"What do the masks' values mean\? There is no classes\.json, "):
        load(root)
    with pytest.raises(FileNotFoundError, match=r"There is no labels in .*street\. Found: images/, masks/\. Ex"):
        load(root, kind="index_masks", masks="labels")
    for mask in (root / "masks").iterdir():
        mask.rename(mask.with_name(f"mask_{mask.name}"))
    with pytest.raises(
        FileNotFoundError,
        match=r"No image has a mask of the same name\. Images in .*1\.jpg, 2\.jpg\. Masks"
        r" in .*mask_1\.png.*mask_ending=",
    ):
        load(root, classes=["a"])


CLASS_FILES = [
    ("classes.json", json.dumps(["background", "road", "car"]), {1: "road", 2: "car"}),
    ("classes.json", json.dumps({"1": "road", "2": "car", "0": "background"}), {1: "road", 2: "car"}),
    ("id2label.json", json.dumps({"road": 1, "car": 2, "background": 0}), {1: "road", 2: "car"}),
    ("labels.txt", "# of the street\n0: background\n1: road\n2: car\n", {1: "road", 2: "car"}),
    ("labels.txt", "0 background\n\n1 road\n2 car", {1: "road", 2: "car"}),
    ("labelmap.txt", "background:0,0,0::\nroad:0,0,1::\ncar:0,0,2:door:opens\n", {1: "road", 2: "car"}),
    ("classes.txt", "0 0 0 background\n0 0 1 road\n0,0,2 car", {1: "road", 2: "car"}),
    ("classes.txt", "background 0 0 0\nroad\t0 0 1\ncar 0,0,2\n", {1: "road", 2: "car"}),
    ("class_dict.csv", "name,r,g,b\nbackground,0,0,0\nroad,0,0,1\ncar,0,0,2\n", {1: "road", 2: "car"}),
]


@pytest.mark.parametrize(("name", "text", "expected"), CLASS_FILES)
def test_files_of_classes_come_in_many_forms(name, text, expected, tmp_path):
    (tmp_path / name).write_text(text)

    assert make_class_table(tmp_path / name).names == {0: "background", **expected}


def test_classes_that_make_no_sense_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"classes are names in order, .*got 1\.5 with 'road'"):
        make_class_table({"road": 1.5})
    with pytest.raises(ValueError, match=r"classes are names in order, .*got none"):
        make_class_table([])
    (tmp_path / "classes.txt").write_text("128 64 128 road\ncar\n")
    with pytest.raises(ValueError, match=r"'car' has no colour where others have one; .* as '128 64 128 road' does"):
        make_class_table(tmp_path / "classes.txt")
    (tmp_path / "classes.json").write_text("[\n'road']")
    with pytest.raises(ValueError, match=r"classes\.json is not valid JSON, line 2, column \d+: Expecting value"):
        make_class_table(tmp_path / "classes.json")
    for content in ("3", "true", '{"x": {"a": "b"}}', '{"road": 1e5}', json.dumps({"road": "9" * 5000})):
        (tmp_path / "classes.json").write_text(content)
        with pytest.raises(ValueError, match=r"classes\.json: classes are names in order, .*; got "):
            make_class_table(tmp_path / "classes.json")
    (tmp_path / "classes.txt").write_text("name" * 100_000 + "\ncar\n")
    with pytest.raises(ValueError, match=r"classes\.txt has a line of 400,000 characters, expected one class on each"):
        make_class_table(tmp_path / "classes.txt")


def test_names_are_cleaned_in_an_instant_whatever_they_hold():
    assert clean_name("bow_(weapon)") == "bow"
    assert clean_name("(" * 10**6) == "(" * 10**6
