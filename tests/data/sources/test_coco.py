import json
import math
from pathlib import PurePath

import numpy as np
import pytest
import torch
from pycocotools import mask as coco

from clipseg_hf.data.rows.flaws import FlawError
from clipseg_hf.data.rows.row_phrases import truth_of
from clipseg_hf.data.sampling.phrase_index import PhraseIndex
from clipseg_hf.data.sources import load_segmentation_dataset


def square(left, top, side=5):
    return [left, top, left + side, top, left + side, top + side, left, top + side]


def annotation(number, image_id, category_id, segmentation, **more):
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": segmentation,
        "bbox": [0, 0, 5, 5],
        "iscrowd": 0,
        **more,
    }


RIGHT = np.repeat([[False] * 25 + [True] * 5], 20, axis=0)


@pytest.fixture
def content():
    crowd = np.zeros((20, 30), dtype=np.uint8, order="F")
    crowd[:, 25:] = 1
    runs = [25 * 20, 5 * 20]
    return {
        "info": {"year": 2017},
        "images": [
            {"id": 1, "file_name": "000001.jpg", "height": 20, "width": 30},
            {"id": 2, "file_name": "000002.jpg", "height": 20, "width": 30},
        ],
        "annotations": [
            annotation(10, 1, 7, [square(0, 0)]),
            annotation(11, 1, 7, [square(10, 0), square(10, 10)], bbox=[10, 0, 5, 15]),
            annotation(12, 1, 8, {"size": [20, 30], "counts": runs}, iscrowd=1),
            annotation(13, 2, 7, {"size": [20, 30], "counts": coco.encode(crowd)["counts"].decode()}),
        ],
        "categories": [{"id": 7, "name": "dining_table"}, {"id": 8, "name": "person", "supercategory": "person"}],
    }


@pytest.fixture
def root(tmp_path, make, content):
    root = tmp_path / "coco"
    make.save_json(root / "annotations" / "instances_train2017.json", content)
    for number in (1, 2):
        make.save_image(root / "train2017" / f"00000{number}.jpg")
    return root


def rewrite(root, content):
    (root / "annotations" / "instances_train2017.json").write_text(json.dumps(content))


def test_a_phrase_is_all_of_a_category_on_an_image(root, load, masks_of):
    rows, summary = load(root, strict=True)

    assert rows["image_id"][:] == ["1", "2"]
    first = masks_of(rows[0])
    assert list(first) == ["dining table", "person"]
    assert first["dining table"].sum() == 3 * 25
    assert first["dining table"][:5, :5].all() and first["dining table"][10:15, 10:15].all()
    assert (masks_of(rows[1])["dining table"] == RIGHT).all()  # run lengths as text
    assert rows[0]["phrases"][0]["boxes"] == [[0, 0, 5, 5], [10, 0, 5, 15]]
    assert rows[0]["phrases"][0]["phrase_id"] == "1__0" and rows[0]["phrases"][0]["name"] == "dining table"
    assert not summary.flaws


def test_a_crowd_does_not_count_for_its_phrase(root, load, content):
    content["annotations"].append(annotation(14, 1, 8, [square(22, 0)]))  # a person, partly in the crowd
    rewrite(root, content)

    rows, summary = load(root, strict=True)

    table, person = (truth_of(rows[0]["phrases"], [n]) for n in range(2))
    assert table.ignored is None
    assert person.mask[:5, 22:27].all() and person.mask.sum() == 25
    assert (person.ignored == RIGHT & ~person.mask).all()
    assert rows[0]["phrases"][1]["boxes"] == [[0, 0, 5, 5]]  # that of the person alone
    assert summary.crowds == 1 and "1 crowd (iscrowd), whose pixels do not count" in str(summary)


def test_a_crowd_alone_keeps_its_phrase_true_of_the_image(root, load):
    rows, _ = load(root)

    mask, ignored = truth_of(rows[0]["phrases"], [1])
    assert not mask.any() and (ignored == RIGHT).all() and rows[0]["phrases"][1]["boxes"] == []
    index = PhraseIndex(rows)
    assert index.is_true_of("person", 0)
    assert index.draw_support("person", 1, torch.Generator()) is None  # it shows nobody to be taken for an example


def test_crowds_may_be_a_way_of_writing_run_lengths(root, load, content):
    assert (truth_of(load(root, crowds="mask")[0][0]["phrases"], [1]).mask == RIGHT).all()
    for entry in content["annotations"]:
        entry["iscrowd"] = 1
    rewrite(root, content)
    rows, summary = load(root)  # nothing but crowds
    assert (
        truth_of(rows[0]["phrases"], [0]).mask.sum() == 75 and (truth_of(rows[0]["phrases"], [1]).mask == RIGHT).all()
    )
    assert summary.crowds == 0
    with pytest.raises(ValueError, match='crowds is "ignore" or "mask", got \'no\''):
        load(root, crowds="no")


