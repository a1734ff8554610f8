"""YOLO's labels as Ultralytics, Roboflow and Label Studio lay them out, and what can be wrong with them."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from clipseg_hf.data.sources.annotation_tools.yolo import YoloFiles, label_of
from clipseg_hf.data.sources.loading import recognise

SQUARE = "0 0 .5 0 .5 .5 0 .5"


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_polygons_of_a_class_are_united_and_numbers_mean_names(tmp_path, make, read, masks_of):
    make.save_image(tmp_path / "images" / "a.jpg")
    labels = f"1 {SQUARE}\n0 {SQUARE}\n\n1 .9 .9 1 .9 1 1 .9 1\n"
    write(tmp_path, {"data.yaml": "names:\n  0: cat\n  1: dining_table\n", "labels/a.txt": labels})

    [row], summary = read(YoloFiles, tmp_path)

    expected = make.boxed(0, 0, 15, 10) | make.boxed(27, 18, 30, 20)
    assert np.array_equal(masks_of(row)["dining table"], expected) and masks_of(row)["cat"].sum() == 150
    table = row["phrases"][0]
    assert table["boxes"] == [[0, 0, 15, 10], [27, 18, 3, 2]] and table["phrase_id"] == "images/a__0"
    assert not summary.flaws and recognise(tmp_path) == "yolo" == recognise(tmp_path / "data.yaml")


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        ("train: images/train\nval: images/valid\n", ["images/train/a", "images/valid/b"]),
        ("train: ../train/images\nval: ../valid/images\ntest: ../test/images\n", ["train/images/a", "valid/images/b"]),
        ("path: /home/me/x\ntrain: [images/1, images/2]\nval: images/3", ["images/1/a", "images/3/b"]),
        ("train: lists/train.txt\nval: lists/val.txt", ["images/a", "images/b"]),
        ("", ["images/train/a", "images/val/b"]),
    ],
)
def test_splits_are_found_where_data_yaml_says(tmp_path, make, read, settings, files):
    for name in files:
        make.save_image(tmp_path / f"{name}.jpg")
        write(tmp_path, {label_of(f"{name}.jpg"): f"0 {SQUARE}"})
    lists = {"lists/train.txt": "./images/a.jpg\n", "lists/val.txt": "/home/me/images/b.jpg\n"}
    write(tmp_path, {"data.yaml": f"{settings}\nnames: [cat]\n", **lists})

    assert [row["image_id"] for row in read(YoloFiles, tmp_path)[0]] == files[:1]
    rows, summary = read(YoloFiles, tmp_path, "val")
    assert [row["image_id"] for row in rows] == files[1:] and not summary.flaws
    if "test" in settings:  # Roboflow names it, even where it is empty
        assert read(YoloFiles, tmp_path, "test")[1].examples == {"missing_image": ["../test/images (data.yaml)"]}


def test_classes_txt_will_do_and_archives_too(tmp_path, make, read):
    root = tmp_path / "data"
    make.save_image(root / "images" / "a.jpg")
    write(root, {"classes.txt": "cat\ndog\n", "labels/a.txt": f"1 {SQUARE}", "notes.json": '{"categories": []}'})
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for file in root.rglob("*.*"):
            archive.write(file, file.relative_to(root))

    assert recognise(root) == "yolo"
    for path in (root, tmp_path / "data.zip"):
        [row], _ = read(YoloFiles, path)
        assert [entry["phrase"] for entry in row["phrases"]] == ["dog"]


def test_every_flaw_is_named_by_its_line(tmp_path, make, read):
    lines = ["0 .5 .5 .2 .2", "9 " + SQUARE, "0 .1 .1 .2", "0 a b c", "0 0 0 15 0 15 10", "0 0 0 1 1", f"0 {SQUARE}"]
    lines += ["0 0 0 nan 0 1 1", "0 -.9 -.9 -.5 -.9 -.5 -.5"]
    for name in "abcd":
        make.save_image(tmp_path / "images" / f"{name}.jpg")
    write(tmp_path, {"data.yaml": "names: [cat]", "labels/a.txt": "\n".join(lines), "labels/b.txt": ""})
    write(tmp_path, {"labels/z.txt": f"0 {SQUARE}"})
    (tmp_path / "labels" / "d.txt").write_bytes(b"0 caf\xe9")

    rows, summary = read(YoloFiles, tmp_path)

    assert [len(row["phrases"]) for row in rows] == [1, 0]
    assert summary.examples == {
        "no_annotation": ["images/c.jpg", "images/b.jpg"],
        "missing_image": ["that of labels/z.txt"],
        "no_outline": ["labels/a.txt, line 1", "labels/a.txt, line 6"],
        "unknown_label": ["labels/a.txt, line 2: class 9"],
        "malformed_entry": [
            "labels/a.txt, line 3 (a class and pairs x y, found 4 numbers)",
            "labels/a.txt, line 4 (expected numbers, found 0 a b c)",
            "labels/a.txt, line 5 (expected shares of the image's size from 0 to 1, found 15)",
        ],
        "wild_polygon": ["labels/a.txt, line 8"],
        "empty_mask": ["'cat' in images/a.jpg"],
        "unreadable_annotation": [
            f"labels/d.txt ({tmp_path}/labels/d.txt is not UTF-8 at byte 5: unexpected end of data. Save it as UTF-8.)"
        ],
    }


def test_labels_are_of_the_image_as_it_is_shown(tmp_path, make, read, masks_of):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "images" / "a.jpg", exif=exif)
    write(tmp_path, {"data.yaml": "names: [cat]", "labels/a.txt": f"0 {SQUARE}"})

    [row], summary = read(YoloFiles, tmp_path)

    assert masks_of(row)["cat"].shape == (30, 20) and masks_of(row)["cat"][:15, :10].all()
    assert summary.examples == {"unclear_frame": ["images/a.jpg (its annotation says no size)"]}


def test_what_is_missing_is_said(tmp_path, make):
    write(tmp_path, {"data.yaml": "names: [cat]"})
    with pytest.raises(FileNotFoundError, match=r"no images in .*Found: data.yaml\. Expected data.yaml with names"):
        YoloFiles(tmp_path, unpack_dir=tmp_path)
    make.save_image(tmp_path / "images" / "a.jpg")
    for names in ("3", "{.inf: cat}", "[" * 3000):
        write(tmp_path, {"data.yaml": f"names: {names}"})
        with pytest.raises(ValueError, match=r"data\.yaml has no list `names` of classes: "):
            YoloFiles(tmp_path, unpack_dir=tmp_path)
    write(tmp_path, {"data.yaml": "names: [cat]\ntrain: elsewhere\nval: there"})
    with pytest.raises(FileNotFoundError, match=r"data\.yaml says that images are in elsewhere, there; there are none"):
        YoloFiles(tmp_path, unpack_dir=tmp_path)
    (tmp_path / "data.yaml").unlink()
    with pytest.raises(FileNotFoundError, match=r"What do the labels' numbers mean\? There is no data\.yaml with `nam"):
        YoloFiles(tmp_path, unpack_dir=tmp_path)
