import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipseg_hf.data.phrasecut.phrasecut_files import KNOWN_WRONG_SIZE, PhraseCutFiles
from clipseg_hf.data.rows.flaws import FLAWS, BuildSummary, FlawError
from clipseg_hf.processing.masks.rle import decode_rle


def read(root, split="train", strict=False, **places):
    """All rows of a split, and the summary."""
    source = PhraseCutFiles(root, **places, unpack_dir=root.parent / "unpacked")
    summary = BuildSummary(strict=strict)
    rows = [row for shard in source.shards(split, summary) for row in source.rows(split, shard, summary)]
    return rows, summary


def phrases(rows):
    return {row["image_id"]: [entry["phrase"] for entry in row["phrases"]] for row in rows}


def test_a_row_holds_all_phrases_of_an_image_wherever_they_stand_in_the_file(phrasecut_dir):
    rows, summary = read(phrasecut_dir)

    assert phrases(rows) == {
        "1": ["red box", "small cow on box"],
        "2": ["red box", "tall tree"],
        "3": ["red box", "tall tree"],
    }
    assert (rows[0]["height"], rows[0]["width"], rows[2]["height"], rows[2]["width"]) == (40, 60, 48, 32)
    assert not summary.flaws


def test_a_phrase_keeps_its_structure_and_its_mask_is_the_union_over_the_instances(phrasecut_dir):
    rows, _ = read(phrasecut_dir)
    cow, box = rows[0]["phrases"][1], rows[0]["phrases"][0]

    assert {key: cow[key] for key in ("phrase_id", "name", "attributes", "relations", "boxes", "told_by")} == {
        "phrase_id": "1__1",
        "name": "cow",
        "attributes": ["small"],
        "relations": [{"predicate": "on", "object": "box"}],
        "boxes": [[20, 20, 9, 9]],
        "told_by": "relation",
    }
    mask = np.zeros((40, 60), dtype=bool)
    mask[5:15, 5:15] = mask[5:15, 30:40] = True
    assert (decode_rle(box["mask"]) == mask).all() and len(box["boxes"]) == 2


def test_the_splits_are_those_that_there_are_in_the_official_order(layout):
    layout.tasks["unseen"] = layout.tasks["val"]
    (root := layout.write()).joinpath("refer_train.json").unlink()

    assert PhraseCutFiles(root, unpack_dir=root).splits == ("val", "miniv", "unseen")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "nested"])
def test_archives_are_read_as_they_are(phrasecut_dir, tmp_path, kind):
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "pc.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file in phrasecut_dir.rglob("*.*"):
                archive.write(file, "VGPhraseCut_v0" / file.relative_to(phrasecut_dir))
    elif kind == "nested":
        shutil.copytree(phrasecut_dir, tmp_path / "pc.nested" / "VGPhraseCut_v0")
    else:
        with tarfile.open(tmp_path / f"pc.{kind}", "w:gz" if kind == "tar.gz" else "w") as archive:
            archive.add(phrasecut_dir, "VGPhraseCut_v0")

    rows, summary = read(tmp_path / f"pc.{kind}")
    expected, _ = read(phrasecut_dir)

    assert [row["phrases"] for row in rows] == [row["phrases"] for row in expected] and not summary.flaws
    image = rows[0]["image"]
    content = image["bytes"] or Path(image["path"]).read_bytes()
    assert content == (phrasecut_dir / "images" / "1.jpg").read_bytes()


def test_annotations_and_images_may_be_apart_and_images_in_several_places(layout):
    root = layout.write()
    for name, places in (("VG_100K", ("1", "4")), ("VG_100K_2", ("2", "3"))):
        (root.parent / name).mkdir()
        for place in places:
            shutil.move(root / "images" / f"{place}.jpg", root.parent / name)
    annotations = root.parent / "annotations"
    shutil.move(root, annotations)

    images = [annotations.parent / "VG_100K", annotations.parent / "VG_100K_2"]
    rows, summary = read(annotations, images_dir=images)
    assert len(rows) == 3 and not summary.flaws

    rows, summary = read(images[0], annotations_dir=annotations)
    assert phrases(rows).keys() == {"1"} and summary.flaws == {"missing_image": 2}


def test_a_layout_that_is_not_phrasecuts_says_what_was_found_and_what_was_expected(tmp_path, layout):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "instances.json").write_text("{}")
    missing = (
        r"data does not hold PhraseCut's annotations\. Missing: image_data_split3000\.json or image_data_split\.json; "
        r"refer_train\.json.*Found: instances\.json\..*annotations_dir"
    )
    with pytest.raises(FileNotFoundError, match=missing):
        PhraseCutFiles(tmp_path / "data", unpack_dir=tmp_path)

    shutil.rmtree(layout.write() / "images")
    no_images = r"There are no images in .*phrasecut\. Expected images/<image_id>\.jpg, found: image_data_.*images_dir"
    with pytest.raises(FileNotFoundError, match=no_images):
        PhraseCutFiles(layout.root, unpack_dir=tmp_path)

    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist"):
        PhraseCutFiles(layout.root, images_dir=tmp_path / "nowhere", unpack_dir=tmp_path)