@pytest.mark.parametrize("field", ["phrase", "caption"])
def test_annotations_may_bear_phrases_of_their_own(root, load, content, masks_of, field):
    for entry, text in zip(content["annotations"], ("old  table", "Old table", "tall man", "table"), strict=True):
        entry[field] = text
    rewrite(root, content)

    rows, _ = load(root)

    assert {phrase: mask.sum() for phrase, mask in masks_of(rows[0]).items()} == {"old table": 75, "tall man": 0}
    assert (truth_of(rows[0]["phrases"], [1]).ignored == RIGHT).all()
    assert rows[0]["phrases"][1]["name"] == "person"


def test_the_field_of_the_phrase_can_be_named(root, load, content, masks_of):
    for entry in content["annotations"][:3]:
        entry["ref"] = "thing"
    rewrite(root, content)

    rows, summary = load(root, phrase_field="ref")

    assert list(masks_of(rows[0])) == ["thing"] and len(rows) == 1
    assert summary.examples["malformed_entry"] == ["annotation 13 of image 2 (no ref)"]


def test_a_json_file_alone_is_enough_with_its_images_beside_or_elsewhere(root, load, tmp_path, content, make):
    file = root / "labels_val.json"
    make.save_json(file, content)

    assert len(load(file, split="val")[0]) == 2
    rows, _ = load(root / "annotations" / "instances_train2017.json", images=root / "train2017")
    assert len(rows) == 2


def test_each_split_has_its_file_and_its_folder(root, load, make, content):
    content["images"] = content["images"][:1]
    make.save_json(root / "annotations" / "instances_val2017.json", content)
    make.save_image(root / "val2017" / "000001.jpg", value=7)
    make.save_json(root / "annotations" / "captions_val2017.json", {"images": [], "annotations": []})

    rows, summary = load(root, split="val")

    assert np.asarray(rows[0]["image"])[0, 0, 0] == 7
    assert summary.flaws["unknown_image"] == 1  # an annotation of image 2
    assert len(load(root)[0]) == 2


def test_roboflows_folders_are_splits(tmp_path, load, make, content):
    for split in ("train", "valid"):
        make.save_json(tmp_path / "rf" / split / "_annotations.coco.json", content)
        for number in (1, 2):
            make.save_image(tmp_path / "rf" / split / f"00000{number}.jpg", value=len(split))

    assert np.asarray(load(tmp_path / "rf", split="val")[0][0]["image"])[0, 0, 0] == 5
    assert np.asarray(load(tmp_path / "rf")[0][0]["image"])[0, 0, 0] == 5


def test_lvis_names_addresses_and_its_categories_are_made_readable(tmp_path, load, make, content, masks_of):
    for image in content["images"]:
        image["coco_url"] = f"http://images.cocodataset.org/train2017/{image.pop('file_name')}"
    content["categories"] = [{"id": 7, "name": "bow_(decorative_ribbons)"}, {"id": 8, "name": "deck_chair"}]
    make.save_json(tmp_path / "lvis" / "lvis_v1_train.json", content)
    for number in (1, 2):
        make.save_image(tmp_path / "lvis" / "train2017" / f"00000{number}.jpg")

    assert list(masks_of(load(tmp_path / "lvis")[0][0])) == ["bow", "deck chair"]


def broken(**changes):
    return lambda content: content["annotations"][0].update(changes)


def without(*path):
    def remove(content):
        for step in path[:-1]:
            content = content[step]
        del content[path[-1]]

    return remove


