"""Small sound data sets in every layout, as files by name."""

import io
import json
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from clipseg_hf.processing.masks.rle import encode_rle

HEIGHT, WIDTH = 20, 30
SQUARE = [2, 2, 9, 2, 9, 9, 2, 9]


def picture(form: str = "PNG", mode: str = "RGB", **options) -> bytes:
    """An image file of 20 x 30 pixels."""
    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, form, **options)
    return stream.getvalue()


def turned(form: str) -> bytes:
    """An image file that its EXIF turns by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture(form, exif=exif)


def painted(value: int | tuple[int, int, int]) -> bytes:
    """A mask file whose square has a value or colour."""
    pixels = np.zeros((HEIGHT, WIDTH, *np.shape(value)), np.uint8)
    pixels[2:9, 2:9] = value
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def coco(segmentations: list, **fields) -> bytes:
    """A COCO file of two images, each with these segmentations."""
    images = [{"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH} for i in (1, 2)]
    annotations = [
        {"id": 10 * i + n, "image_id": i, "category_id": 1 + n % 2, "segmentation": segmentation, "iscrowd": n % 2}
        | {"bbox": [2, 2, 7, 7], "area": 49, **fields}
        for i in (1, 2)
        for n, segmentation in enumerate(segmentations)
    ]
    categories = [{"id": 1, "name": "box"}, {"id": 2, "name": "big_box (thing)"}]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories}).encode()


def _runs() -> list:
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[2:9, 2:9] = True
    columns = inside.T.ravel()
    ends = np.flatnonzero(np.append(columns[1:] != columns[:-1], True)) + 1
    return [encode_rle(inside), {"size": [HEIGHT, WIDTH], "counts": np.diff(ends, prepend=0).tolist()}]


COCO = {
    "coco": {
        "annotations/instances_train.json": coco([[SQUARE], _runs()[0]]),
        "images/1.png": picture(),
        "images/2.png": turned("PNG"),
    },
    "coco-rle": {"train/_annotations.coco.json": coco(_runs(), phrase="a box"), "train/1.png": picture()}
    | {"train/2.png": picture()},
    "coco-file": {"result.json": coco([[[2, 2], [9, 2], [9, 9]], SQUARE]), "1.png": picture(), "2.png": picture()},
}

_LINES = [{"file_name": "1.png", "phrase": "a box", "mask_file_name": "m.png"}] * 2
_VOC = "VOCdevkit/VOC2012"

FOLDERS = {
    "voc": {
        f"{_VOC}/JPEGImages/1.jpg": turned("JPEG"),
        f"{_VOC}/JPEGImages/2.jpg": picture("JPEG"),
        f"{_VOC}/SegmentationClass/1.png": painted(3),
        f"{_VOC}/SegmentationClass/2.png": painted(255),
        f"{_VOC}/ImageSets/Segmentation/train.txt": b"1\n2\n",
        f"{_VOC}/ImageSets/Segmentation/val.txt": b"2\n",
    },
    "imagefolder": {
        "train/metadata.jsonl": "\n".join(map(json.dumps, _LINES)).encode(),
        "train/1.png": picture(),
        "train/m.png": painted(255),
    },
    "imagefolder-csv": {
        "metadata.csv": b"file_name,phrase,mask_file_name\r\n1.png,a box,m.png\r\n",
        "1.png": picture(),
        "m.png": painted(255),
    },
    "index_masks": {
        "images/train/1.png": picture(),
        "masks/train/1.png": painted(1),
        "classes.txt": b"background\nbox\nother\n",
    },
    "index_masks-json": {
        "images/1.jpg": picture("JPEG"),
        "masks/1.png": painted(7),
        "classes.json": json.dumps({"0": "background", "7": "box"}).encode(),
    },
    "index_masks-colors": {
        "images/1.jpg": picture("JPEG"),
        "masks/1.png": painted((64, 128, 64)),
        "labelmap.txt": b"# label:color_rgb:parts:actions\nbackground:0,0,0::\nbox:64,128,64::\n",
    },
    "binary_masks": {
        "images/train/1.png": turned("PNG"),
        "masks/train/red_box/1.png": painted(255),
        "masks/train/box/1.png": picture(mode="RGBA"),
    },
}


def phrasecut(split: str = "train") -> dict[str, bytes]:
    """PhraseCut's files with two images and three tasks."""
    entries = [{"image_id": i, "height": HEIGHT, "width": WIDTH, "split": split, "url": ""} for i in (1, 2)]
    structure = {"name": "box", "attributes": ["red"], "relation_ids": [], "relation_descriptions": [["on", "box"]]}
    tasks = [
        {
            "task_id": f"{image}__{number}",
            "image_id": image,
            "ann_ids": [1],
            "instance_boxes": [[2, 2, 7, 7]],
            "Polygons": [[np.reshape(SQUARE, (4, 2)).tolist()]],
            "phrase": "red box on box",
            "phrase_structure": structure | {"type": "name"},
        }
        for image, number in ((1, 0), (2, 0), (1, 1))
    ]
    return {
        "image_data_split3000.json": json.dumps(entries).encode(),
        f"refer_{split}.json": json.dumps(tasks).encode(),
        "images/1.jpg": picture("JPEG"),
        "images/2.jpg": turned("JPEG"),
    }


