"""The command line: what it writes, what it says, and that what a user can mend ends with one line and exit code 2."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from clipseg_hf import assets
from clipseg_hf.assets import EMOJI_SCENES, EMOJI_TINY
from clipseg_hf.cli import app
from clipseg_hf.evaluation import BENCHMARKS, BenchmarkOptions
from clipseg_hf.evaluation.__main__ import Benchmark
from clipseg_hf.processing import decode_rle, load_map

_spec = importlib.util.spec_from_file_location("small_models", Path(__file__).parent / "inference" / "conftest.py")
small_models = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small_models)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return small_models.make_checkpoint(tmp_path_factory.mktemp("models") / "tiny-clipseg")


@pytest.fixture
def folder(tmp_path, monkeypatch, checkpoint) -> Path:
    """Where the commands run: some pictures, and a small checkpoint in place of the embedded one."""
    random = np.random.default_rng(0)
    for name, size in (("x.jpg", (60, 80)), ("other/x.jpg", (90, 50)), ("example.png", (40, 40))):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
    Image.fromarray(np.eye(40, dtype=bool)).save(tmp_path / "mask.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(assets, "EMOJI_TINY", str(checkpoint))
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="clipseg-hf")


def succeed(*arguments) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def fail(*arguments) -> str:
    """What a failure says."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ") and result.stderr.count("error: ") == 1
    return result.stderr.removeprefix("error: ").removesuffix("\n")


# segment


def test_segment_images_of_one_name_by_two_prompts(folder):
    out = succeed(
        "segment", "x.jpg", "other/x.jpg", "--prompt", "a cat", "-p", "a dog", "--model", "emoji-tiny", "-o", "out"
    )
    stems = {"x": (60, 80), "x-2": (90, 50)}
    names = {f"{stem}{end}" for stem in stems for end in ("_a-cat.png", "_a-dog.png", "_overlay.png", ".json")}
    assert {path.name for path in (folder / "out").iterdir()} == names
    for stem, size in stems.items():
        record = json.loads((folder / "out" / f"{stem}.json").read_text())
        assert (record["height"], record["width"]) == size
        assert record["model"] == "emoji-tiny"
        for prompt in record["prompts"]:
            mask = load_map(folder / "out" / prompt["mask_file"])
            assert np.array_equal(mask > 0, decode_rle(prompt["rle"]))
            assert prompt["area"] == (mask > 0).sum()
            assert prompt["threshold"] == 0.5
    assert out.count("a cat  score") == 2
    assert "8 files are in out." in out


def test_segment_by_examples_and_mixtures(folder):
    example = ("segment", "x.jpg", "--image-prompt", "example.png", "--mask", "mask.png", "--model", "emoji-tiny")

    def kinds(*more) -> list[tuple[str, str]]:
        succeed(*example, "--save", "json", "-o", "out", "--overwrite", *more)
        assert [path.name for path in (folder / "out").iterdir()] == ["x.json"]
        return [(p["kind"], p["prompt"]) for p in json.loads((folder / "out" / "x.json").read_text())["prompts"]]

    assert kinds() == [("image", "like example.png")]
    assert kinds("--prompt", "a cat") == [("text", "a cat"), ("image", "like example.png")]
    assert kinds("--prompt", "a cat", "--mix", "0.3") == [("mixed", "a cat + like example.png")]
    assert kinds("--prompt", "a cat", "--mix", "own") == [("mixed", "a cat + like example.png")]
    for wrong in ("1.5", "half", "nan"):
        said = fail(*example, "--prompt", "a cat", "-o", "out", "--mix", wrong)
        assert f"--mix is the image's share, in [0, 1], or own: got '{wrong}'." in said


