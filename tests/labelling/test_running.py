"""Many pictures: the rows are those of `Segmenter`, cut off or not, and a run never mixes two questions."""

import json
import shutil

import datasets
import numpy as np
import pytest
from PIL import Image

from clipseg_hf.data import load_segmentation_dataset
from clipseg_hf.inference import GuidedFilter, MaskOperations, Segmenter
from clipseg_hf.inference.inputs.model_files import digest_files
from clipseg_hf.labelling import label_pictures, read_rows
from clipseg_hf.modeling.layers import matrix_code
from clipseg_hf.modeling.layers.onednn import choices
from clipseg_hf.processing import decode_rle
from labelling.conftest import PROMPTS

NAMES = ["0.png", "1.png", "2.png", "3.png", "4.png", "more/5.png", "more/6.png"]
BROKEN = "2.png"


def label(data, out, checkpoint, prompts=PROMPTS, **options):
    said = []
    options = {"model": checkpoint, "device": "cpu", "shard_size": 2, "echo": said.append} | options
    return label_pictures(data, prompts, out, **options), said


def test_rows_are_what_the_segmenter_finds(pictures, tmp_path, checkpoint):
    run, said = label(pictures, tmp_path / "out", checkpoint)
    rows = list(read_rows(run.folder))
    assert [(row["image"], row["label"]) for row in rows] == [
        (name, label) for name in NAMES for label in ([None] if name == BROKEN else PROMPTS)
    ]
    segmenter = Segmenter.from_pretrained(checkpoint, device="cpu")
    for name in NAMES:
        found = [row for row in rows if row["image"] == name]
        if name == BROKEN:
            assert found[0]["error"].startswith("2.png (") and "is damaged or cut off" in found[0]["error"]
            continue
        [expected] = segmenter(pictures / name, PROMPTS)
        size = [expected.image.height, expected.image.width]
        assert [row["box"] for row in found] == expected.boxes
        assert [row["is_present"] for row in found] == expected.is_present
        np.testing.assert_allclose([row["score"] for row in found], expected.scores, atol=1e-6)
        np.testing.assert_allclose([row["presence"] for row in found], expected.presence, atol=1e-6)
        for row, mask in zip(found, expected.masks, strict=True):
            assert np.array_equal(decode_rle({"size": size, "counts": row["rle"]}), mask)
            assert sum(part["area"] for part in row["objects"]) == row["area"] == mask.sum()
    assert run.pictures == 6 and list(run.broken) == [BROKEN]
    assert said[0].startswith("7 pictures x 3 prompts: ")
    assert said[-2:] == ["1 picture could not be read:", f"  {run.broken[BROKEN]}"]


def test_borders_follow_the_pictures(pictures, tmp_path, checkpoint):
    run, _ = label(pictures, tmp_path / "out", checkpoint, guided_filter=GuidedFilter(), processes=2)
    segmenter = Segmenter.from_pretrained(checkpoint, device="cpu", guided_filter=GuidedFilter())
    rows = [row for row in read_rows(run.folder) if row["image"] == "0.png"]
    [expected] = segmenter(pictures / "0.png", PROMPTS)
    assert [row["area"] for row in rows] == expected.areas


def test_labels_are_in_the_order_of_the_pictures(pictures, tmp_path, checkpoint):
    run, _ = label(pictures, tmp_path / "out", checkpoint, formats=["coco", "yolo"], min_presence=0, license="cc0")
    content = json.loads((run.labels["coco"] / "annotations" / "instances_default.json").read_text())
    files = [name.replace("/", "_") for name in NAMES if name != BROKEN]
    assert [image["file_name"] for image in content["images"]] == files
    parts = sum(len(row["objects"] or ()) for row in read_rows(run.folder))
    assert len(content["annotations"]) == parts > 10
    assert [category["name"] for category in content["categories"]] == list(PROMPTS)
    assert content["licenses"][0]["name"] == "cc0"
    rows = load_segmentation_dataset(run.labels["coco"], split="train", cache_dir=tmp_path / "cache")
    assert sum(len(row["phrases"]) for row in rows) == sum(1 for row in read_rows(run.folder) if row["area"])
    assert (run.labels["yolo"] / "data.yaml").is_file()


