"""Small sound exports of annotation tools and of referring data sets, as files by name."""

import base64
import io
import json
import zlib

import numpy as np

from clipseg_hf.processing.masks.brush_rle import encode_brush
from fuzz.seeds import HEIGHT, SQUARE, WIDTH, coco, painted, picture

_CORNERS = np.reshape(SQUARE, (4, 2)).tolist()
_SIZE = {"original_width": WIDTH, "original_height": HEIGHT}


def _coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _packed_mask() -> dict:
    stream = io.BytesIO()
    np.save(stream, np.tri(6, dtype=bool))
    return {"$binary": {"base64": _coded(zlib.compress(stream.getvalue())), "subType": "00"}}


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


_SHAPES = [
    {"label": "box", "shape_type": "polygon", "points": _CORNERS},
    {"label": "rectangle", "shape_type": "rectangle", "points": [[20, 12], [10, 2]]},
    {"label": "mask", "shape_type": "mask", "points": [[0, 0], [29, 19]], "mask": _coded(painted(1))},
]
_BRUSH = {"format": "rle", "rle": encode_brush(np.eye(HEIGHT, WIDTH, dtype=bool)), "brushlabels": ["stroke"]}
_REGIONS = [
    {"id": "a", "type": "polygonlabels", **_SIZE, "value": {"points": _CORNERS, "polygonlabels": ["box"]}},
    {"id": "b", "type": "brushlabels", **_SIZE, "value": _BRUSH},
]
_DETECTION = {"_cls": "Detection", "label": "box", "bounding_box": [0.1, 0.1, 0.2, 0.3], "mask": _packed_mask()}
_SAMPLE = {"id": "x", "tags": ["train"], "filepath": "data/1.png"}
_REFERENCE = {
    "ref_id": 0,
    "ann_id": 10,
    "image_id": 1,
    "split": "train",
    "sentences": [{"sent_id": 0, "sent": "a box"}],
}
_XML = f"""<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><name>x</name></task></meta>
<image id="0" name="1.png" width="{WIDTH}" height="{HEIGHT}" subset="Train">
<polygon label="box" points="0,0;5,0;5,5;0,5" occluded="0"/>
<mask label="mask" rle="4, 2, 4, 2" left="1" top="1" width="4" height="3"/></image></annotations>"""

TOOLS = {
    "yolo": {
        "data.yaml": b"train: images\nnames:\n  0: box\n  1: big_box\n",
        "images/1.png": picture(),
        "labels/1.txt": b"1 0 0 .5 0 .5 .5 0 .5\n0 .9 .9 1 .9 1 1 .9 1\n",
    },
    "labelme": {
        "1.json": _json(
            {"version": "5.5.0", "shapes": _SHAPES, "imagePath": "1.png", "imageHeight": HEIGHT, "imageWidth": WIDTH}
        ),
        "1.png": picture(),
    },
    "label_studio": {
        "export.json": _json([{"id": 1, "data": {"image": "1.png"}, "annotations": [{"result": _REGIONS}]}]),
        "1.png": picture(),
    },
    "cvat_masks": {
        "labelmap.txt": b"# label:color_rgb:parts:actions\nbackground:0,0,0::\nbox:64,128,64::\n",
        "JPEGImages/1.jpg": picture("JPEG"),
        "SegmentationClass/1.png": painted((64, 128, 64)),
        "SegmentationObject/1.png": painted((9, 9, 9)),
        "ImageSets/Segmentation/default.txt": b"1\n",
    },
    "cvat_xml": {"annotations.xml": _XML.encode(), "images/1.png": picture()},
    "fiftyone": {
        "samples.json": _json({"samples": [_SAMPLE | {"truth": {"_cls": "Detections", "detections": [_DETECTION]}}]}),
        "data/1.png": picture(),
    },
    "refcoco": {
        "refs(unc).json": _json([_REFERENCE]),
        "instances.json": coco([[SQUARE]]),
        "images/1.png": picture(),
    },
    "reasonseg": {
        "val/1.json": _json(
            {"text": ["What is it?"], "is_sentence": True, "shapes": [_SHAPES[0] | {"label": "target"}]}
        ),
        "val/1.jpg": picture("JPEG"),
    },
}