def test_segment_into_one_label_map(folder):
    succeed(
        *("segment", "x.jpg", "-p", "a cat", "-p", "a dog", "--model", "emoji-tiny", "--threshold", 0.4),
        *("--semantic", "--save", "masks", "--save", "json", "-o", "out"),
    )
    label_map = load_map(folder / "out" / "x_labels.png")
    assert label_map.shape == (60, 80)
    areas = [prompt["area"] for prompt in json.loads((folder / "out" / "x.json").read_text())["prompts"]]
    assert [int((label_map == number).sum()) for number in (1, 2)] == areas
    assert min(areas) > 0


def test_save_all_and_never_over_other_results(folder):
    command = ("segment", "x.jpg", "-p", "a cat", "--model", "emoji-tiny", "--save", "all", "-o", "out")
    assert "-> x_a-cat.png, x_overlay.png, x_a-cat_heat.png, x_a-cat_cutout.png, x_a-cat_soft.png" in succeed(*command)
    assert "-> x-2_a-cat.png" in succeed(*command, "--threshold", 0.2)  # another question
    assert "-> x_a-cat.png" in succeed(*command, "--overwrite")
    assert len(list((folder / "out").iterdir())) == 14


def test_a_folder_of_images_is_gone_on_with(folder):
    """One of three cannot be read at first."""
    (folder / "other" / "broken.jpg").write_text("no image")
    (folder / "other" / "notes.txt").write_text("no image either")
    Image.new("RGB", (40, 40)).save(folder / "other" / "y.PNG")
    command = ("segment", "other", "-p", "a cat", "--model", "emoji-tiny", "--save", "json", "-o", "out")
    result = run(*command)
    assert result.exit_code == 2
    assert "skipped: image (other/broken.jpg) is not an image that Pillow can read." in result.stdout
    assert result.stderr == "error: 1 of 3 images could not be read: broken.jpg.\n"
    assert {path.name for path in (folder / "out").iterdir()} == {"x.json", "y.json"}
    before = (folder / "out" / "x.json").stat().st_mtime_ns
    Image.new("RGB", (40, 40)).save(folder / "other" / "broken.jpg")
    out = succeed(*command)
    assert "2 of 3 images have their results from an earlier run" in out
    assert "-> broken.json" in out
    assert (folder / "out" / "x.json").stat().st_mtime_ns == before
    assert "3 of 3 images have their results" in succeed(*command, "--model", "emoji-tiny")
    assert "3 files are in out." in succeed(*command, "--overwrite")
    assert len(list((folder / "out").iterdir())) == 3
    assert "-> x_overlay.png, x.json" in succeed(*command, "--save", "overlay")  # what is lacking is made


def test_another_model_of_the_same_name_is_asked_anew(folder):
    """As after more training, in the folder of the same run."""
    shutil.copytree(EMOJI_TINY, folder / "model")
    command = ("segment", "x.jpg", "-p", "a cat", "--model", "model", "--save", "json", "-o", "out")
    assert "-> x.json" in succeed(*command)
    assert "1 of 1 images have their results" in succeed(*command)
    path = folder / "model" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"mask_thresholds": {**config["mask_thresholds"], "text": 0.9}}))
    assert "-> x-2.json" in succeed(*command)


def test_segment_into_labels_for_annotation_tools(folder):
    """Of all images, those of an earlier run, too."""
    command = ("segment", "x.jpg", "other", "-p", "a cat", "-p", "a dog", "--model", "emoji-tiny", "-o", "out")
    (folder / "other" / "broken.jpg").write_text("no image")
    formats = ("--format", "coco", "--format", "yolo", "--format", "label_studio", "--license", "CC0")
    assert run(*command, *formats, "--save", "json").exit_code == 2
    Image.new("RGB", (40, 40)).save(folder / "other" / "broken.jpg")
    assert "Labels of 3 images as yolo are in out/yolo." in succeed(*command, *formats, "--save", "json")
    record = json.loads((folder / "out" / "coco" / "annotations" / "instances_default.json").read_text())
    assert [image["file_name"] for image in record["images"]] == ["x.jpg", "broken.jpg", "x-2.jpg"]
    assert [category["name"] for category in record["categories"]] == ["a cat", "a dog"]
    assert record["licenses"][0]["name"] == "CC0" and "emoji-tiny" in record["info"]["description"]
    assert len(json.loads((folder / "out" / "label_studio" / "tasks.json").read_text())) == 3
    assert {path.name for path in (folder / "out" / "yolo" / "labels").iterdir()} == {"x.txt", "x-2.txt", "broken.txt"}
    assert "Labels of 3 images as cvat are in out/cvat." in succeed(*command, "--format", "cvat", "--save", "json")