def test_it_goes_on_where_it_was_cut_off(pictures, tmp_path, checkpoint):
    run, _ = label(pictures, tmp_path / "out", checkpoint, formats=["coco"])
    rows, shards = list(read_rows(run.folder)), sorted((run.folder / "shards").iterdir())
    assert [path.name for path in shards] == [f"00000{number}.parquet" for number in range(4)]
    times = {path: path.stat().st_mtime_ns for path in shards}
    shards[2].unlink()
    (run.folder / "shards" / ".000002.parquet.elsewhere.1.draft").write_bytes(b"PAR1 and no more")
    shutil.rmtree(run.folder / "coco")
    (run.folder / ".coco.draft").mkdir()
    (run.folder / ".coco.draft" / "half").touch()

    again, said = label(pictures, run.folder, checkpoint, formats=["coco"])

    assert said[0] == "3 of 4 shards are there from an earlier run."
    assert list(read_rows(run.folder)) == rows
    assert [path for path in shards if path.stat().st_mtime_ns != times[path]] == [shards[2]]
    assert not (again.labels["coco"] / "half").exists()
    third, said = label(pictures, run.folder, checkpoint, formats=["coco"])  # nothing is left to do but the labels
    assert list(read_rows(run.folder)) == rows and "a second" not in " ".join(said)
    assert third.broken == run.broken


def test_all_of_a_run_is_computed_by_the_code_that_it_was_begun_with(pictures, tmp_path, checkpoint, monkeypatch):
    monkeypatch.setattr(matrix_code, "_kept", {})
    run, _ = label(pictures, tmp_path / "out", checkpoint)
    manifest = json.loads((run.folder / "run.json").read_text())
    assert manifest["matrix_code"] == choices()
    if not manifest["matrix_code"]:
        pytest.skip("this processor has one code alone")
    other = {name: not is_used for name, is_used in manifest["matrix_code"].items()}
    (run.folder / "run.json").write_text(json.dumps(manifest | {"matrix_code": other}))
    next(iter(sorted(run.folder.glob("shards/*.parquet")))).unlink()
    label(pictures, run.folder, checkpoint)
    assert choices() == other


def test_nothing_is_loaded_where_nothing_is_left(pictures, tmp_path, checkpoint, monkeypatch):
    run, _ = label(pictures, tmp_path / "out", checkpoint)
    rows, load, loaded = list(read_rows(run.folder)), Segmenter.from_pretrained, []

    def note(name, **options):
        loaded.append(name)
        return load(name, **options)

    monkeypatch.setattr(Segmenter, "from_pretrained", note)
    copied = tmp_path / "copied"
    shutil.copytree(checkpoint, copied)
    for model, options in ((checkpoint, {}), (copied, {"processes": 2}), (checkpoint, {"review": 1})):
        again, _ = label(pictures, run.folder, str(model), formats=["coco"], **options)
        assert again.labels["coco"].is_dir() and list(read_rows(run.folder)) == rows
    assert not loaded
    (run.folder / "shards" / "000001.parquet").unlink()
    label(pictures, run.folder, checkpoint)
    assert loaded == [checkpoint] and list(read_rows(run.folder)) == rows
    # the same model with another file beside it is loaded to be told
    (copied / "notes.json").write_text("{}")
    label(pictures, run.folder, str(copied))
    assert loaded == [checkpoint, str(copied)]


def test_files_that_do_not_say_everything(tmp_path, checkpoint):
    assert digest_files("no-one/has-this") is None
    decoder = tmp_path / "decoder"
    shutil.copytree(checkpoint, decoder)
    whole = digest_files(str(decoder))
    assert whole == digest_files(checkpoint)
    (decoder / "model.safetensors").rename(decoder / "decoder.safetensors")
    assert digest_files(str(decoder)) is None  # its CLIP is elsewhere


