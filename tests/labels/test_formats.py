"""What the files say, as the tools read them."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO

from clipseg_hf.console.commands import LabelFormat
from clipseg_hf.data.rows.rows import make_phrase
from clipseg_hf.labels import LABEL_FORMATS, LabelledImage, LabelledObject, labelled_rows, write_labels
from clipseg_hf.processing import encode_rle


def boxed(left, top, right, bottom, size=(20, 30)):
    mask = np.zeros(size, dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


CAT, RING = boxed(2, 3, 9, 17), boxed(10, 2, 28, 18) & ~boxed(14, 6, 20, 10)


@pytest.fixture
def images(tmp_path):
    Image.new("RGB", (30, 20), "grey").save(tmp_path / "x.jpg")
    things = [LabelledObject("a cat", CAT, 0.875), LabelledObject("ring", RING)]
    return [
        LabelledImage("x.jpg", tmp_path / "x.jpg", (20, 30), things),
        LabelledImage("sub/X.JPG", Image.new("RGB", (30, 20)), (20, 30), []),
    ]


@pytest.mark.parametrize("outlines", ["polygons", "rle"])
def test_coco_is_read_by_pycocotools(images, tmp_path, outlines, capsys):
    write_labels(images, tmp_path / "out", outlines=outlines, model="m", license="CC-BY-4.0")

    coco = COCO(tmp_path / "out" / "annotations" / "instances_default.json")

    assert coco.dataset["licenses"] == [{"id": 1, "name": "CC-BY-4.0", "url": ""}]
    info = coco.dataset["info"]
    assert info["description"] == "Masks found by m" and info["year"] == int(info["date_created"][:4])
    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == ["x.jpg", "X-2.png"]
    cat, ring = coco.loadAnns(coco.getAnnIds())
    assert np.array_equal(coco.annToMask(cat), CAT) and np.array_equal(coco.annToMask(ring), RING)
    assert cat["score"] == 0.875 and "score" not in ring and cat["bbox"] == [2, 3, 7, 14] and cat["area"] == 98
    assert [coco.cats[entry["category_id"]]["name"] for entry in (cat, ring)] == ["a cat", "ring"]


def test_yolo_has_a_line_for_each_thing(images, tmp_path):
    write_labels(images, tmp_path / "out", "yolo", labels=["ring", "dog", "a cat"])

    settings = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert settings == {"path": ".", "train": "images", "names": {0: "ring", 1: "dog", 2: "a cat"}}
    cat, ring = (tmp_path / "out" / "labels" / "x.txt").read_text().splitlines()
    assert cat == "2 0.066666667 0.15 0.3 0.15 0.3 0.85 0.066666667 0.85" and ring.startswith("0 ")
    assert (tmp_path / "out" / "labels" / "X-2.txt").read_text() == ""


def test_labelme_says_polygons_and_masks(images, tmp_path):
    for outlines, kinds in (("polygons", ["polygon"] * 2), ("rle", ["mask"] * 2)):
        write_labels(images, tmp_path / outlines, "labelme", outlines=outlines)
        content = json.loads((tmp_path / outlines / "x.json").read_text())
        assert [shape["shape_type"] for shape in content["shapes"]] == kinds
        assert content["imagePath"] == "x.jpg" and (content["imageHeight"], content["imageWidth"]) == (20, 30)
        assert content["shapes"][0]["description"] == "score 0.875"
    assert content["shapes"][0]["points"] == [[2, 3], [8, 16]]  # the first and the last pixel
    two = LabelledImage("y.png", Image.new("RGB", (30, 20)), (20, 30), [LabelledObject("a", CAT | boxed(20, 0, 22, 2))])
    write_labels([two], tmp_path / "groups", "labelme")
    groups = [shape["group_id"] for shape in json.loads((tmp_path / "groups" / "y.json").read_text())["shapes"]]
    assert groups == [0, 0]


def test_label_studio_gets_tasks_and_their_project(images, tmp_path):
    write_labels(images, tmp_path / "out", "label_studio", model="m")

    task, empty = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert task["data"] == {"image": "/data/local-files/?d=images/x.jpg"}
    [prediction] = task["predictions"]
    assert prediction["model_version"] == "m" and prediction["score"] == 0.875
    region = prediction["result"][0]
    config = ElementTree.parse(tmp_path / "out" / "label_config.xml").getroot()
    assert region["from_name"] == config.find("BrushLabels").get("name") and region["to_name"] == "image"
    assert [label.get("value") for label in config.iter("Label")] == ["a cat", "ring"]
    assert len({region["id"] for region in prediction["result"]}) == 2 and empty["predictions"][0]["result"] == []


@pytest.mark.parametrize("outlines", ["rle", "polygons"])
def test_cvat_gets_xml_and_labels(images, tmp_path, outlines):
    write_labels(images, tmp_path / "out", "cvat", outlines=outlines)

    root = ElementTree.parse(tmp_path / "out" / "annotations.xml").getroot()
    first, second = root.iter("image")
    assert first.attrib == {"id": "0", "name": "x.jpg", "width": "30", "height": "20"} and len(second) == 0
    shape = first[0]
    names = [label.findtext("name") for label in root.iterfind("meta/task/labels/label")]
    assert names == ["a cat", "ring"] and root.findtext("meta/task/size") == "2"
    assert shape.tag == {"rle": "mask", "polygons": "polygon"}[outlines] and shape.get("label") == "a cat"
    if outlines == "rle":
        assert (shape.get("rle"), shape.get("left"), shape.get("height")) == ("0, 98", "2", "14")
    else:
        assert shape.get("points") == "2.00,3.00;9.00,3.00;9.00,17.00;2.00,17.00"
    assert [label["name"] for label in json.loads((tmp_path / "out" / "labels.json").read_text())] == ["a cat", "ring"]


def test_of_masks_that_overlap_the_surer_is_seen(tmp_path):
    masks = {"sure": (CAT, 0.9), "all": (CAT | RING, 0.4), "dot": (CAT & boxed(2, 3, 4, 5), 0.9)}
    things = [LabelledObject(label, *found) for label, found in masks.items()]
    write_labels([LabelledImage("x", Image.new("RGB", (30, 20)), (20, 30), things)], tmp_path / "out", "index_masks")

    picture = Image.open(tmp_path / "out" / "masks" / "x.png")
    numbers = np.asarray(picture)
    assert picture.mode == "P" and [int((numbers == n).sum()) for n in (1, 2, 3)] == [94, int(RING.sum()), 4]
    assert (tmp_path / "out" / "classes.txt").read_text() == "background\nsure\nall\ndot\n"


def test_rows_are_written_part_by_part(tmp_path):
    two = encode_rle(CAT | boxed(20, 0, 22, 2))
    row = {"image": Image.new("RGB", (30, 20)), "image_id": "train/1", "height": 20, "width": 30}
    row["phrases"] = [make_phrase("cat", two, phrase_id="1")]
    [image], [whole] = labelled_rows([row]), labelled_rows([row], objects=False)
    assert image.name == "train_1.png" and [int(thing.mask.sum()) for thing in image.objects] == [98, 4]
    assert [int(thing.mask.sum()) for thing in whole.objects] == [102]


def test_what_cannot_be_written_is_said(images, tmp_path):
    assert tuple(LabelFormat) == LABEL_FORMATS
    with pytest.raises(ValueError, match=r"Labels are written as coco, yolo, .*geojson; got 'voc'"):
        write_labels(images, tmp_path / "out", "voc")
    with pytest.raises(ValueError, match=r"yolo has outlines='polygons', got 'rle'\."):
        write_labels(images, tmp_path / "out", "yolo", outlines="rle")
    assert not Path(tmp_path / "out").exists()
    with pytest.raises(FileExistsError, match=r"is not empty; name a new folder, or overwrite what is in it\."):
        write_labels(images, tmp_path)
    wrong = LabelledImage("x.png", Image.new("RGB", (30, 20)), (20, 30), [LabelledObject("cat", CAT.T)])
    with pytest.raises(ValueError, match=r"The mask of 'cat' in x\.png has 30 x 20 pixels .*its image 20 x 30\."):
        write_labels([*images, wrong], tmp_path / "out")
    assert not (tmp_path / "out").exists()  # nor what was written before