PHRASECUT = {"phrasecut": phrasecut(), "phrasecut-val": phrasecut("val")}


_RECIPES = Path(__file__).parents[2] / "examples" / "recipes"
_COUNTS = {"cat": [["box", 3], ["tree", 1]], "att": [["red", 2]], "rel": []}
_EPISODES = [{"query": "1", "support": "1", "class": "box"}] * 2

TEXTS: dict[str, dict[str, bytes]] = {
    "recipe.yaml": {
        "recipe.yaml": (_RECIPES / "ablation-rd16.yaml").read_bytes().replace(b"phrasecut-rd64.yaml", b"base.yaml"),
        "base.yaml": (_RECIPES / "phrasecut-rd64.yaml").read_bytes(),
    },
    "pretraining.yaml": {"pretraining.yaml": (_RECIPES / "emoji-clip.yaml").read_bytes()},
    "counts.json": {"counts.json": json.dumps(_COUNTS).encode()},
    "episodes.json": {"episodes.json": json.dumps(_EPISODES).encode()},
    "episodes.txt": {"episodes.txt": b"1 1 box\n1 1  box\n"},
    "classes.json": {"classes.json": b'{"background": [0, 0, 0], "box": [64, 128, 64]}'},
    "classes.txt": {"classes.txt": b"0: background\n1: box\n"},
    "class_dict.csv": {"class_dict.csv": b"name,r,g,b\nbackground,0,0,0\nbox,64,128,64\n"},
}
"""Files of settings, by the name of the one that is read."""


_FORMS = (
    *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    *(("TIFF", mode) for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "F", "I;16", "I", "LAB")),
    *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
    *((form, "RGB") for form in ("BMP", "PPM", "JPEG2000", "SGI", "AVIF")),
    *((form, "RGBA") for form in ("WEBP", "TGA", "ICO", "DDS")),
    *(("GIF", "P"), ("PCX", "P"), ("SPIDER", "F"), ("MSP", "1")),
)


def _pictures() -> dict[str, dict[str, bytes]]:
    found = {"turned.jpg": {"turned.jpg": turned("JPEG")}, "turned.png": {"turned.png": turned("PNG")}}
    for form, mode in _FORMS:
        name = f"{form}-{mode.replace(';', '')}.img"
        with suppress(KeyError, OSError, ValueError):  # what this Pillow cannot write
            found[name] = {name: picture(form, mode)}
    return found


PICTURES = _pictures()


def files_of(folder: Path) -> dict[str, bytes]:
    """What somebody wrote, as files by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
