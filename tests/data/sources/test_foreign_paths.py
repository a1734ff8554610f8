"""Paths that were written on another machine, in all layouts that hold paths; none leads out of the folder."""

import json

import pytest

from clipseg_hf.data.rows.foreign_paths import FileFinder, Found, last_part
from clipseg_hf.data.sources import open_segmentation_data

FILES = ["1.jpg", "a/1.jpg", "a/b/1.jpg", "a/b/2.jpg", "c/b/2.jpg", "a/3.jpg"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("a/1.jpg", Found(["a/1.jpg"])),
        ("1.jpg", Found(["1.jpg"])),
        ("./c/../a/3.jpg", Found(["a/3.jpg"])),
        ("3.jpg", Found(["a/3.jpg"])),  # as COCO has it: named without its folder
        ("b/1.jpg", Found(["a/b/1.jpg"])),
        ("a\\b\\1.jpg", Found(["a/b/1.jpg"], True)),
        (r"C:\work\a\b\1.jpg", Found(["a/b/1.jpg"], True)),
        (r"C:3.jpg", Found(["a/3.jpg"], True)),
        (r"..\..\a\3.jpg", Found(["a/3.jpg"], True)),
        ("../a/3.jpg", Found(["a/3.jpg"], True)),
        ("/home/me/x/b/1.jpg", Found(["a/b/1.jpg"], True)),
        ("/home/me/x/b/2.jpg", Found(["a/b/2.jpg", "c/b/2.jpg"], True)),
        ("/home/me/c/b/2.jpg", Found(["c/b/2.jpg"], True)),
        ("9.jpg", Found([])),
        ("..", Found([])),
        ("", Found([])),
    ],
)
def test_the_longest_tail_that_exists_is_found(wanted, expected):
    assert FileFinder(FILES).find(wanted) == expected


def test_a_path_is_relative_to_its_list_and_stays_in_its_folder():
    finder = FileFinder(FILES)
    assert finder.find("1.jpg", "a/b") == Found(["a/b/1.jpg"])
    assert finder.find("../1.jpg", "a/b") == Found(["a/1.jpg"])
    assert finder.find("/x/b/2.jpg", "c", within="c") == Found(["c/b/2.jpg"], True)
    assert finder.find("3.jpg", "c", within="c") == Found([])
    assert last_part(r"D:\x\2007_1.jpg") == "2007_1.jpg" and last_part("") == ""


def read(root, cache):
    builder = open_segmentation_data(root, cache_dir=cache, strict=True)
    builder.download_and_prepare()
    return builder.as_dataset("train"), builder.summary


FOREIGN = ["..\\..\\images\\1.jpg", "D:\\photos\\1.jpg", "/home/me/photos/1.jpg", "images\\1.jpg"]


@pytest.mark.parametrize("path", FOREIGN)
def test_coco_finds_its_images_and_tells(layouts, path):
    file = layouts / "coco" / "result.json"
    content = json.loads(file.read_text())
    content["images"][0]["file_name"] = path
    file.write_text(json.dumps(content))

    rows, summary = read(layouts / "coco", layouts / "cache")

    assert len(rows) == 1
    assert summary.examples == {"foreign_path": [f"{path}, taken for images/1.jpg"]}


@pytest.mark.parametrize("path", FOREIGN)
def test_tables_find_their_images_and_masks_and_tell(layouts, path):
    root = layouts / "imagefolder"
    line = {"file_name": path, "phrase": "box", "mask_file_name": path.replace("1.jpg", "1_mask.png")}
    (root / "metadata.jsonl").write_text(json.dumps(line))

    rows, summary = read(root, layouts / "cache")

    assert rows["image_id"][:] == ["1"] and summary.flaws == {"foreign_path": 2}
    assert summary.examples["foreign_path"][0] == f"{path}, taken for 1.jpg (metadata.jsonl, line 1)"


def test_what_lies_outside_or_may_be_several_is_missing(layouts, make):
    root = layouts / "imagefolder"
    make.save_image(layouts / "secret.jpg")
    for folder in ("a", "b"):
        make.save_image(root / folder / "2.jpg")
    lines = [json.loads((root / "metadata.jsonl").read_text())]
    for path in ("../secret.jpg", str(layouts / "secret.jpg"), "C:\\2.jpg"):
        lines.append({**lines[0], "file_name": path})
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    builder = open_segmentation_data(root, cache_dir=layouts / "cache")
    builder.download_and_prepare()

    assert builder.as_dataset("train")["image_id"][:] == ["1"] and builder.summary.flaws == {"missing_image": 3}
    assert "C:\\2.jpg, which could be a/2.jpg or b/2.jpg (metadata.jsonl, line 4)" in str(builder.summary)
