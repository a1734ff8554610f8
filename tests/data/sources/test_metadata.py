import json

import pytest
from PIL import Image

from clipseg_hf.data.rows.flaws import FlawError
from clipseg_hf.data.sources import load_segmentation_dataset

LINES = [
    {"file_name": "1.jpg", "phrase": "red box", "mask_file_name": "masks/1_0.png"},
    {"file_name": "2.jpg", "phrase": "red box", "mask_file_name": "masks/2_0.png"},
    {"file_name": "1.jpg", "phrase": "tall  tree", "mask_file_name": "masks/1_1.png"},
]


def write_lines(folder, lines):
    (folder / "metadata.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n")


@pytest.fixture
def root(tmp_path, make):
    root = tmp_path / "mine"
    for number in (1, 2):
        make.save_image(root / f"{number}.jpg")
        make.save_mask(root / "masks" / f"{number}_0.png", make.boxed(0, 0, 9, 9))
    make.save_mask(root / "masks" / "1_1.png", make.boxed(10, 0, 20, 20, value=255))
    write_lines(root, LINES)
    return root


def test_lines_of_one_image_are_one_row(root, load, masks_of):
    rows, _ = load(root, strict=True)

    assert rows["image_id"][:] == ["1", "2"]
    assert {phrase: mask.sum() for phrase, mask in masks_of(rows[0]).items()} == {"red box": 81, "tall tree": 200}


def test_splits_are_folders(root, tmp_path, load):
    root.rename(tmp_path / "train")
    (tmp_path / "data").mkdir()
    (tmp_path / "train").rename(tmp_path / "data" / "validation")

    assert load(tmp_path / "data", "val", strict=True)[0]["image_id"][:] == ["validation/1", "validation/2"]


def test_a_table_with_commas_and_other_names_will_do(root, load):
    (root / "metadata.jsonl").unlink()
    (root / "metadata.csv").write_text('image,text,mask\n1.jpg,"red box, open",masks/1_0.png\n')

    rows, _ = load(root, file_field="image", phrase_field="text", mask_field="mask", strict=True)

    assert rows[0]["phrases"][0]["phrase"] == "red box, open"


def change_line(**changes):
    return lambda root: write_lines(root, [{**LINES[0], **changes}, *LINES[1:]])


FLAWED = [
    ("missing_image", change_line(file_name="9.jpg"), r"9\.jpg \(metadata\.jsonl, line 1\)"),
    ("unreadable_image", lambda root: (root / "1.jpg").write_bytes(b"x"), r"1\.jpg"),
    ("missing_mask", change_line(mask_file_name="masks/9.png"), r"masks/9\.png \(metadata\.jsonl, line 1\)"),
    (
        "unreadable_mask",
        lambda root: (root / "masks" / "1_0.png").write_bytes(b"x"),
        r"masks/1_0\.png \(.*, line 1\)",
    ),
    ("empty_phrase", change_line(phrase=""), r"metadata\.jsonl, line 1"),
    (
        "malformed_entry",
        lambda root: write_lines(root, [{"file_name": "1.jpg", "caption": "box"}, *LINES[1:]]),
        r"metadata\.jsonl, line 1 \(no text phrase, mask_file_name; found file_name, caption\)",
    ),
    (
        "mask_size_differs",
        lambda root: Image.new("L", (9, 9), 255).save(root / "masks" / "1_0.png"),
        r"masks/1_0\.png \(metadata\.jsonl, line 1\) \(9 x 9, 1\.jpg 30 x 20\)",
    ),
]


@pytest.mark.parametrize(("flaw", "cause", "where"), FLAWED)
def test_each_flaw_is_counted_and_named_and_strict_stops_at_it(root, load, tmp_path, flaw, cause, where):
    cause(root)

    rows, summary = load(root)

    assert summary.flaws == {flaw: 1} and "2" in rows["image_id"]
    with pytest.raises(FlawError, match=f"{where}: .* \\({flaw}\\)"):
        load_segmentation_dataset(root, strict=True, cache_dir=tmp_path / "strict")


def test_images_of_which_no_line_speaks_are_counted_also_where_it_is_strict(root, load, make):
    make.save_image(root / "3.jpg")
    make.save_image(root / "thumbnails" / "1.jpg")  # not where images are
    make.save_mask(root / "masks" / "9_0.png", make.boxed(0, 0, 9, 9))

    rows, summary = load(root, strict=True)

    assert rows["image_id"][:] == ["1", "2"] and summary.examples == {"no_annotation": ["3.jpg"]}


def test_masks_beside_their_images_are_no_images(root, load):
    for name in ("1_0", "1_1", "2_0"):
        (root / "masks" / f"{name}.png").rename(root / f"{name}.png")
    for name in ("1", "2"):
        Image.open(root / f"{name}.jpg").save(root / f"{name}.png")
    lines = [
        {key: value.replace(".jpg", ".png").replace("masks/", "") for key, value in line.items()} for line in LINES
    ]
    write_lines(root, lines)

    rows, summary = load(root, strict=True)

    assert len(rows) == 2 and not summary.flaws


def test_broken_lines_are_named(root, load):
    (root / "metadata.jsonl").write_text('{"file_name": "1.jpg"\n')
    with pytest.raises(ValueError, match=r"metadata\.jsonl, line 1 is not valid JSON, column \d+: Expecting"):
        load(root)
    (root / "metadata.jsonl").write_text("\n[1]\n")
    with pytest.raises(ValueError, match=r"metadata\.jsonl, line 2: expected an object, found \[1\]"):
        load(root)


def test_a_folder_without_metadata_says_what_it_holds(root, load):
    (root / "metadata.jsonl").unlink()

    with pytest.raises(FileNotFoundError, match=r"There is no metadata\.jsonl or metadata\.csv in .*Found: 1\.jpg,"):
        load(root, kind="imagefolder")