FLAWED = [
    ("duplicate_id", lambda content: content["annotations"].append({**content["annotations"][0]}), "annotation 10"),
    ("reused_id", broken(id=11), "annotation 11 of image 1"),
    (
        "reused_image_id",
        lambda content: content["images"].append({**content["images"][0], "file_name": "000002.jpg"}),
        "image 1",
    ),
    (
        "malformed_entry",
        lambda content: content["categories"].append({"id": 8, "name": "car"}),
        r"category 8 \('person', then 'car'\)",
    ),
    ("malformed_entry", broken(id=[10]), r"byte \d+ of .* \(no id\)"),
    ("unknown_image", broken(image_id=9), "an annotation of image 9"),
    (
        "malformed_entry",
        without("annotations", 0, "image_id"),
        r"byte \d+ of .*2017\.json \(no image_id\)",
    ),
    ("malformed_entry", without("annotations", 0, "id"), r"byte \d+ of .* \(no id\)"),
    ("malformed_entry", broken(category_id=99), r"annotation 10 of image 1 \(category 99\)"),
    ("malformed_entry", broken(segmentation=[]), r"annotation 10 of image 1 \(segmentation is empty\)"),
    (
        "malformed_entry",
        without("annotations", 0, "segmentation"),
        r"annotation 10 .* \(segmentation is None\)",
    ),
    ("malformed_entry", broken(segmentation=[["a", "b"] * 3]), r"annotation 10 .*a polygon is a list of numbers"),
    ("malformed_entry", broken(segmentation={"size": [20, 30], "counts": [1]}), r"annotation 10 .*cover 1 pixels"),
    (
        "malformed_entry",
        lambda content: content["images"][0].update(height="tall"),
        r"image 1 \(ValueError: .*'tall'\)",
    ),
    ("malformed_entry", without("images", 0, "file_name"), r"image 1 \(KeyError: 'coco_url'\)"),
    (
        "malformed_entry",
        lambda content: content["images"][0].update(height=math.inf),
        r"image 1 \(OverflowError: cannot convert float infinity",
    ),
    (
        "malformed_entry",
        lambda content: content["images"][0].update(file_name="", coco_url=3),
        r"image 1 \(AttributeError: 'int'",
    ),
    ("malformed_entry", broken(category_id=[7]), r"annotation 10 of image 1 \(category \[7\]\)"),
    ("malformed_entry", broken(segmentation="x" * 99), r"annotation 10 .*\(segmentation is x{40}\)"),
    ("malformed_entry", broken(segmentation={"size": [20, 30], "counts": None}), r"annotation 10 .*whole numbers"),
    ("wild_polygon", broken(segmentation=[[0, 0, 10**400, 5, 5, 5]]), "annotation 10 of image 1"),
    (
        "mask_size_differs",
        broken(segmentation={"size": [9, 9], "counts": [81]}),
        r"run lengths of \[9, 9\]",
    ),
    ("short_polygon", broken(segmentation=[[0, 0, 5, 5]]), "annotation 10 of image 1"),
    ("wild_polygon", broken(segmentation=[[0, 0, 1e12, 5, 5, 5]]), "annotation 10 of image 1"),
    ("empty_phrase", broken(phrase=" "), "annotation 10 of image 1"),
    ("missing_image", lambda content: content["images"][0].update(file_name="9.jpg"), r"9\.jpg \(image 1\)"),
    (
        "image_size_differs",
        lambda content: content["images"][0].update(width=31),
        r"\(30 x 20, annotated 31 x 20\)",
    ),
]


@pytest.mark.parametrize(("flaw", "change", "where"), FLAWED)
def test_each_flaw_is_counted_and_named_and_strict_stops_at_it(root, load, content, tmp_path, flaw, change, where):
    change(content)
    rewrite(root, content)

    rows, summary = load(root)

    assert summary.flaws == {flaw: 1} and "2" in rows["image_id"]
    with pytest.raises(FlawError, match=f"{where}.* \\({flaw}\\)"):
        load_segmentation_dataset(root, strict=True, cache_dir=tmp_path / "strict")


def test_boxes_beyond_measure_are_no_boxes(root, load, content):
    content["annotations"][0]["bbox"] = [0, 0, 10**400, 1]
    rewrite(root, content)

    rows, summary = load(root, strict=True)

    assert rows[0]["phrases"][0]["boxes"] == [[0, 0, 15, 15]] and not summary.flaws  # those of the mask


def test_an_annotation_whose_id_another_bears_is_kept(root, load, content, masks_of):
    for entry in content["annotations"]:
        entry["id"] = 0  # as some tools write it
    content["annotations"] += [{**content["annotations"][1]}, {**content["annotations"][3]}]
    rewrite(root, content)

    rows, summary = load(root, crowds="mask")

    assert masks_of(rows[0])["dining table"].sum() == 75 and masks_of(rows[0])["person"].sum() == 100
    assert len(rows) == 2 and summary.flaws == {"reused_id": 3, "duplicate_id": 2}


def test_an_image_that_is_listed_twice_alike_is_no_flaw(root, load, content):
    content["images"] += [{**image, "date_captured": "today"} for image in content["images"]]
    rewrite(root, content)

    assert len(load(root, strict=True)[0]) == 2


