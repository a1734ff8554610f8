"""Small data sets in the layouts that users have, made by the tests."""

import json

import numpy as np
import pytest
from PIL import Image

from clipseg_hf.data.rows.flaws import BuildSummary


def save_image(path, height=20, width=30, value=128):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(path)


def save_mask(path, mask, palette=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.asarray(mask, dtype=np.uint8))
    if palette:
        picture.putpalette([200, 10, 10] * 256)  # what the colours are must not matter
    picture.save(path)


def save_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def blank(height=20, width=30):
    return np.zeros((height, width), dtype=np.uint8)


def boxed(left, top, right, bottom, value=1, height=20, width=30):
    """A mask whose pixels left ... right - 1, top ... bottom - 1 have a value."""
    mask = blank(height, width)
    mask[top:bottom, left:right] = value
    return mask


@pytest.fixture
def make():
    """The helpers above, for tests in this folder."""
    return type("Make", (), {f.__name__: staticmethod(f) for f in (save_image, save_mask, save_json, blank, boxed)})


@pytest.fixture
def load(tmp_path):
    """Load a data set with its cache in the test's own folder; gives the rows of a split and the summary."""
    from clipseg_hf.data.sources import open_segmentation_data

    def load(path, split="train", **options):
        builder = open_segmentation_data(path, cache_dir=tmp_path / "cache", **options)
        builder.download_and_prepare()
        return builder.as_dataset(split), builder.summary

    return load


@pytest.fixture
def read(tmp_path):
    """The rows of a split as a source makes them, and what it notes."""

    def read(reader, path, split="train", **options):
        source, summary = reader(path, unpack_dir=tmp_path / "unpacked", **options), BuildSummary()
        shards = source.shards(split, summary)
        return [row for shard in shards for row in source.rows(split, shard, summary)], summary

    return read


@pytest.fixture
def masks_of():
    """The phrases of a row with the masks as arrays."""
    from clipseg_hf.processing.masks.rle import decode_rle

    return lambda row: {entry["phrase"]: decode_rle(entry["mask"]) for entry in row["phrases"]}