def test_labels_from_one_format_to_another(folder):
    (folder / "set" / "masks" / "dog").mkdir(parents=True)
    (folder / "set" / "images").mkdir()
    (folder / "x.jpg").rename(folder / "set" / "images" / "x.jpg")
    mask = np.zeros((60, 80), np.uint8)
    mask[3:9, 5:20] = mask[30:40, 50:60] = 255
    Image.fromarray(mask).save(folder / "set" / "masks" / "dog" / "x.png")
    assert "Labels of 1 image as yolo are in out." in succeed("relabel", "set", "-o", "out", "--format", "yolo")
    assert (folder / "out" / "labels" / "x.txt").read_text().count("\n") == 2
    again = succeed("relabel", "out", "-o", "again", "--format", "coco", "--license", "CC0")
    assert "Labels of 1 image as coco are in again." in again
    found = json.loads((folder / "again" / "annotations" / "instances_default.json").read_text())["annotations"]
    assert sorted(entry["area"] for entry in found) == [90, 100]
    assert "out is not empty; name a new folder" in fail("relabel", "set", "-o", "out", "--format", "yolo")


def test_segment_into_geojson(folder):
    rasterio = pytest.importorskip("rasterio", reason="The extra `tiff` is missing.")
    features, warp = (pytest.importorskip(f"rasterio.{name}") for name in ("features", "warp"))
    scene = np.moveaxis(np.asarray(Image.open(f"{EMOJI_SCENES}/images/9.jpg").convert("RGB")), -1, 0)
    options = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": scene.shape[1], "width": scene.shape[2]}
    options |= {"crs": "EPSG:32632", "transform": rasterio.Affine(1, 0, 500_000, 0, -1, 5_000_000)}
    with rasterio.open("field.tif", "w", **options) as file:
        file.write(scene)
    command = ("-p", "dog", "--model", "emoji-tiny", "-o", "out", "--format", "geojson", "--save", "json")
    assert "needs georeferenced pictures; x.jpg has neither" in fail("segment", "field.tif", "x.jpg", *command)
    assert "Labels of 1 image as geojson are in out/geojson." in succeed("segment", "field.tif", *command)
    record = json.loads((folder / "out" / "geojson" / "labels.geojson").read_text())
    assert record["features"] and all(feature["properties"]["label"] == "dog" for feature in record["features"])
    with rasterio.open("field.tif") as file:
        shapes = [warp.transform_geom("OGC:CRS84", file.crs, one["geometry"]) for one in record["features"]]
        drawn = features.rasterize(shapes, (file.height, file.width), transform=file.transform)
    found = json.loads((folder / "out" / "field.json").read_text())["prompts"][0]
    assert drawn.sum() == found["area"] and np.array_equal(drawn, decode_rle(found["rle"]))


def test_segment_into_masks_that_can_be_used_as_they_come(folder):
    command = ("segment", "x.jpg", "-p", "a cat", "--model", "emoji-tiny")
    succeed(*command, "-o", "plain")
    succeed(*command, "-o", "out", "--save", "all", "--invert", "--min-area", "0.001", "--objects")
    plain, record = (json.loads((folder / name / "x.json").read_text()) for name in ("plain", "out"))
    assert record["asked"]["operations"]["invert"] is True and record["asked"]["operations"]["min_area"] == 0.001
    (before,), (after,) = plain["prompts"], record["prompts"]
    assert after["area"] >= 60 * 80 - before["area"] > 0
    assert sum(part["area"] for part in after["objects"]) == after["area"]
    assert Image.open(folder / "out" / "x_a-cat_cutout.png").mode == "RGBA"
    assert "erode is a size of 0 or more, got -1" in fail(*command, "-o", "out", "--erode=-1")


