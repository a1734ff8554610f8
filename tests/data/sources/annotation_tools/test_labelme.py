"""LabelMe's shapes, drawn as LabelMe draws them, and what can be wrong with its files."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from clipseg_hf.data.sources.annotation_tools.labelme import LabelMeFiles


def coded(picture, form="PNG"):
    data = io.BytesIO()
    picture.save(data, form)
    return base64.b64encode(data.getvalue()).decode()


def annotate(path, shapes, **others):
    content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": path.with_suffix(".jpg").name}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | {"imageData": None, "imageHeight": 20, "imageWidth": 30} | others))


def test_every_shape_has_its_area(tmp_path, make, read, masks_of):
    make.save_image(tmp_path / "a.jpg")
    shapes = [
        {"label": "polygon", "shape_type": "polygon", "points": [[0, 0], [4.5, 0], [4.5, 3], [0, 3]]},
        {"label": "old", "points": [[0, 0], [6, 0], [6, 3], [0, 3]]},
        {"label": "rectangle", "shape_type": "rectangle", "points": [[20, 12], [10, 2]]},
        {"label": "corners", "shape_type": "rectangle", "points": [[1, 2], [9, 2], [9, 5], [1, 5]]},
        {"label": "circle", "shape_type": "circle", "points": [[10, 10], [10, 14]]},
        {"label": "mask", "shape_type": "mask", "points": [[25, 15], [29, 19]]},
        {"label": "point", "shape_type": "point", "points": [[1, 1]]},
    ]
    triangle = np.tri(5, dtype=bool)
    shapes[5]["mask"] = coded(Image.fromarray(triangle))
    annotate(tmp_path / "a.json", shapes)

    [row], summary = read(LabelMeFiles, tmp_path)

    masks = masks_of(row)
    assert {name: int(mask.sum()) for name, mask in masks.items() if name != "circle"} == {
        "polygon": 15,  # the corner of COCO's rule: half a pixel belongs to it
        "old": 18,
        "rectangle": 100,
        "corners": 24,
        "mask": 15,
    }
    assert np.array_equal(masks["mask"][15:, 25:], triangle) and np.array_equal(
        masks["rectangle"], make.boxed(10, 2, 20, 12)
    )
    rows, columns = np.nonzero(masks["circle"])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (6, 14, 6, 14)
    assert summary.examples == {"no_outline": ["shape 6 of a.jpg (point)"]}


def test_groups_are_united_and_what_is_ignored_does_not_count(tmp_path, make, read, masks_of):
    make.save_image(tmp_path / "train" / "a.jpg")
    left, right = [[0, 0], [5, 5]], [[20, 10], [30, 20]]
    shapes = [{"label": "red_box", "shape_type": "rectangle", "points": points} for points in (left, right)]
    shapes += [{"label": "__ignore__", "shape_type": "rectangle", "points": [[8, 8], [9, 9]]}]
    annotate(tmp_path / "train" / "a.json", shapes)

    [row], _ = read(LabelMeFiles, tmp_path)

    assert list(masks_of(row)) == ["red box"] and masks_of(row)["red box"].sum() == 125
    [entry] = row["phrases"]
    assert entry["boxes"] == [[0, 0, 5, 5], [20, 10, 10, 10]] and entry["ignore"] is not None
    assert row["image_id"] == "train/a"


def test_images_lie_elsewhere_or_in_the_json(tmp_path, make, read):
    shapes = [{"label": "box", "shape_type": "rectangle", "points": [[0, 0], [5, 5]]}]
    make.save_image(tmp_path / "pictures" / "a.jpg")
    annotate(tmp_path / "json" / "a.json", shapes, imagePath="..\\pictures\\a.jpg")
    annotate(tmp_path / "json" / "b.json", shapes, imageData=coded(Image.new("RGB", (30, 20)), "JPEG"))

    rows, summary = read(LabelMeFiles, tmp_path / "json", images="../pictures")

    assert [row["image_id"] for row in rows] == ["a", "b"] and rows[1]["image"]["bytes"][:2] == b"\xff\xd8"
    assert summary.examples == {"foreign_path": ["..\\pictures\\a.jpg, taken for a.jpg (a.json)"]}


def test_every_flaw_is_named(tmp_path, make, read):
    for name in "abc":
        make.save_image(tmp_path / f"{name}.jpg")
    shapes = [
        {"label": "a", "shape_type": "polygon", "points": [[0, 0], [1, 1]]},
        {"label": "a", "shape_type": "star", "points": []},
        {"label": "a", "shape_type": "circle", "points": [[0, 0]]},
        {"label": "a", "shape_type": "mask", "points": [[0, 0], [4, 4]], "mask": "AAAA"},
        {"shape_type": "rectangle", "points": [[0, 0], [4, 4]]},
        {"label": " ", "shape_type": "rectangle", "points": [[0, 0], [4, 4]]},
        {"label": "far", "shape_type": "rectangle", "points": [[90, 90], [94, 94]]},
        7,
    ]
    annotate(tmp_path / "a.json", shapes)
    annotate(tmp_path / "d.json", shapes[:1])
    annotate(tmp_path / "c.json", [], imageHeight=21)
    (tmp_path / "e.json").write_text('{"shapes": [')
    (tmp_path / "f.json").write_text('{"shapes": 3}')

    rows, summary = read(LabelMeFiles, tmp_path)

    assert [row["phrases"] for row in rows] == [[]]
    assert summary.examples == {
        "no_annotation": ["b.jpg"],
        "short_polygon": ["shape 0 of a.jpg"],
        "malformed_entry": [
            "shape 1 of a.jpg (shape_type 'star'; known are polygon, rectangle, circle and mask)",
            "shape 2 of a.jpg (a circle has 2 points, found 1)",
            *summary.examples["malformed_entry"][2:3],  # Pillow's words
            "shape 4 of a.jpg (no 'label')",
            "shape 7 of a.jpg ('int' object is not subscriptable)",
        ],
        "empty_phrase": ["a.jpg"],
        "empty_mask": ["'far' in a.jpg"],
        "image_size_differs": ["c.jpg (30 x 20, annotated 30 x 21)"],
        "missing_image": ["d.jpg (d.json)"],
        "unreadable_annotation": ["e.json (e.json is not valid JSON, column 13: Expecting value.)"],
    }
    assert summary.flaws["malformed_entry"] == 6  # f.json besides
    with pytest.raises(FileNotFoundError, match=r"There is no JSON file in .*Expected <name>\.json beside <name>\.jpg"):
        (tmp_path / "empty").mkdir()
        LabelMeFiles(tmp_path / "empty", unpack_dir=tmp_path)
