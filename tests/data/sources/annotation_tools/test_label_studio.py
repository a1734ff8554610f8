"""Label Studio's export: brush strokes and polygons, several annotators, addresses of images, and what can be wrong."""

import json

import numpy as np
import pytest

from clipseg_hf.data.sources.annotation_tools.label_studio import LabelStudioFiles, path_in
from clipseg_hf.data.sources.loading import recognise
from clipseg_hf.processing.masks.brush_rle import encode_brush

SQUARE = [[0, 0], [50, 0], [50, 50], [0, 50]]


def region(labels=("box",), kind="polygonlabels", **value):
    value = value or {"points": SQUARE}
    named = {kind: list(labels)} if labels else {}
    return {"id": "r", "type": kind, "original_width": 30, "original_height": 20, "value": {**value, **named}}


def task(*annotations, image="1.jpg", number=1, **others):
    return {"id": number, "data": {"image": image}, "annotations": list(annotations), **others}


def write(root, *tasks):
    root.mkdir(exist_ok=True, parents=True)
    (root / "export.json").write_text(json.dumps(tasks))
    return root


def test_brushes_and_polygons_are_read(tmp_path, make, read, masks_of):
    make.save_image(tmp_path / "1.jpg")
    stroke = make.boxed(3, 2, 9, 17) > 0
    brush = region(["cat", "pet"], "brushlabels", format="rle", rle=encode_brush(stroke))
    pair = [{**region([]), "id": "p", "type": "polygon"}, {**region(["field"], "labels", points=SQUARE), "id": "p"}]
    write(tmp_path, task({"result": [brush, *pair, {"type": "choices", "value": {"choices": ["good"]}}]}))

    [row], summary = read(LabelStudioFiles, tmp_path)

    masks = masks_of(row)
    assert list(masks) == ["cat", "pet", "field"] and np.array_equal(masks["cat"], stroke)
    assert np.array_equal(masks["field"], make.boxed(0, 0, 15, 10)) and not summary.flaws
    assert recognise(tmp_path) == "label_studio" == recognise(tmp_path / "export.json")


def test_of_several_annotations_one_counts(tmp_path, make, read):
    make.save_image(tmp_path / "1.jpg")
    old, new = ({"result": [region([name])], "updated_at": f"2026-01-0{day}"} for name, day in (("old", 1), ("new", 2)))
    cancelled = {"result": [region(["no"])], "updated_at": "2026-01-09", "was_cancelled": True}

    def phrases(*annotations, **options):
        rows, _ = read(LabelStudioFiles, write(tmp_path, task(*annotations, predictions=[old])), **options)
        return [entry["phrase"] for row in rows for entry in row["phrases"]]

    assert phrases(old, cancelled, new) == ["new"]
    assert phrases({**old, "ground_truth": True}, new) == ["old"]
    assert phrases(cancelled) == [] and phrases(cancelled, predictions=True) == ["old"]


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("/data/upload/3/0a1b2c3d-a%20b.jpg", "data/upload/3/0a1b2c3d-a%20b.jpg"),
        ("/data/local-files/?d=photos/a.jpg", "photos/a.jpg"),
        ("s3://bucket/photos/a.jpg", "photos/a.jpg"),
        ("https://host.org/a%20b.png?size=3", "a b.png"),
        ("photos/a.jpg", "photos/a.jpg"),
        ("a sentence", ""),
    ],
)
def test_addresses_are_paths(address, path):
    assert path_in(address) == path


def test_uploads_bear_eight_digits_more(tmp_path, make, read):
    for name in ("1.jpg", "0a1b2c3d-2.jpg"):
        make.save_image(tmp_path / "pictures" / name)
    annotation = {"result": [region()]}
    tasks = [task(annotation, image=f"/data/upload/3/0a1b2c3d-{number}.jpg", number=number) for number in (1, 2)]

    rows, summary = read(LabelStudioFiles, write(tmp_path / "json", *tasks), images=tmp_path / "pictures")

    assert [row["image"]["path"].rsplit("/")[-1] for row in rows] == ["1.jpg", "0a1b2c3d-2.jpg"] and not summary.flaws


def test_every_flaw_is_named(tmp_path, make, read):
    for number in (1, 2, 3):
        make.save_image(tmp_path / f"{number}.jpg")
    brush = encode_brush(make.boxed(3, 2, 9, 17) > 0)
    regions = [
        {**region([]), "id": "q"},
        region(kind="rectanglelabels", x=1, y=1, width=5, height=5),
        region(kind="brushlabels", rle=brush[:-9]),
        region(kind="brushlabels", rle=encode_brush(np.zeros((5, 5), dtype=bool))),
        region(kind="brushlabels", rle=[0, 0, 9, 96, 255]),
        region(kind="brushlabels", rle="no"),
        region(points=[[0, 0], [1, 1]]),
    ]
    tasks = [task({"result": regions}), task(number=2, image="2.jpg"), task({"result": [region()]}, image="9.jpg"), 5]

    rows, summary = read(LabelStudioFiles, write(tmp_path, *tasks, {"data": {"text": "hm"}}))

    assert [row["phrases"] for row in rows] == [[]]
    reasons = [
        "A brush's code ends after 1812 of 2400 bytes: is it cut off?",
        "A brush's code of 100 bytes does not belong to 30 x 20 pixels of 4.",
        "A brush's code has words of 8 bits, found 32.",
        "A brush's code is a list of bytes, found no.",
    ]
    reasons = [f"region r of 1.jpg ({reason})" for reason in reasons]
    found = summary.examples.pop("malformed_entry")
    assert found[0].endswith("(no `data`)") and found[1].endswith("(its data names no image)")
    assert found[2:] == reasons[:3] and summary.flaws["malformed_entry"] == 6
    assert summary.examples == {
        "missing_image": ["9.jpg (task 1)"],
        "no_annotation": ["3.jpg", "2.jpg (task 2)"],
        "empty_phrase": ["region q of 1.jpg"],
        "no_outline": ["region r of 1.jpg"],
        "short_polygon": ["region r of 1.jpg"],
    }
    with pytest.raises(FileNotFoundError, match=r"no JSON export of Label Studio in .*\(not JSON-MIN\)"):
        LabelStudioFiles(make.save_json(tmp_path / "coco" / "1.json", {}) or tmp_path / "coco", unpack_dir=tmp_path)
