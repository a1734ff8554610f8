"""FiftyOne's export: instance masks in their boxes, polylines, and what can be wrong."""

import base64
import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image

from clipseg_hf.data.sources.annotation_tools.fiftyone import FiftyOneFiles, unpack_mask


def packed(array, **options):
    data = io.BytesIO()
    np.save(data, array, **options)
    return {"$binary": {"base64": base64.b64encode(zlib.compress(data.getvalue())).decode(), "subType": "00"}}


def detection(label, box, **others):
    left, top, right, bottom = box
    box = [left / 30, top / 20, (right - left) / 30, (bottom - top) / 20]
    return {"_cls": "Detection", "label": label, "bounding_box": box, **others}


def write(root, make, *samples):
    for number, sample in enumerate(samples):
        make.save_image(root / "data" / f"{number}.jpg")
        sample.setdefault("filepath", f"data/{number}.jpg")
    make.save_json(root / "samples.json", {"samples": list(samples)})
    return root


def detections(*found):
    return {"_cls": "Detections", "detections": list(found)}


def test_masks_are_put_into_their_boxes(tmp_path, make, read, masks_of):
    triangle = np.tri(6, dtype=bool)
    (tmp_path / "fields" / "masks").mkdir(parents=True)
    Image.fromarray(triangle).save(tmp_path / "fields" / "masks" / "a.png")
    found = detections(
        detection("cat", (3, 2, 9, 8), mask=packed(triangle)),
        detection("dog", (3, 2, 9, 8), mask_path="fields/masks/a.png"),
        detection("large", (10, 2, 22, 14), mask=packed(triangle)["$binary"]["base64"]),
        detection("beyond", (27, 17, 33, 23), mask=packed(np.ones((6, 6), np.uint8))),
    )
    write(tmp_path, make, {"id": "x", "tags": ["mine", "validation"], "ground_truth": found})

    [row], summary = read(FiftyOneFiles, tmp_path, "val")

    masks, expected = masks_of(row), make.blank()
    expected[2:8, 3:9] = triangle
    assert np.array_equal(masks["cat"], expected) and np.array_equal(masks["dog"], expected)
    assert masks["large"].sum() == 4 * triangle.sum() and masks["beyond"].sum() == 9 and not summary.flaws


def test_what_fiftyone_itself_wrote():
    """FiftyOne 1.22.1 of `fo.Detection(mask=np.tri(6, dtype=bool))`."""
    text = (
        "eJyb7BfqGxDJyFDGUK2eklqcXKRupaBek2SorqOgnpZfVFKUmBefX5SSChJ3S8wpTgWKF2ckFqQC+RpmOgpmmjoKtQpkAy5GBhBgZISQ"
        "jBCSEUIyQkhGAFWzG8E="
    )
    assert np.array_equal(unpack_mask({"$binary": {"base64": text, "subType": "00"}}), np.tri(6, dtype=bool))


def test_a_field_is_chosen(tmp_path, make, read):
    labelled = {
        "a": {"_cls": "Classification", "label": "x"},
        "b": None,
        "c": detections(detection("box", (0, 0, 9, 9))),
    }
    line = {"_cls": "Polyline", "label": "line", "points": [[[0, 0], [0.5, 0], [0.5, 0.5]]], "closed": True}
    write(tmp_path, make, labelled, {"d": {"_cls": "Polylines", "polylines": [line, {**line, "closed": False}]}})

    rows, summary = read(FiftyOneFiles, tmp_path)
    assert [len(row["phrases"]) for row in rows] == [0] and summary.examples == {
        "no_outline": ["label 0 of data/0.jpg"],
        "no_annotation": ["data/1.jpg"],
    }
    rows, summary = read(FiftyOneFiles, tmp_path, field="d")
    assert [[entry["phrase"] for entry in row["phrases"]] for row in rows] == [["line"]]
    assert summary.examples["no_outline"] == ["label 1 of data/1.jpg"]
    with pytest.raises(
        ValueError, match=r"'a' holds no Detections or Polylines\. Fields with some: c, d; all: a, b, c"
    ):
        FiftyOneFiles(tmp_path, field="a", unpack_dir=tmp_path)


def test_objects_are_not_unpickled_and_flaws_are_named(tmp_path, make, read):
    found = detections(
        detection("a", (0, 0, 9, 9), mask=packed(np.array([{}]), allow_pickle=True)),
        detection("a", (0, 0, 9, 9), mask="AAAA"),
        detection("a", (0, 0, 9, 9), mask=7),
        detection("a", (0, 0, 9, 9), mask=packed(np.ones(3))),
        {"mask": packed(np.ones((2, 2))), "bounding_box": [0, 0, 1, 1]},
        detection("b", (0, 0, 9, 9), mask_path="nowhere.png"),
    )
    write(tmp_path, make, {"filepath": "/home/me/0.jpg", "x": found}, {"filepath": "data/9.jpg"})
    (tmp_path / "data" / "1.jpg").unlink()

    _, summary = read(FiftyOneFiles, tmp_path)

    malformed = summary.examples["malformed_entry"]
    assert malformed[0] == "label 0 of data/0.jpg (Object arrays cannot be loaded when allow_pickle=False)"
    assert malformed[1].startswith("label 1 of data/0.jpg (a mask that cannot be unpacked: ")
    assert malformed[2:5] == [
        "label 2 of data/0.jpg (a mask is text in base64, found 7)",
        "label 3 of data/0.jpg (a mask has two axes, found shape (3,))",
        "label 4 of data/0.jpg (no 'label')",
    ]
    assert summary.flaws["missing_mask"] == 1 and summary.examples["missing_image"] == ["data/9.jpg (samples.json)"]
    assert unpack_mask(packed(np.eye(2))).tolist() == [[True, False], [False, True]]


def test_what_is_no_export_is_said(tmp_path, make):
    with pytest.raises(FileNotFoundError, match=r"There is no samples\.json in .*Expected samples\.json of FiftyOne's"):
        FiftyOneFiles(tmp_path, unpack_dir=tmp_path)
    write(tmp_path, make, {"a": 1})
    with pytest.raises(
        ValueError, match=r"No field holds Detections or Polylines\. Fields with some: none; all: a, fil"
    ):
        FiftyOneFiles(tmp_path, unpack_dir=tmp_path)
    (tmp_path / "samples.json").write_text(json.dumps({"samples": [3]}))
    with pytest.raises(ValueError, match=r"byte 13: expected a sample with a filepath, found 3\."):
        FiftyOneFiles(tmp_path, unpack_dir=tmp_path)