def test_segment_an_archive_and_a_pattern(folder):
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        archive.write("x.jpg", "one/x.jpg")
        archive.writestr("one/broken.png", b"no image")
    command = ("segment", "photos.zip", "o*er/*.jpg", "-p", "a cat", "--model", "emoji-tiny", "-o", "out")
    result = run(*command, "--format", "coco")
    assert result.exit_code == 2 and "1 of 3 images could not be read: broken.png." in result.stderr
    records = [json.loads((folder / "out" / name).read_text()) for name in ("x.json", "x-2.json")]
    assert [record["image"] for record in records] == ["photos.zip/one/x.jpg", "other/x.jpg"]
    succeed("segment", "x.jpg", "-p", "a cat", "--model", "emoji-tiny", "-o", "alone")
    assert records[0]["prompts"][0]["rle"] == json.loads((folder / "alone" / "x.json").read_text())["prompts"][0]["rle"]
    assert "2 of 3 images have their results from an earlier run" in run(*command, "--format", "coco").stdout


def test_segment_data_sets(folder, monkeypatch):
    """Rows that hold their pictures, one of them broken; and the pictures of an annotated data set."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
    photos = [{"bytes": Path(name).read_bytes(), "path": None} for name in ("x.jpg", "other/x.jpg")]
    photos.insert(1, {"bytes": b"no image", "path": None})
    features = datasets.Features({"photo": datasets.Image(decode=False)})
    datasets.Dataset.from_list([{"photo": photo} for photo in photos], features).save_to_disk("saved")
    command = ("-p", "a cat", "--model", "emoji-tiny", "--save", "json", "--format", "coco")
    result = run("segment", "saved", "--column", "photo", *command, "-o", "out")
    assert result.exit_code == 2 and "1 of 3 images could not be read: train-00000001." in result.stderr
    assert "saved/train-00000001\n  skipped: " in result.stdout
    again = run("segment", "saved", "--column", "photo", *command, "-o", "out")
    assert "2 of 3 images have their results from an earlier run" in again.stdout
    names = [f"train-{number:08}" for number in (0, 2)]
    assert sorted(path.name for path in (folder / "out").glob("*.json")) == [f"{name}.json" for name in names]
    coco = json.loads((folder / "out" / "coco" / "annotations" / "instances_default.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == [f"{name}.jpg" for name in names]
    assert (folder / "out" / "coco" / "images" / f"{names[1]}.jpg").read_bytes() == photos[2]["bytes"]
    succeed("segment", "x.jpg", *command, "-o", "alone")
    alone, first = (json.loads((folder / name).read_text()) for name in ("alone/x.json", f"out/{names[0]}.json"))
    assert alone["prompts"] == first["prompts"]

    assert "out2" in succeed("segment", "alone/coco", *command, "-o", "out2")
    record = json.loads((folder / "out2" / "x.json").read_text())
    assert Path(record["image"]) == folder / "alone" / "coco" / "images" / "x.jpg"
    assert "has no split 'val'" in fail("segment", "saved", "--column", "photo", "--split", "val", *command, "-o", "no")


def test_segment_frames_of_a_video(folder):
    av = pytest.importorskip("av")
    with av.open("clip.mp4", "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 50 * number, np.uint8))))
        container.mux(stream.encode())
    command = ("segment", "clip.mp4", "--every", "2", "-p", "a cat", "--model", "emoji-tiny", "-o", "out")
    succeed(*command, "--save", "json")
    names = [f"clip-{number:06}.json" for number in (0, 2, 4)]
    assert sorted(path.name for path in (folder / "out").iterdir()) == names
    (folder / "out" / names[1]).unlink()
    assert "2 of 3 images have their results" in succeed(*command, "--save", "json")
    assert (folder / "out" / names[1]).exists()


def test_segment_large_images_by_tiles(folder):
    command = ("segment", "large", "-p", "a cat", "--model", "emoji-tiny", "-o", "out")
    (folder / "large").mkdir()
    pixels = np.random.default_rng(1).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    for name in ("a.tif", "b.tif", "c.png"):
        Image.fromarray(pixels).save(folder / "large" / name)
    broken = folder / "large" / "b.tif"
    broken.write_bytes(broken.read_bytes()[:50_000])
    result = run(*command, "--tiles")
    assert result.exit_code == 2 and "1 of 3 images could not be read: b.tif." in result.stderr
    a, c = (json.loads((folder / "out" / f"{name}.json").read_text()) for name in "ac")
    assert a["asked"]["tiling"] == {"tile_size": None, "overlap": 0.25, "prior_weight": 0.15}
    assert a["prompts"][0]["rle"] == c["prompts"][0]["rle"]
    broken.unlink()
    assert "2 of 2 images have their results from an earlier run" in succeed(*command, "--tiles")
    assert "-> a-2_a-cat.png" in succeed(*command, "--tile-size", "100")  # another question
    succeed(*command[:-1], "whole")
    whole = json.loads((folder / "whole" / "a.json").read_text())
    assert "tiling" not in whole["asked"] and whole["prompts"][0]["rle"] != a["prompts"][0]["rle"]
    succeed(*command[:-1], "edges", "--guided-filter")
    edges = json.loads((folder / "edges" / "a.json").read_text())
    assert edges["asked"]["guided_filter"] == {"radius": 8, "eps": 0.001, "limit": 4.0}
    assert edges["prompts"][0]["rle"] != whole["prompts"][0]["rle"]
    succeed(*command[:-1], "both", "--tiles", "--guided-filter")
    both = json.loads((folder / "both" / "a.json").read_text())
    assert {"tiling", "guided_filter"} <= both["asked"].keys()
    assert both["prompts"][0]["rle"] not in (a["prompts"][0]["rle"], edges["prompts"][0]["rle"])


def test_folders_that_cannot_be_segmented(folder):
    (folder / "empty").mkdir()
    assert "The folder empty holds no images (.jpg, .jpeg" in fail("segment", "empty", "-p", "a")
    assert "other is to be read and written" in fail("segment", "other", "-p", "a", "-o", "other")


def test_the_default_model_without_a_network(folder):
    line = fail("segment", "x.jpg", "--prompt", "a cat")
    assert line.startswith("CIDAS/clipseg-rd64-refined is not on this machine, and the Hugging Face Hub cannot be ")
    assert "--model emoji-tiny" in line
    assert not (folder / "segmented").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to look for: give --prompt TEXT, or --image-prompt FILE with --mask FILE."),
        (("none.jpg", "-p", "a"), "There is no image none.jpg."),
        (("-p", " "), "text[0] is an empty phrase"),
        (("-p", "a", "--image-prompt", "example.png", "--mask", "x.jpg"), "has colours"),
        (("--image-prompt", "example.png", "--mask", "big.png"), "is 80 x 80 pixels (height x width), but its picture"),
        (("-p", "a", "--mix", "0.5"), "--mix puts each --prompt together with the --image-prompt at the same place"),
        (("-p", "a", "--model", "./nowhere"), "There is no folder ./nowhere"),
        (("-p", "a", "--model", "other"), "other"),
        (("-p", "a", "--threshold", "50"), "'--threshold'"),
        (("-p", "a", "--save", "mask"), "'--save'"),
        (("-p", "a", "--promt", "b"), "No such option: --promt"),
        (("-p", "a", "--device", "abacus"), "abacus"),
        (("-p", "a", "-o", "mask.txt"), "mask.txt"),
    ],
)
def test_what_a_user_can_mend(folder, arguments, message):
    (folder / "mask.txt").write_text("no image")
    Image.new("1", (80, 80), 1).save(folder / "big.png")
    arguments = arguments if "--model" in arguments else (*arguments, "--model", "emoji-tiny")
    assert message in fail("segment", "x.jpg", *arguments)


def test_a_damaged_image_is_skipped(folder):
    (folder / "b.jpg").write_text("no image")
    result = run("segment", "x.jpg", "b.jpg", "other/x.jpg", "-p", "a", "--model", "emoji-tiny", "-o", "out")
    assert result.exit_code == 2
    assert result.stderr == "error: 1 of 3 images could not be read: b.jpg.\n"
    stems = {path.name.split("_")[0].split(".")[0] for path in (folder / "out").iterdir()}
    assert stems == {"x", "x-2"}


# label


def test_label_a_folder(folder):
    (folder / "prompts.txt").write_text("# animals\na cat\na dog\n")
    (folder / "broken.jpg").write_bytes(b"none")
    arguments = ("label", ".", "--prompts", "prompts.txt", "--model", "emoji-tiny", "-o", "out", "--format", "coco")
    said = succeed(*arguments, "--min-presence", 0)
    first, *_, rows, _, broken = said.splitlines()
    assert first.startswith("5 pictures x 2 prompts: ") and rows == "The rows of 4 pictures are in out/shards."
    assert broken.startswith("  broken.jpg (")
    content = json.loads((folder / "out" / "coco" / "annotations" / "instances_default.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["example.png", "mask.png", "other_x.jpg", "x.jpg"]
    assert fail(*arguments, "--threshold", "0.9").splitlines()[1] == "  threshold: None, now 0.9"
    (folder / "prompts.txt").write_text("\na cat\na cat\n")
    assert fail(*arguments) == "prompts.txt, line 3: 'a cat' is in line 2 already."


# errors, help


@pytest.mark.parametrize("arguments", [("--debug", "segment", "x.jpg"), ("segment", "x.jpg", "--debug")])
def test_debug_shows_where_an_error_comes_from(folder, arguments):
    with pytest.raises(ValueError, match="There is nothing to look for"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_errors_that_are_ours_keep_their_traceback(folder, monkeypatch):
    monkeypatch.setattr("clipseg_hf.inference.files.segment_files", lambda *arguments, **options: {}["no such key"])
    with pytest.raises(KeyError):
        CliRunner().invoke(app, ["segment", "x.jpg", "-p", "a"], catch_exceptions=False)


def test_errors_of_several_lines_keep_them(calls, monkeypatch):
    def segment_files(*arguments, **options):
        raise ValueError("nothing fits:\n  one: this   way\n\n  two: that way\n")

    monkeypatch.setattr("clipseg_hf.inference.files.segment_files", segment_files)
    result = run("segment", "x.jpg", "-p", "a")
    assert (result.exit_code, result.stderr) == (2, "error: nothing fits:\n  one: this   way\n  two: that way\n")


def test_misspelt_commands():
    assert fail("segmnt") == "No such command 'segmnt'. Did you mean 'segment'? See `clipseg-hf --help`."
    assert "Missing argument" in fail("segment")
    assert "See `clipseg-hf segment --help`" in fail("segment")


def test_help_names_every_command_and_every_option_says_what_it_does():
    text = succeed("--help")
    commands = [info.name or info.callback.__name__ for info in app.registered_commands]
    assert {"segment", "demo", "scenes", "inspect", "convert", "train", "evaluate", "compare"} <= set(commands)
    lines = {line.split()[0]: line for line in text.splitlines() if line.startswith("  ") and line.strip()}
    for command in commands:
        assert not lines[command].rstrip().endswith("...")
        assert "Options:" in succeed(command, "--help")


# the other commands pass on what they are told


@pytest.fixture
def calls(monkeypatch):
    """Functions that only note how they are called: `calls("module.function", result)`."""
    made = []

    def note(target: str, result=None):
        monkeypatch.setattr(target, lambda *given, **options: made.append((given, options)) or result)
        return made

    return note


def test_demo(calls, tmp_path):
    made = calls("clipseg_hf.inference.demo.run_demo")
    succeed("demo", "-o", tmp_path)
    assert made[0][0] == (tmp_path,)


def test_scenes(calls):
    made = calls("clipseg_hf.data.emoji_world.emoji_files.write_scenes", {"train": 30, "val": 4, "test": 5})
    out = succeed("scenes", "world", "--train", 3, "--seed", 7, "--font", "noto.ttf", "--processes", 2)
    assert out == "The scenes are in world; phrases: 30 in train, 4 in val, 5 in test.\n"
    counts = {"train": 3, "val": 500, "test": 500}
    assert made == [((Path("world"),), counts | {"seed": 7, "font": Path("noto.ttf"), "processes": 2})]


def test_scenes_go_into_a_new_folder(tmp_path):
    (tmp_path / "file").touch()
    assert "is not empty; name a new folder for the scenes" in fail("scenes", tmp_path)


@pytest.mark.parametrize(
    "command",
    [
        ("demo", "-o"),
        ("segment", f"{EMOJI_SCENES}/images/9.jpg", "-p", "dog", "--model", "emoji-tiny", "-o"),
        ("label", EMOJI_SCENES, "--prompts", "prompts.txt", "--model", "emoji-tiny", "-o"),
        ("evaluate", "--model", "emoji-tiny", "--benchmark", "referring", "--data", EMOJI_SCENES, "-o"),
        ("reproduce", "emoji", "-o"),
        ("scenes",),
        ("export", "onnx", "emoji-tiny"),
    ],
)
def test_a_file_in_place_of_a_folder_is_told_before_any_work(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("prompts.txt").write_text("dog")
    (tmp_path / "out").write_text("mine")
    assert f"{tmp_path / 'out'} is a file; name a new folder" in fail(*command, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_inspect_the_shipped_scenes(folder):
    out = succeed("inspect", EMOJI_SCENES, "-o", "new/sheet.png")
    assert "24 images" in out
    assert str(Path("new/sheet.png")) in out
    assert Image.open(folder / "new" / "sheet.png").width > 500


def test_inspect(calls):
    made = calls("clipseg_hf.data.inspection.inspect_data", "it is fine")
    options = ("--option", "ignore_index=255", "--split", "val", "--kind", "index_masks")
    assert succeed("inspect", "pictures", *options, "--quick", "--processes", 3) == "it is fine\n"
    expected = {"split": "val", "check_images": False, "num_proc": 3, "ignore_index": 255, "kind": "index_masks"}
    assert made == [(("pictures", Path("inspection.png")), expected)]
    assert "An override is written key=value" in fail("inspect", "pictures", "--option", "ignore_index")


def test_convert(calls):
    made = calls("clipseg_hf.inference.files.convert_file", Path("out"))
    assert succeed("convert", "rd64-uni.pth", "out", "--extract-layers", "3, 7,9") == "The model is in out.\n"
    options = {"clip": "openai/clip-vit-base-patch16", "extract_layers": (3, 7, 9), "decoder_only": False}
    assert made == [((Path("rd64-uni.pth"), Path("out")), options)]
    assert "'3,x' is no list of whole numbers such as 3,6,9" in fail("convert", "a", "b", "--extract-layers", "3,x")
    assert len(made) == 1


def test_train(calls, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("clip_name_or_path: somewhere\ntrain_data: elsewhere\n")
    made = calls("clipseg_hf.training.train", SimpleNamespace(folder="runs/one/final"))
    assert succeed("train", recipe, "--set", "learning_rate=5e-4") == "The finished model is in runs/one/final.\n"
    assert made[0][0][0].learning_rate == 5e-4
    assert "learning_rate" in fail("train", recipe, "--set", "learning_rat=5e-4")
    assert "There is no recipe none.yaml" in fail("train", "none.yaml")


def test_evaluate(calls):
    made = calls("clipseg_hf.evaluation.evaluate_model")
    succeed(
        *("evaluate", "--benchmark", "one-shot", "--data", "VOCdevkit", "--model", "m", "-o", "out", "--fold", 0),
        *("--fold", 2, "--episodes", 100, "--limit", 50, "--seed", 3, "--arithmetic", "clipseg", "--batch-size", 8),
    )
    (model, benchmark, data, output, options), _ = made[0]
    assert (model, benchmark, data, output) == ("m", "one-shot", "VOCdevkit", Path("out"))
    assert options == BenchmarkOptions(
        folds=(0, 2), episodes=100, limit=50, seed=3, arithmetic="clipseg", batch_size=8, progress=True
    )
    succeed("evaluate", "--benchmark", "one-shot", "--data", "x", "--episodes", "list.json")
    assert made[1][0][4].episodes == "list.json"
    succeed(
        *("evaluate", "--benchmark", "referring", "--data", "x", "--prompt", "text", "--prompt", "mix"),
        *("--template", "{}", "--threshold", 0.24, "--option", "ignore_index=255", "--mix", 0.3),
    )
    assert made[2][0][4] == BenchmarkOptions(
        prompts=("text", "mix"),
        image_prompt_weight=0.3,
        templates=("{}",),
        at=(0.24,),
        reader={"ignore_index": 255},
        progress=True,
    )


def test_evaluate_the_shipped_scenes(folder):
    command = ("evaluate", "--benchmark", "referring", "--data", EMOJI_SCENES, "--model", "emoji-tiny", "--limit", 4)
    table = succeed(*command, "-o", "out")
    assert table.startswith("| prompt | subset | samples | mIoU @0.3 |")
    assert "| text | unseen |" in table
    assert json.loads((folder / "out" / "report.json").read_text())["model"] == "emoji-tiny"


def test_benchmarks_are_those_that_there_are():
    assert list(Benchmark) == list(BENCHMARKS)
    assert "'referral' is not one of" in fail("evaluate", "--benchmark", "referral", "--data", "x")
    assert "'clip' is not one of" in fail("evaluate", "--benchmark", "referring", "--data", "x", "--arithmetic", "clip")
    with pytest.raises(ValueError, match="Unknown arithmetic 'clip'"):
        BenchmarkOptions(arithmetic="clip")


def test_data_that_is_not_there(folder):
    assert "nowhere" in fail("evaluate", "--benchmark", "referring", "--data", "./nowhere", "--model", "emoji-tiny")


# as a program


def _program(*arguments, **environment) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "clipseg_hf.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)


def test_the_program_segments(folder, checkpoint):
    done = _program("segment", "x.jpg", "--prompt", "a cat", "--model", checkpoint, "-o", "out")
    assert done.returncode == 0, done.stderr
    assert "a cat  score" in done.stdout
    assert Image.open(folder / "out" / "x_a-cat.png").size == (80, 60)


def test_the_program_fails_with_one_line(folder):
    done = _program("segment", "x.jpg", "--prompt", "a cat", HF_HUB_OFFLINE="1", HF_HOME=str(folder))
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "--model emoji-tiny" in done.stderr


def test_seeds_of_a_reproduction(calls):
    made = calls("clipseg_hf.reproduction.reproduce.reproduce", {})
    succeed("reproduce", "emoji", "-o", "tables", "--seeds", "0,1, 2", "--only", "ablation, referring")
    ((place, options),) = made
    assert place == ("emoji", Path("tables"))
    assert options["seeds"] == (0, 1, 2) and options["only"] == ["ablation", "referring"]
    assert "What is it reproduced on? Give DATA: emoji (offline), or phrasecut" in fail("reproduce")
    for wrong in ("0,a", "", "0,,1", "1.5"):
        assert f"{wrong!r} is no list of whole numbers" in fail("reproduce", "emoji", "--seeds", wrong)