def test_the_17_images_of_the_wrong_size_are_left_out_and_counted(layout):
    assert len(KNOWN_WRONG_SIZE) == 17
    layout.sizes[61564] = (40, 60)
    layout.tasks["train"].append({**layout.tasks["train"][0], "image_id": 61564, "task_id": "61564__0"})

    rows, summary = read(layout.write())

    assert len(rows) == 3 and summary.flaws == {"known_wrong_size": 1}
    assert summary.examples == {"known_wrong_size": ["image 61564"]}


def test_images_listed_for_a_split_that_has_no_tasks_for_them_are_counted(layout):
    root = layout.write()
    entries = json.loads((root / "image_data_split3000.json").read_text())
    entries += [{**entries[0], "image_id": 8, "split": "train"}, {**entries[0], "image_id": 9, "split": "test"}]
    (root / "image_data_split3000.json").write_text(json.dumps(entries))

    rows, summary = read(root, strict=True)

    assert len(rows) == 3 and summary.examples == {"no_annotation": ["image 8"]}


# Each flaw: how it comes about, what is left of image 1's first phrase (or of the image), and how it is named.
def remove_image(layout, root):
    (root / "images" / "1.jpg").unlink()


def break_image(layout, root):
    (root / "images" / "1.jpg").write_bytes(b"no image")


def resize_image(layout, root):
    Image.new("RGB", (61, 40)).save(root / "images" / "1.jpg")


def change_task(**changes):
    def apply(layout, root):
        layout.tasks["train"][0].update(changes)
        (root / "refer_train.json").write_text(json.dumps(layout.tasks["train"]))

    return apply


def repeat_task(layout, root):
    layout.tasks["train"].append(dict(layout.tasks["train"][0]))
    change_task()(layout, root)


def drop_polygons(layout, root):
    del layout.tasks["train"][0]["Polygons"]
    change_task()(layout, root)


SQUARE, LINE, FAR = [[1, 1], [4, 1], [4, 4], [1, 4]], [[1, 1], [9, 9]], [[60, 0], [70, 0], [70, 9]]
FLAWED = {
    "missing_image": (remove_image, "image", r"image 1: the image file is not there"),
    "unreadable_image": (break_image, "image", r"image 1 \(images/1\.jpg\): the image file cannot be opened"),
    "image_size_differs": (
        resize_image,
        "image",
        r"image 1 \(images/1\.jpg\) \(61 x 40, annotated 60 x 40\): the image has another",
    ),
    "unknown_image": (change_task(image_id=99), "phrase", r"task 1__0: the phrase belongs to an image that the list"),
    "duplicate_id": (repeat_task, "repeat", r"task 1__0: the same entry was there before, with its id"),
    "reused_id": (change_task(task_id="2__0"), "nothing", r"task 2__0: the id was there before, with another content"),
    "empty_phrase": (change_task(phrase="  "), "phrase", r"task 1__0: the phrase has no words"),
    "malformed_entry": (drop_polygons, "phrase", r"task 1__0 \(KeyError: 'Polygons'\): the entry lacks a field"),
    "short_polygon": (change_task(Polygons=[[LINE], [SQUARE]]), "polygon", r"task 1__0: the polygon has fewer than 3"),
    "outside_polygon": (change_task(Polygons=[[FAR, SQUARE]]), "polygon", r"task 1__0: the polygon lies outside"),
    "wild_polygon": (
        change_task(Polygons=[[SQUARE, [[0, 0], [1e9, 0], [3, 3]]]]),
        "polygon",
        r"task 1__0: the polygon has a corner that is no number",
    ),
}


@pytest.mark.parametrize("flaw", FLAWED)
def test_each_flaw_is_treated_as_its_policy_says_and_strict_stops_at_it(layout, flaw):
    cause, lost, message = FLAWED[flaw]
    root = layout.write()
    cause(layout, root)

    rows, summary = read(root)

    assert summary.flaws == {flaw: 1}
    found = phrases(rows)
    if lost == "image":
        assert found.keys() == {"2", "3"}
    elif lost == "phrase":
        assert found["1"] == ["small cow on box"]
    elif lost == "polygon":
        assert decode_rle(rows[0]["phrases"][0]["mask"]).sum() == 16
    else:
        assert found["1"] == ["red box", "small cow on box"] and found["2"] == ["red box", "tall tree"]
        ids = [entry["phrase_id"] for row in rows for entry in row["phrases"]]
        assert len(set(ids)) == 6 and ("2__0__2" in ids) == (flaw == "reused_id")
    with pytest.raises(FlawError, match=rf"{message}.* \({flaw}\)\. strict=True stops at the first flaw; without it"):
        read(root, strict=True)


