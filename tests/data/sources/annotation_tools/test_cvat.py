"""CVAT's masks in colour and its XML, and what can be wrong with them."""

import numpy as np
import pytest
from PIL import Image

from clipseg_hf.data.sources.annotation_tools.cvat_masks import CvatMaskFiles
from clipseg_hf.data.sources.annotation_tools.cvat_xml import CvatXmlFiles

COLORS = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83::\ndining_table:0,0,128::\n"


def color(mask, *values):
    return (np.asarray(mask)[..., None] > 0) * np.array(values, dtype=np.uint8)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def test_colours_are_classes_and_lists_are_splits(tmp_path, make, read, masks_of):
    cat, table = make.boxed(0, 0, 5, 5), make.boxed(9, 9, 20, 20)
    for name in ("a b", "sub/c", "d"):
        make.save_image(tmp_path / "JPEGImages" / f"{name}.jpg")
        save(tmp_path / "SegmentationClass" / f"{name}.png", color(cat, 250, 50, 83) + color(table, 0, 0, 128))
        save(tmp_path / "SegmentationObject" / f"{name}.png", color(cat, 9, 9, 9))
    (tmp_path / "labelmap.txt").write_text(COLORS)
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "default.txt").write_text("a b\nsub/c\n")
    (tmp_path / "ImageSets" / "Segmentation" / "Validation.txt").write_text("d\ne\n")

    rows, summary = read(CvatMaskFiles, tmp_path)

    assert [row["image_id"] for row in rows] == ["a b", "sub/c"] and not summary.flaws
    assert np.array_equal(masks_of(rows[0])["cat"], cat) and np.array_equal(masks_of(rows[0])["dining table"], table)
    rows, summary = read(CvatMaskFiles, tmp_path, "val")
    assert [row["image_id"] for row in rows] == ["d"] and summary.examples == {"missing_image": ["that of mask e"]}


def test_images_may_lie_elsewhere(tmp_path, make, read):
    root = tmp_path / "export"
    save(root / "SegmentationClass" / "a.png", color(make.boxed(0, 0, 5, 5), 1, 2, 3))
    save(root / "SegmentationObject" / "a.png", color(make.boxed(0, 0, 5, 5), 1, 2, 3))
    (root / "labelmap.txt").write_text(COLORS)
    with pytest.raises(FileNotFoundError, match=r"No image has a mask of the same name.*\(or say where with images=\)"):
        CvatMaskFiles(root, unpack_dir=tmp_path)
    make.save_image(root / "a.jpg")
    for options in ({}, {"images": "../pictures"}):
        make.save_image(tmp_path / "pictures" / "a.jpg")
        rows, summary = read(CvatMaskFiles, root, **options)
        assert not rows and summary.examples["unknown_label"][0].startswith("a.png: colour 1, 2, 3 (25 pixels)")
    with pytest.raises(FileNotFoundError, match=r"There is no labelmap\.txt in .*Expected labelmap\.txt, Segm"):
        CvatMaskFiles(tmp_path, unpack_dir=tmp_path)


XML = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><name>x</name></task></meta>
<image id="0" name="photos/a.jpg" width="30" height="20" subset="Train">
<polygon label="cat" points="0,0;5,0;5,5;0,5" occluded="0"/><polygon label="cat" points="20,10;30,10;30,20;20,20"/>
<mask label="dog" left="2" top="3" width="4" height="2" rle="1, 3, 2, 2"/>{shapes}
</image>
<image id="1" name="b.jpg" width="30" height="20" subset="Train"></image>
<image id="2" name="c.jpg" width="30" height="20" subset="Train"><tag label="x"/></image></annotations>
"""


def write_xml(root, make, shapes=""):
    make.save_image(root / "images" / "a.jpg")
    make.save_image(root / "images" / "b.jpg")
    (root / "annotations.xml").write_text(XML.format(shapes=shapes))
    return root


def test_polygons_and_masks_of_the_xml(tmp_path, make, read, masks_of):
    [row], summary = read(CvatXmlFiles, write_xml(tmp_path, make))

    assert row["image_id"] == "images/a" and masks_of(row)["cat"].sum() == 125
    expected = make.blank()
    expected[3, 3:6] = expected[4, 4:6] = 1
    assert np.array_equal(masks_of(row)["dog"], expected)
    assert summary.examples == {
        "foreign_path": ["photos/a.jpg, taken for images/a.jpg (image 0)"],
        "no_annotation": ["images/b.jpg"],
        "missing_image": ["c.jpg (image 2)"],
    }


def test_every_flaw_of_the_xml_is_named(tmp_path, make, read):
    shapes = """<box label="cat" xtl="1" ytl="1" xbr="3" ybr="3"/><polygon label="cat" points="0,0;5"/>
    <polygon points="0,0;5,0;5,5;0,5"/><mask label="dog" left="2" top="3" width="4" height="2" rle="1, 3"/>
    <mask label="dog" left="29" top="3" width="4" height="2" rle="8"/><polygon label="cat" points="a,b;5,0;5,5"/>"""

    _, summary = read(CvatXmlFiles, write_xml(tmp_path, make, shapes))

    assert summary.examples["no_outline"] == ["box 3 of images/a.jpg"]
    assert summary.examples["malformed_entry"] == [
        "polygon 4 of images/a.jpg (a polygon is a list of numbers x1, y1, x2, y2, ...; found [0.0, 0.0, 5.0])",
        "polygon 5 of images/a.jpg (no 'label')",
        "mask 6 of images/a.jpg (runs of 4 pixels in a box of 4 x 2)",
        "mask 7 of images/a.jpg (a box of 4 x 2 at 29, 3 in an image of 30 x 20)",
        "polygon 8 of images/a.jpg (could not convert string to float: 'a')",
    ]
    (tmp_path / "annotations.xml").write_text("<annotations><image")
    with pytest.raises(ValueError, match=r"annotations\.xml is not valid XML: "):
        CvatXmlFiles(tmp_path, unpack_dir=tmp_path)
    (tmp_path / "annotations.xml").unlink()
    with pytest.raises(FileNotFoundError, match=r"There is no XML file in .*Expected annotations\.xml and im"):
        CvatXmlFiles(tmp_path, unpack_dir=tmp_path)
