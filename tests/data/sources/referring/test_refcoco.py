"""RefCOCO's expressions: from JSON, never from a pickle."""

import json
import pickle
import shlex
import subprocess
import sys

import pytest

from clipseg_hf.data.sources.loading import load_segmentation_dataset, recognise
from clipseg_hf.data.sources.referring.refcoco import RefCocoFiles

SQUARE, CORNER = [0, 0, 10, 0, 10, 10, 0, 10], [25, 15, 30, 15, 30, 20, 25, 20]


def reference(number, annotation, *sentences, split="train", image=1):
    said = [
        {"sent_id": i, "raw": text.upper(), "sent": text, "tokens": text.split()} for i, text in enumerate(sentences)
    ]
    return {"ref_id": number, "ann_id": annotation, "image_id": image, "split": split, "sentences": said}


@pytest.fixture
def root(tmp_path, make):
    """Two things in one picture, as COCO has them."""
    root = tmp_path / "refcoco"
    image = {"id": 1, "file_name": "COCO_train2014_000000000001.jpg", "height": 20, "width": 30}
    annotations = [
        {"id": number, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": [polygon]}
        for number, polygon in ((7, SQUARE), (8, CORNER))
    ]
    content = {"images": [image, {**image, "id": 2, "file_name": "2.jpg"}], "annotations": annotations}
    make.save_json(root / "instances.json", {**content, "categories": [{"id": 1, "name": "traffic_light"}]})
    make.save_image(tmp_path / "train2014" / image["file_name"])
    return root


def test_each_expression_is_a_phrase(root, make, read, masks_of):
    refs = [
        reference(0, 7, "left (big) light", "left light", "Left light"),
        reference(1, 8, "left light", "small_one"),
        reference(2, 8, "other", split="testA"),
    ]
    make.save_json(root / "refs(unc).json", refs)

    [row], summary = read(RefCocoFiles, root, images="../train2014")

    phrases = [(entry["phrase_id"], entry["phrase"], entry["name"], entry["boxes"]) for entry in row["phrases"]]
    assert phrases == [
        ("0__0", "left (big) light", "traffic light", [[0, 0, 10, 10]]),
        ("0__1", "left light", "traffic light", [[0, 0, 10, 10]]),
        ("1__0", "left light", "traffic light", [[25, 15, 5, 5]]),
        ("1__1", "small_one", "traffic light", [[25, 15, 5, 5]]),
    ]
    assert masks_of(row)["small_one"].sum() == 25 and not summary.flaws
    source = RefCocoFiles(root, images="../train2014", unpack_dir=root)
    assert source.splits == ("train", "testA") and recognise(root) == "refcoco"


class Trap:
    """Unpickled, it writes a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


def test_a_pickle_is_refused_and_converted_by_what_the_error_says(root, tmp_path, read):
    (root / "refs(unc).p").write_bytes(pickle.dumps(Trap(tmp_path / "ran")))

    with pytest.raises(ValueError, match=r"refs\(unc\)\.p is a pickle: to read it is to run whatever") as raised:
        load_segmentation_dataset(root, cache_dir=tmp_path / "cache")

    assert not (tmp_path / "ran").exists()
    (root / "refs(unc).p").write_bytes(pickle.dumps([reference(0, 7, "left light")], protocol=2))
    _, *command = shlex.split(str(raised.value).splitlines()[-1])
    subprocess.run([sys.executable, *command], cwd=root, check=True)
    [row], _ = read(RefCocoFiles, root, images="../train2014")
    assert [entry["phrase"] for entry in row["phrases"]] == ["left light"]


def test_whose_splits_can_be_said(root, make, read):
    for name, text in (("google", "one"), ("umd", "two")):
        make.save_json(root / f"refs({name}).json", [reference(0, 7, text)])
    (root / "refs(unc).p").write_bytes(b"")  # what can be read goes first

    def phrase(**options):
        [row], _ = read(RefCocoFiles, root, images="../train2014", **options)
        return row["phrases"][0]["phrase"]

    assert (phrase(), phrase(split_by="google")) == ("two", "one")
    with pytest.raises(ValueError, match="is a pickle"):
        phrase(split_by="unc")
    with pytest.raises(
        FileNotFoundError, match=r"There is no refs\(berkeley\)\.json in .*Found: instances\.json, refs"
    ):
        phrase(split_by="berkeley")
    (root / "instances.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"There is no instances\.json in .*Expected refs\(unc\)\.json, inst"):
        phrase()


def test_every_flaw_is_named(root, make, read):
    content = json.loads((root / "instances.json").read_text())
    content["annotations"].append({"id": 9, "image_id": 1, "category_id": 1, "segmentation": []})
    content["annotations"].append({"id": 10, "image_id": 1, "segmentation": [[90, 90, 99, 90, 99, 99]]})
    make.save_json(root / "instances.json", content)
    refs = [reference(0, 7, "a", " "), reference(1, 99, "b"), reference(2, 8, "c", image=3), reference(3, 9, "d"), 7]
    refs += [reference(4, 8, "e", image=2), reference(5, 10, "f"), {"ref_id": 6, "sentences": []}]
    make.save_json(root / "refs(unc).json", refs)

    rows, summary = read(RefCocoFiles, root, images="../train2014")

    assert [[entry["phrase"] for entry in row["phrases"]] for row in rows] == [["a"]]
    malformed = summary.examples.pop("malformed_entry")
    assert malformed[0].endswith("of refs(unc).json ('int' object is not subscriptable)")
    assert malformed[1].endswith("of refs(unc).json (no 'image_id')")
    assert malformed[2:] == [
        "ref 1 (annotation 99 is not there)",
        "annotation 9 of ref 3 (segmentation is empty)",
    ]
    assert summary.examples == {
        "unknown_image": ["ref 2 of image 3"],
        "missing_image": ["2.jpg (image 2)"],
        "empty_phrase": ["ref 0"],
        "empty_mask": ["annotation 10 of ref 5"],
    }


def test_lists_for_ids_are_named(root, make, read):
    content = json.loads((root / "instances.json").read_text())
    content["annotations"] += [{"id": [7]}, {**content["annotations"][0], "id": 9, "category_id": [1]}]
    make.save_json(root / "instances.json", {**content, "images": [*content["images"], {"id": [1]}]})
    refs = [{**reference(0, 7, "a"), "ann_id": [7]}, {**reference(1, 7, "b"), "image_id": [1]}, reference(2, 9, "c")]
    make.save_json(root / "refs(unc).json", refs)

    [row], summary = read(RefCocoFiles, root, images="../train2014")

    assert [entry["phrase"] for entry in row["phrases"]] == ["c"]
    assert [note.split(" (")[1] for note in summary.examples["malformed_entry"]] == [
        "ann_id is [7])",
        "image_id is [1])",
    ]


def test_splits_that_have_no_name_are_named(root, make, read):
    refs = [reference(0, 7, "a", split="\0"), reference(1, 7, "b", split=-0.0), reference(2, 7, "c", split="../x")]
    make.save_json(root / "refs(unc).json", [*refs, reference(3, 7, "d", split="testA"), reference(4, 7, "e")])

    [row], summary = read(RefCocoFiles, root, images="../train2014")

    assert [entry["phrase"] for entry in row["phrases"]] == ["e"]
    assert [note.split(" (")[1] for note in summary.examples["malformed_entry"]] == [
        "split is '\\x00')",
        "split is -0.0)",
        "split is '../x')",
    ]