def test_what_is_different_is_named(pictures, tmp_path, checkpoint):
    out = tmp_path / "out"
    label(pictures, out, checkpoint)
    other = tmp_path / "other-model"
    shutil.copytree(checkpoint, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"mask_thresholds": {"text": 0.7}}))

    def refuse(*lines, prompts=PROMPTS, **options):
        with pytest.raises(ValueError) as caught:
            label(pictures, out, checkpoint, prompts, **options)
        first, *found, last = str(caught.value).splitlines()
        assert first == f"{out} holds a run with other settings, and rows of both would be mixed up:"
        assert len(found) == len(lines) and all(line in text for line, text in zip(lines, found, strict=True))
        assert last == "Give what it was started with to go on with it, or name a new folder."

    refuse("  model: '", model=str(other))
    refuse("  prompts: gone: a dog; new: a wolf", prompts=["a cat", "a wolf", PROMPTS[2]])
    refuse("  prompts: in another order", prompts=PROMPTS[::-1])
    refuse("  threshold: None, now 0.5", threshold=0.5)
    refuse("  operations: min_area 0, now 9", operations=MaskOperations(min_area=9))
    refuse("  guided_filter: None, now ", guided_filter=GuidedFilter())
    refuse("  number of pictures in a shard: 2, now 3", shard_size=3)
    Image.new("RGB", (9, 9)).save(pictures / "3.png")
    Image.new("RGB", (9, 9)).save(pictures / "new.png")
    (pictures / "0.png").unlink()
    refuse("  pictures: gone: 0.png; new: new.png; changed: 3.png (")


def test_data_sets(pictures, tmp_path, checkpoint):
    names = [name for name in NAMES if name != BROKEN]
    images = {"picture": [{"bytes": (pictures / name).read_bytes(), "path": None} for name in names]}
    rows = datasets.Dataset.from_dict(images, features=datasets.Features({"picture": datasets.Image()}))
    rows.save_to_disk(tmp_path / "saved")
    (tmp_path / "parquet").mkdir()
    rows.to_parquet(tmp_path / "parquet" / "train.parquet")
    expected, _ = label(pictures, tmp_path / "files", checkpoint)
    masks = [row["rle"] for row in read_rows(expected.folder) if row["error"] is None]
    for data in ("saved", "parquet"):
        out = tmp_path / f"out-{data}"
        run, _ = label(tmp_path / data, out, checkpoint, column="picture", formats=["coco"], shard_size=4)
        found = list(read_rows(run.folder))
        assert [row["rle"] for row in found] == masks
        assert [row["image"] for row in found[:4]] == ["train-00000000"] * 3 + ["train-00000001"]
        assert (run.labels["coco"] / "images" / "train-00000005.png").read_bytes() == images["picture"][5]["bytes"]
    with pytest.raises(ValueError, match=r"saved has no column 'image': name that of the images\. It has picture\."):
        label(tmp_path / "saved", tmp_path / "no", checkpoint)


def test_errors(pictures, tmp_path, checkpoint):
    def refuse(error, message, data=pictures, out=tmp_path / "out", **options):
        with pytest.raises(error, match=message):
            label(data, out, checkpoint, **options)
        assert not (tmp_path / "out").exists()

    refuse(FileNotFoundError, "There is no folder .*nowhere", data=tmp_path / "nowhere")
    refuse(ValueError, "0.png is a file; expected a folder of images, or a data set", data=pictures / "0.png")
    (tmp_path / "empty").mkdir()
    refuse(ValueError, "There are no images in .*empty, nor in the folders below it", data=tmp_path / "empty")
    refuse(ValueError, "Labels are written as coco, .*; got png", formats=["png"])
    refuse(ValueError, "GeoJSON needs georeferenced pictures; 0.png has neither a place", formats=["geojson"])
    refuse(ValueError, "processes is at least 1, got 0", processes=0)
    refuse(ValueError, "shard_size is at least 1, got -1", shard_size=-1)
    refuse(ValueError, "holds other things than a run of `clipseg-hf label`: name a new folder", out=pictures)


def test_one_prompt_may_be_a_string(pictures, tmp_path, checkpoint):
    run, _ = label(pictures, tmp_path / "out", checkpoint, "red")
    assert {row["label"] for row in read_rows(run.folder) if row["error"] is None} == {"red"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prompts": ["red", "red"]}, r"Prompts are asked once each; several times there is 'red'\."),
        ({"prompts": ["red", " "]}, "Prompts are texts, none of them empty; got 'red', ' '"),
        ({"threshold": 5}, r"A threshold is a probability in \[0, 1\], got \[5\.0"),
        ({"min_presence": 7}, r"min_presence is a probability in \[0, 1\], got 7"),
    ],
)
def test_what_cannot_be_asked_begins_no_run(given, message, pictures, tmp_path, checkpoint):
    with pytest.raises(ValueError, match=message):
        label(pictures, tmp_path / "out", checkpoint, **given)
    assert not (tmp_path / "out").exists()


def test_there_are_no_rows_where_there_is_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no run of `clipseg-hf label`: there is no shards/ in it"):
        next(read_rows(tmp_path))
