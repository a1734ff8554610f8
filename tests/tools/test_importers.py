"""What we write, read by the tools that it is for."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from clipseg_hf.labels import LabelledImage, LabelledObject, write_labels


def boxed(left, top, right, bottom, size=(40, 60)):
    mask = np.zeros(size, dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


MASKS = {"a cat": boxed(4, 6, 18, 34), "ring": boxed(20, 4, 56, 36) & ~boxed(28, 12, 40, 20)}
OUTLINES = pytest.mark.parametrize("outlines", ["rle", "polygons"])


@pytest.fixture
def write(tmp_path):
    """Write the masks in a format; gives the folder."""
    Image.new("RGB", (60, 40), "grey").save(tmp_path / "x.jpg")
    things = [LabelledObject(label, mask, 0.875) for label, mask in MASKS.items()]

    def write(format, outlines=None):
        write_labels(
            [LabelledImage("x.jpg", tmp_path / "x.jpg", (40, 60), things)], tmp_path / "out", format, outlines=outlines
        )
        return tmp_path / "out"

    return write


def same(found: np.ndarray, mask: np.ndarray, outlines: str) -> bool:
    """Run lengths to the pixel; polygons but for the border, which tools draw, too."""
    if outlines == "rle":
        return np.array_equal(found, mask)
    return bool((found <= ndimage.binary_dilation(mask, np.ones((3, 3)))).all() and (mask <= found).all())


@OUTLINES
def test_label_studios_sdk(write, outlines):
    interface_module = pytest.importorskip("label_studio_sdk.label_interface")
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    folder = write("label_studio", outlines)
    interface = interface_module.LabelInterface((folder / "label_config.xml").read_text())
    [task] = json.loads((folder / "tasks.json").read_text())
    interface.validate_task({"data": task["data"]})
    [prediction] = task["predictions"]
    assert interface.validate_prediction(prediction) is True
    for region, mask in zip(prediction["result"], MASKS.values(), strict=True):
        if outlines == "rle":
            pixels = brush.decode_rle(region["value"]["rle"]).reshape(*mask.shape, 4)
            assert np.array_equal(pixels[..., 3] > 127, mask)


@OUTLINES
def test_labelme(write, outlines):
    pytest.importorskip("labelme")
    from labelme._label_file import LabelFile
    from labelme.utils import shape_to_mask

    file = LabelFile(str(write("labelme", outlines) / "x.json"))
    assert file.image_path == "x.jpg" and file.image_data
    for shape, (label, mask) in zip(file.shapes, MASKS.items(), strict=True):
        assert shape["label"] == label
        if outlines == "rle":
            (left, top), (right, bottom) = np.array(shape["points"], dtype=int)
            found = np.zeros_like(mask)
            found[top : bottom + 1, left : right + 1] = shape["mask"]
        else:
            found = shape_to_mask(mask.shape, shape["points"], shape["shape_type"])
        assert same(found, mask, outlines)


@OUTLINES
@pytest.mark.parametrize(("format", "called"), [("coco", "coco_instances"), ("cvat", "cvat")])
def test_datumaro(write, format, called, outlines):
    datumaro = pytest.importorskip("datumaro")
    dataset = datumaro.Dataset.import_from(str(write(format, outlines)), called)
    [item] = dataset
    names = [category.name for category in dataset.categories()[datumaro.AnnotationType.label]]
    assert names == list(MASKS) and item.media.size == (40, 60)
    found = {}
    for thing in item.annotations:
        if isinstance(thing, datumaro.Mask):
            found[names[thing.label]] = np.asarray(thing.image, dtype=bool)
        elif isinstance(thing, datumaro.Polygon):
            found[names[thing.label]] = datumaro.util.mask_tools.rles_to_mask([thing.points], 60, 40).astype(bool)
    assert all(same(found[label], mask, outlines) for label, mask in MASKS.items())


def test_cvats_sdk(write):
    masks = pytest.importorskip("cvat_sdk.masks")
    shapes = ElementTree.parse(write("cvat", "rle") / "annotations.xml").iter("mask")
    for shape, (label, mask) in zip(shapes, MASKS.items(), strict=True):
        left, top, width, height = (int(shape.get(name)) for name in ("left", "top", "width", "height"))
        numbers = [*map(int, shape.get("rle").split(",")), left, top, left + width - 1, top + height - 1]
        assert np.array_equal(masks.decode_mask(numbers, image_width=60, image_height=40), mask)
        assert masks.encode_mask(mask) == numbers and shape.get("label") == label


@OUTLINES
def test_faster_coco_eval(write, outlines):
    faster = pytest.importorskip("faster_coco_eval")
    file = str(write("coco", outlines) / "annotations" / "instances_default.json")
    coco = faster.COCO(file)
    things = coco.loadAnns(coco.getAnnIds())
    for thing, (label, mask) in zip(things, MASKS.items(), strict=True):
        assert np.array_equal(coco.annToMask(thing), mask) and coco.cats[thing["category_id"]]["name"] == label
    evaluation = faster.COCOeval_faster(coco, coco.loadRes(things), "segm")
    evaluation.run()
    assert evaluation.stats_as_dict["AP_all"] == pytest.approx(1)


@pytest.mark.parametrize("format", ["coco", "yolo", "cvat"])
def test_fiftyone_reads(fiftyone, write, format):
    folder = write(format, "polygons")
    types, labels = fiftyone.types, "ground_truth"
    options = {
        "coco": {
            "dataset_type": types.COCODetectionDataset,
            "data_path": str(folder / "images"),
            "labels_path": str(folder / "annotations" / "instances_default.json"),
            "label_types": "segmentations",
        },
        "yolo": {
            "dataset_type": types.YOLOv5Dataset,
            "dataset_dir": str(folder),
            "yaml_path": str(folder / "data.yaml"),
            "split": "train",
            "label_type": "polylines",
        },
        "cvat": {
            "dataset_type": types.CVATImageDataset,
            "data_path": str(folder / "images"),
            "labels_path": str(folder / "annotations.xml"),
        },
    }[format]
    dataset = fiftyone.Dataset.from_dir(**options, label_field=labels)
    try:
        [sample] = dataset
        fields = [name for name in sample.field_names if name.startswith(labels) and sample[name] is not None]
        things = [
            thing for name in fields for thing in (getattr(sample[name], "detections", None) or sample[name].polylines)
        ]
        found = {thing.label: thing.to_segmentation(frame_size=(60, 40), target=1).mask > 0 for thing in things}
        assert all(same(found[label], mask, "polygons") for label, mask in MASKS.items())
    finally:
        dataset.delete()