@pytest.mark.parametrize(
    "polygon",
    [square(0, 0), [[0, 0], [5, 0], [5, 5], [0, 5]], [[[0, 0], [5, 0], [5, 5], [0, 5]]]],
    ids=["flat", "pairs", "list of pairs"],
)
def test_a_polygon_may_stand_alone_and_have_pairs_for_corners(root, load, content, masks_of, polygon):
    content["annotations"][0]["segmentation"] = polygon
    rewrite(root, content)

    rows, summary = load(root, strict=True)

    assert masks_of(rows[0])["dining table"][:5, :5].all() and not summary.flaws


@pytest.mark.parametrize(
    ("segmentation", "flaw", "where"),
    [
        ([0, 0, 5, 0, 5, 5, 0], "malformed_entry", "x1, y1, x2, y2, ...; found [0, 0, 5, 0, 5, 5, 0])"),
        ([[0, "a"], [1], 3], "malformed_entry", "x1, y1, x2, y2, ...; 3 of 3 is not)"),
        ([0, 0, 5, 5], "short_polygon", "annotation 10 of image 1"),
    ],
)
def test_what_is_no_polygon_is_told_once_for_an_annotation(root, load, content, segmentation, flaw, where):
    content["annotations"][0]["segmentation"] = segmentation
    rewrite(root, content)

    _, summary = load(root)

    assert summary.flaws == {flaw: 1} and summary.examples[flaw][0].endswith(where)


def test_images_without_annotations_are_counted_also_where_it_is_strict(root, load, content):
    content["images"].insert(0, {"id": 3, "file_name": "000003.jpg", "height": 20, "width": 30})
    rewrite(root, content)

    for strict in (False, True):
        rows, summary = load(root, strict=strict)

        assert rows["image_id"][:] == ["1", "2"] and summary.flaws == {"no_annotation": 1}
        assert summary.examples == {"no_annotation": ["000003.jpg (image 3)"]}


def test_a_mask_with_nothing_in_the_image_is_left_out(root, load, content):
    content["annotations"][3]["segmentation"] = {"size": [20, 30], "counts": [600]}
    rewrite(root, content)

    rows, summary = load(root)

    assert len(rows) == 1 and summary.examples["empty_mask"] == ["'dining table' in image 2"]


def test_broken_json_is_named_with_its_byte(root, load):
    path = root / "annotations" / "instances_train2017.json"
    path.write_text(path.read_text()[:300])

    with pytest.raises(ValueError, match=r"instances_train2017\.json is not valid JSON at byte \d+.*was it cut off"):
        load(root)


def test_what_is_not_clear_is_asked(root, load, make, content, tmp_path):
    make.save_image(root / "extra" / "000001.jpg")
    make.save_image(root / "more" / "000001.jpg")
    assert len(load(root)[0]) == 2  # train2017 is named in the annotation file's name
    (root / "train2017").rename(root / "pictures")
    with pytest.raises(ValueError, match=r"asks for 000001\.jpg, which could be extra/000001\.jpg or more/"):
        load(root)
    assert len(load(root, images="pictures")[0]) == 2

    make.save_json(root / "annotations" / "instances_train2014.json", content)
    with pytest.raises(ValueError, match=r"There are several annotation files for train in .*annotations=, a name"):
        load(root, images="pictures")
    assert len(load(root, images="pictures", annotations="*/instances_*2017.json")[0]) == 2


def test_missing_parts_are_named(root, load, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no COCO annotation file that is called x\.json in "):
        load(root, kind="coco", annotations="x.json")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(FileNotFoundError, match=r"There are no images in .*empty\. Found: nothing\. Expected"):
        load(root, images=empty)


@pytest.mark.parametrize("folder", ["images", "train2017"])
@pytest.mark.parametrize("data", ["annotations/instances_train2017.json", "annotations"])
def test_a_file_of_cocos_own_layout_has_its_images_beside_its_folder(root, load, monkeypatch, folder, data):
    (root / "train2017").rename(root / folder)
    monkeypatch.chdir(root)

    rows, summary = load(data)

    assert len(rows) == 2 and not summary.flaws
    monkeypatch.chdir(root / "annotations")
    assert len(load(PurePath(data).name if data.endswith("json") else ".")[0]) == 2


def test_images_that_are_elsewhere_are_told_by_the_option_to_give(root, load):
    (root / "annotations").rename(root / "labels")
    file = root / "labels" / "instances_train2017.json"

    with pytest.raises(
        FileNotFoundError, match=r'images="\.\./train2017" \(on the command line: --option images=\.\./train2017\)\.$'
    ):
        load(file)
    assert len(load(file, images="../train2017")[0]) == 2
    (root / "train2017").rename(root.parent / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"on the command line: --option images=FOLDER\.$"):
        load(file)
