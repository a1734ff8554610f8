"""Text files as people write them on Windows, in every layout and recipe."""

import json
import os
import re

import pytest

from clipseg_hf._text_files import parse_json, read_text, short_repr
from clipseg_hf.data.sources import load_segmentation_dataset
from clipseg_hf.data.sources.classes import make_class_table
from clipseg_hf.evaluation.benchmarks.subsets import PhraseCutSubsets
from clipseg_hf.training import CLIPSegTrainingArguments

NOT_UTF8 = ["utf-16", "utf-16-le", "utf-16-be", "utf-32"]


def as_on_windows(path, encoding="utf-8-sig"):
    """The same text with a byte order mark and CRLF."""
    path.write_bytes(path.read_text(encoding="utf-8").replace("\n", "\r\n").encode(encoding))


def test_marks_and_line_ends_are_no_part_of_a_text(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffeins\r\nzwei\rdr\u00e4i\u2028\n".encode())
    assert read_text(tmp_path / "a.txt") == "eins\nzwei\ndr\u00e4i\u2028\n"
    (tmp_path / "a.txt").write_bytes(b"")
    assert read_text(tmp_path / "a.txt") == ""


@pytest.mark.parametrize("encoding", NOT_UTF8)
def test_other_encodings_are_named(tmp_path, encoding):
    (tmp_path / "a.txt").write_bytes("road\n".encode(encoding))
    name = "UTF-32" if encoding == "utf-32" else "UTF-16"
    with pytest.raises(ValueError, match=rf"a\.txt is in {name}\. Save it as UTF-8\."):
        read_text(tmp_path / "a.txt")


def test_a_byte_that_is_no_utf8_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes("caf\u00e9".encode("cp1252"))
    with pytest.raises(ValueError, match=r"a\.txt is not UTF-8 at byte 3: .*Save it as UTF-8\."):
        read_text(tmp_path / "a.txt")


def test_a_pipe_or_device_is_no_text(tmp_path):
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(ValueError, match=r"a\.txt is a device or a pipe, expected a file\."):
        read_text(tmp_path / "a.txt")
    (tmp_path / "b.txt").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"b\.txt is a device or a pipe, expected a file\."):
        read_text(tmp_path / "b.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1,", "a.json is not valid JSON, column 4: Expecting value."),
        ("[\n1,", "a.json is not valid JSON, line 2, column 3: Expecting value."),
        ("9" * 5000, "a.json is JSON that cannot be read: Exceeds the limit (4300 digits)"),
        ("[" * 100_000, "a.json is JSON that cannot be read: maximum recursion depth exceeded"),
    ],
)
def test_json_that_cannot_be_read_is_named(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_json(text, "a.json")


def test_values_in_errors_are_short_however_large():
    bomb = ["x"]
    for _ in range(40):
        bomb = [bomb, bomb]
    assert len(short_repr(bomb)) < 1000 and len(short_repr("x" * 10**6)) < 200
    assert short_repr(16**5000) == "a very large int"
    assert short_repr("many") == "'many'"


TEXTS = {
    "coco": "coco/result.json",
    "voc": "voc/VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt",
    "imagefolder": "imagefolder/metadata.jsonl",
    "index_masks": "index_masks/classes.txt",
    "phrasecut": "phrasecut/refer_train.json",
    "yolo": "yolo/data.yaml",
    "labelme": "labelme/1.json",
    "label_studio": "label_studio/project-3.json",
    "refcoco": "refcoco/refs(unc).json",
    "reasonseg": "reasonseg/train/1.json",
    "cvat_masks": "cvat_masks/labelmap.txt",
}


@pytest.mark.parametrize("kind", TEXTS)
def test_every_layout_is_read_as_written_on_windows(layouts, kind):
    text = layouts / TEXTS[kind]
    if text.suffix == ".json":
        text.write_text(json.dumps(json.loads(text.read_text()), indent=1))
    as_on_windows(text)
    if kind == "phrasecut":
        as_on_windows(layouts / "phrasecut" / "image_data_split.json")

    rows = load_segmentation_dataset(layouts / kind, "train", strict=True, cache_dir=layouts / "cache")

    assert [entry["phrase"] for entry in rows[0]["phrases"]] == ["aeroplane" if kind == "voc" else "box"]


@pytest.mark.parametrize("kind", TEXTS)
def test_every_layout_names_a_file_in_utf16(layouts, kind):
    as_on_windows(layouts / TEXTS[kind], "utf-16")

    with pytest.raises(ValueError, match=r"is in UTF-16\. Save it as UTF-8\."):
        load_segmentation_dataset(layouts / kind, "train", cache_dir=layouts / "cache")


def test_tables_classes_recipes_and_counts(layouts):
    line = json.loads((layouts / "imagefolder" / "metadata.jsonl").read_text())
    (layouts / "imagefolder" / "metadata.jsonl").unlink()
    table = layouts / "imagefolder" / "metadata.csv"
    table.write_text(",".join(line) + "\n" + ",".join(line.values()) + "\n")
    as_on_windows(table)
    assert (
        len(load_segmentation_dataset(layouts / "imagefolder", "train", strict=True, cache_dir=layouts / "cache")) == 1
    )
    files = {"classes.json": '["background", "road"]', "labels.txt": "0: background\n1: road\n"}
    files |= {"recipe.yaml": "seed: 7\nmax_steps: 3\n", "counts.json": '{"cat": [["dog", 2]], "att": []}'}
    for name, text in files.items():
        (layouts / name).write_text(text)
        as_on_windows(layouts / name)
    for name in ("classes.json", "labels.txt"):
        assert make_class_table(layouts / name).names == {0: "background", 1: "road"}
    assert CLIPSegTrainingArguments.from_yaml(layouts / "recipe.yaml").seed == 7
    assert PhraseCutSubsets.from_counts(layouts / "counts.json")