def test_a_phrase_whose_polygons_all_go_is_left_out(layout):
    root = layout.write()
    change_task(Polygons=[[LINE], [FAR]])(layout, root)

    rows, summary = read(root)

    assert phrases(rows)["1"] == ["small cow on box"]
    assert summary.flaws == {"short_polygon": 1, "outside_polygon": 1, "empty_mask": 1}


def test_a_polygon_that_reaches_over_the_border_is_cut_and_is_no_flaw(layout):
    root = layout.write()
    change_task(Polygons=[[[[50, 30], [70, 30], [70, 50], [50, 50]]]])(layout, root)

    rows, summary = read(root, strict=True)

    assert decode_rle(rows[0]["phrases"][0]["mask"]).sum() == 100 and not summary.flaws


@pytest.mark.parametrize(
    "entry",
    [3, {"image_id": 1}, {"task_id": "1__9", "image_id": [1]}],
)
def test_a_task_without_ids_is_named_by_its_byte(layout, entry):
    layout.tasks["train"].insert(0, entry)

    rows, summary = read(layout.write())

    assert len(rows) == 3 and summary.flaws == {"malformed_entry": 1}
    assert summary.examples["malformed_entry"] == ["byte 1 of refer_train.json (no task_id, or no number image_id)"]


def test_a_turned_photograph_is_measured_upright(layout):
    root = layout.write()
    exif = Image.Exif()
    exif[274] = 6  # to be turned by a quarter
    Image.new("RGB", (40, 60)).save(root / "images" / "1.jpg", exif=exif)

    assert not read(root)[1].flaws


def test_broken_json_stops_and_names_the_byte(layout):
    path = layout.write() / "refer_train.json"
    text = path.read_text()
    path.write_text(text[:500])
    with pytest.raises(ValueError, match=r"refer_train\.json is not valid JSON at byte \d+: .*was it cut off\?"):
        read(layout.root)

    path.write_text(text.replace('"phrase":', '"phrase"', 1))
    byte = text.index('"phrase":') + len('"phrase"') + 1
    with pytest.raises(
        ValueError, match=rf"refer_train\.json is not valid JSON at byte {byte}: expecting ':' delimiter"
    ):
        read(layout.root)


def test_a_list_of_images_without_sizes_stops_and_names_the_byte(layout):
    path = layout.write() / "image_data_split3000.json"
    path.write_text('[{"image_id": 1, "height": 40}]')

    message = r"image_data_split3000\.json, byte 1: expected an image with numbers image_id, height and width, found \{"
    with pytest.raises(ValueError, match=message):
        read(layout.root)
    path.write_text('[{"image_id": 1, "height": 40, "width": Infinity}]')
    with pytest.raises(ValueError, match=message):
        read(layout.root)


def test_the_fingerprint_notices_what_changes_the_rows(layout):
    root = layout.write()

    def fingerprint():
        return PhraseCutFiles(root, unpack_dir=root.parent / "unpacked").fingerprint()

    before = fingerprint()
    (root / "notes.txt").write_text("on the shelf beside the annotations")
    assert fingerprint() != before  # one of the files where the images are
    (root / "notes.txt").unlink()
    assert fingerprint() == before
    change_task(phrase="blue box")(layout, root)
    changed = fingerprint()
    assert changed != before
    resize_image(layout, root)
    assert fingerprint() not in (before, changed)


def test_the_summary_counts_and_gives_examples(tmp_path):
    summary, other = BuildSummary(rows=2, phrases=5), BuildSummary(rows=1, phrases=1)
    for number in range(7):
        summary.note("missing_image", f"image {number}")
    other.note("missing_image", "image 7")
    other.note("short_polygon", "task 9__0")
    other.filtered["phrase names pascal"] += 1200
    summary.add(other)
    summary.save(tmp_path / "summary.json")

    assert BuildSummary.load(tmp_path / "summary.json") == summary
    assert str(summary) == (
        "3 rows with 6 phrases.\n"
        "  8 x missing_image: the image file is not there; left the image out "
        "(image 0, image 1, image 2, image 3, image 4, ...)\n"
        "  1 x short_polygon: the polygon has fewer than 3 points; left that polygon out (task 9__0)\n"
        "  1,200 x filtered out: phrase names pascal"
    )
    assert set(FLAWED) | {"known_wrong_size", "empty_mask"} <= set(FLAWS)
