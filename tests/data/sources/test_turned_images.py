"""Photos that their EXIF turns, annotated by tools that pass over it, in every layout."""

import json

import numpy as np
import pytest
from PIL import Image

from clipseg_hf.data.sources import load_segmentation_dataset, open_segmentation_data
from clipseg_hf.processing.masks.rle import decode_rle

KINDS = ["coco", "voc", "imagefolder", "index_masks", "binary_masks", "phrasecut"]
KINDS += ["labelme", "label_studio", "cvat_masks", "cvat_xml", "fiftyone", "refcoco"]


def turn_image(root, orientation, size=(20, 30)):
    """Make the image one that is stored at a size (height, width)."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    [image] = root.rglob("1.jpg")
    Image.new("RGB", size[::-1]).save(image, exif=exif)


def read(root, layouts, **options):
    """The size of the one row, the mask and the boxes of its one phrase, and the summary."""
    builder = open_segmentation_data(root, cache_dir=layouts / "cache", **options)
    builder.download_and_prepare()
    [row] = builder.as_dataset("train")
    [entry] = row["phrases"]
    return (row["height"], row["width"]), decode_rle(entry["mask"]), entry["boxes"], builder.summary


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_annotated_on_the_stored_image_is_turned_with_it(layouts, kind):
    _, before, [box], _ = read(layouts / kind, layouts)
    turn_image(layouts / kind, 6)  # a quarter to the right: what was at the left is at the top

    size, mask, boxes, summary = read(layouts / kind, layouts, strict=True)

    assert size == mask.shape == (30, 20) and summary.flaws == {"stored_frame": 1}
    assert np.array_equal(mask, np.rot90(before, -1)) and mask[0, -1] and not mask[0, 0]
    assert boxes == [[20 - box[1] - box[3], box[0], box[3], box[2]]]


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_size_does_not_tell_is_told(layouts, kind):
    _, before, _, _ = read(layouts / kind, layouts)
    turn_image(layouts / kind, 3)  # upside down

    size, mask, _, summary = read(layouts / kind, layouts, strict=True)

    assert size == (20, 30) and np.array_equal(mask, before)
    assert summary.flaws == {"unclear_frame": 1} and "1" in summary.examples["unclear_frame"][0]


def test_a_mask_that_bears_the_orientation_itself_is_clear(layouts, make):
    turn_image(layouts / "binary_masks", 3)
    exif = Image.Exif()
    exif[0x0112] = 3
    mask = layouts / "binary_masks" / "masks" / "box" / "1.png"
    Image.fromarray(make.boxed(0, 0, 5, 5)).save(mask, exif=exif)

    _, mask, _, summary = read(layouts / "binary_masks", layouts)

    assert mask[-5:, -5:].all() and mask.sum() == 25 and not summary.flaws


@pytest.mark.parametrize("said", [{}, {"height": None, "width": None}, {"height": 0, "width": 0}, {"width": 30}])
def test_images_whose_size_is_not_said_take_it_from_the_file(layouts, said):
    file = layouts / "coco" / "result.json"
    content = json.loads(file.read_text())
    content["images"] = [{"id": 1, "file_name": "1.jpg", **said}]
    file.write_text(json.dumps(content))

    size, mask, _, summary = read(layouts / "coco", layouts, strict=True)

    assert size == mask.shape == (20, 30) and not summary.flaws
    for orientation in (3, 6):
        turn_image(layouts / "coco", orientation)
        size, mask, _, summary = read(layouts / "coco", layouts)
        assert size == mask.shape and mask[0, 0] and summary.flaws == {"unclear_frame": 1}


def test_another_size_is_a_flaw_as_before(layouts):
    turn_image(layouts / "coco", 6, size=(21, 30))
    with pytest.raises(ValueError, match=r"1 x image_size_differs.*21 x 30, annotated 30 x 20\)"):
        load_segmentation_dataset(layouts / "coco", "train", cache_dir=layouts / "cache")