@pytest.fixture
def layouts(tmp_path, make):
    """One small data set of each kind, by kind."""
    square = [0, 0, 5, 0, 5, 5, 0, 5]
    coco = {
        "images": [{"id": 1, "file_name": "1.jpg", "height": 20, "width": 30}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [square]}],
        "categories": [{"id": 1, "name": "box"}],
    }
    make.save_image(tmp_path / "coco" / "images" / "1.jpg")
    make.save_json(tmp_path / "coco" / "result.json", coco)

    make.save_image(tmp_path / "voc" / "VOCdevkit" / "VOC2012" / "JPEGImages" / "1.jpg")
    make.save_mask(tmp_path / "voc" / "VOCdevkit" / "VOC2012" / "SegmentationClass" / "1.png", make.boxed(0, 0, 5, 5))
    (tmp_path / "voc" / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "voc" / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation" / "train.txt").write_text("1")

    make.save_image(tmp_path / "imagefolder" / "1.jpg")
    make.save_mask(tmp_path / "imagefolder" / "1_mask.png", make.boxed(0, 0, 5, 5))
    line = {"file_name": "1.jpg", "phrase": "box", "mask_file_name": "1_mask.png"}
    (tmp_path / "imagefolder" / "metadata.jsonl").write_text(json.dumps(line))

    make.save_image(tmp_path / "index_masks" / "images" / "1.jpg")
    make.save_mask(tmp_path / "index_masks" / "masks" / "1.png", make.boxed(0, 0, 5, 5))
    (tmp_path / "index_masks" / "classes.txt").write_text("background\nbox\n")

    make.save_image(tmp_path / "binary_masks" / "images" / "1.jpg")
    make.save_mask(tmp_path / "binary_masks" / "masks" / "box" / "1.png", make.boxed(0, 0, 5, 5))

    make.save_image(tmp_path / "phrasecut" / "images" / "1.jpg")
    make.save_json(tmp_path / "phrasecut" / "image_data_split.json", [{"image_id": 1, "height": 20, "width": 30}])
    task = {
        "task_id": "1__1",
        "image_id": 1,
        "phrase": "box",
        "instance_boxes": [[0, 0, 5, 5]],
        "Polygons": [[np.reshape(square, (4, 2)).tolist()]],
        "phrase_structure": {"name": "box", "attributes": [], "relation_descriptions": []},
    }
    make.save_json(tmp_path / "phrasecut" / "refer_train.json", [task])

    make.save_image(tmp_path / "yolo" / "images" / "train" / "1.jpg")
    (tmp_path / "yolo" / "labels" / "train").mkdir(parents=True)
    (tmp_path / "yolo" / "labels" / "train" / "1.txt").write_text(f"1 0 0 {5 / 30} 0 {5 / 30} .25 0 .25\n")
    (tmp_path / "yolo" / "data.yaml").write_text("path: ../datasets/x\ntrain: images/train\nnames: [cat, box]\n")

    make.save_image(tmp_path / "labelme" / "1.jpg")
    shape = {"label": "box", "shape_type": "rectangle", "points": [[5, 5], [0, 0]], "group_id": None, "flags": {}}
    labelme = {"version": "5.5.0", "flags": {}, "shapes": [shape], "imagePath": "1.jpg", "imageData": None}
    make.save_json(tmp_path / "labelme" / "1.json", {**labelme, "imageHeight": 20, "imageWidth": 30})

    make.save_image(tmp_path / "label_studio" / "images" / "1.jpg")
    value = {"points": [[0, 0], [500 / 30, 0], [500 / 30, 25], [0, 25]], "polygonlabels": ["box"]}
    region = {"id": "r", "type": "polygonlabels", "original_width": 30, "original_height": 20, "value": value}
    task = {"id": 7, "data": {"image": "/data/upload/3/0a1b2c3d-1.jpg"}, "annotations": [{"result": [region]}]}
    make.save_json(tmp_path / "label_studio" / "project-3.json", [task])

    make.save_image(tmp_path / "cvat_masks" / "JPEGImages" / "1.jpg")
    mask = np.zeros((20, 30, 3), dtype=np.uint8)
    mask[:5, :5] = 250, 50, 83
    (tmp_path / "cvat_masks" / "SegmentationClass").mkdir()
    Image.fromarray(mask).save(tmp_path / "cvat_masks" / "SegmentationClass" / "1.png")
    colors = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nbox:250,50,83::\n"
    (tmp_path / "cvat_masks" / "labelmap.txt").write_text(colors)

    make.save_image(tmp_path / "refcoco" / "images" / "1.jpg")
    make.save_json(tmp_path / "refcoco" / "instances.json", coco)
    reference = {"ref_id": 5, "ann_id": 1, "image_id": 1, "category_id": 1, "split": "train", "file_name": "1.jpg"}
    make.save_json(tmp_path / "refcoco" / "refs(unc).json", [{**reference, "sentences": [{"sent": "box"}]}])

    make.save_image(tmp_path / "reasonseg" / "train" / "1.jpg")
    shape = {"label": "target", "labels": ["target"], "points": [[0, 0], [5, 0], [5, 5], [0, 5]], "flags": {}}
    reason = {"text": ["box"], "is_sentence": False, "shapes": [{**shape, "shape_type": "polygon"}]}
    make.save_json(tmp_path / "reasonseg" / "train" / "1.json", reason)

    make.save_image(tmp_path / "fiftyone" / "data" / "1.jpg")
    box = {"_cls": "Polyline", "label": "box", "points": [[[0, 0], [5 / 30, 0], [5 / 30, 0.25], [0, 0.25]]]}
    field = {"_cls": "Polylines", "polylines": [{**box, "closed": True, "filled": True}]}
    metadata = {"_cls": "ImageMetadata", "width": 30, "height": 20, "num_channels": 3}
    sample = {"filepath": "data/1.jpg", "tags": [], "metadata": metadata, "ground_truth": field}
    make.save_json(tmp_path / "fiftyone" / "samples.json", {"samples": [sample]})

    make.save_image(tmp_path / "cvat_xml" / "images" / "1.jpg")
    polygon = '<polygon label="box" source="manual" occluded="0" points="0.0,0.0;5.0,0.0;5.0,5.0;0.0,5.0" z_order="0"/>'
    image = f'<image id="0" name="1.jpg" width="30" height="20">{polygon}</image>'
    (tmp_path / "cvat_xml" / "annotations.xml").write_text(
        f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n{image}\n</annotations>\n'
    )
    return tmp_path
