"""The README's code runs as written, with the embedded checkpoint in place of the Hub's name."""

import io
import json
import re
import shlex
import shutil
import subprocess
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from clipseg_hf.assets import EMOJI_SCENES, EMOJI_TINY
from clipseg_hf.data.sources.loading import KINDS
from clipseg_hf.inference.demo import load_scenes
from clipseg_hf.processing import decode_rle, encode_rle, mask_to_box
from hub.published_folder import endpoint

README = Path(__file__).parents[1] / "README.md"
ON_HUB = re.compile("me/my-clipseg|ENDPOINT")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(README.read_text(encoding="utf-8")) if kind == language]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder with the files that the README names."""
    folder, scenes = tmp_path_factory.mktemp("readme"), load_scenes()
    scenes["2"]["image"].save(folder / "street.jpg")
    scenes["9"]["image"].save(folder / "example.jpg")
    phrase = next(phrase for phrase in scenes["9"]["phrases"] if phrase["phrase"] == "dog")
    Image.fromarray(decode_rle(phrase["mask"])).save(folder / "example_mask.png")
    (folder / "my_pictures" / "masks" / "dog").mkdir(parents=True)
    (folder / "my_pictures" / "images").mkdir()
    scenes["9"]["image"].save(folder / "my_pictures" / "images" / "one.jpg")
    shutil.copy(folder / "example_mask.png", folder / "my_pictures" / "masks" / "dog" / "one.png")
    shutil.copytree(EMOJI_SCENES, folder / "scenes")
    _write_layouts(folder, decode_rle(phrase["mask"]))
    dog = next(phrase for phrase in scenes["2"]["phrases"] if phrase["phrase"] == "dog")
    Image.fromarray(decode_rle(dog["mask"])).save(folder / "street_mask.png")
    return folder


def _write_layouts(folder: Path, mask: np.ndarray) -> None:
    """One picture with one dog, in the layouts that the README shows."""
    for name in ("my_coco/images", "my_coco/annotations", "my_classes/images", "my_classes/masks", "my_table"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in ("my_coco/images", "my_classes/images", "my_table"):
        shutil.copy(folder / "example.jpg", folder / name / "one.jpg")
    height, width = mask.shape
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "caption": "a spotted dog", "iscrowd": 0}
    annotation |= {"segmentation": encode_rle(mask), "bbox": mask_to_box(mask), "area": int(mask.sum())}
    coco = {
        "images": [{"id": 1, "file_name": "one.jpg", "height": height, "width": width}],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [annotation],
    }
    (folder / "my_coco" / "annotations" / "instances_train.json").write_text(json.dumps(coco))
    indices = mask.astype(np.uint8)
    indices[0] = 255
    Image.fromarray(indices).save(folder / "my_classes" / "masks" / "one.png")
    (folder / "my_classes" / "classes.txt").write_text("background\ndog\n")
    Image.fromarray(mask).save(folder / "my_table" / "one.png")
    line = {"file_name": "one.jpg", "phrase": "a spotted dog", "mask_file_name": "one.png"}
    (folder / "my_table" / "metadata.jsonl").write_text(json.dumps(line) + "\n")


def test_the_korean_readme_keeps_step():
    english, korean = (README.with_name(name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md"))
    assert BLOCK.findall(korean) == BLOCK.findall(english)
    prose = [BLOCK.sub("", text) for text in (english, korean)]
    for pattern in (r"(?<=!\[)[^]]*\]\(([^)]+)\)", r"^(#+) "):  # pictures, and the levels of the headings
        found, expected = ([*re.finditer(pattern, text, re.MULTILINE)] for text in reversed(prose))
        assert [match[1] for match in found] == [match[1] for match in expected]
    architecture = re.compile(r"^\| folder of .*?\n\n", re.MULTILINE | re.DOTALL)  # the Korean text refers to it
    tables = [re.findall(r"^\|.*$", architecture.sub("", text), re.MULTILINE) for text in prose]
    numbers = [[re.findall(r"\d[\d.,]*", line) for line in lines] for lines in tables]
    assert numbers[0] == numbers[1]


NAMED = {
    "phrasecut": "PhraseCut",
    "coco": "COCO or LVIS JSON",
    "voc": "Pascal VOC",
    "imagefolder": "`metadata.jsonl`",
    "index_masks": "class indices",
    "binary_masks": "`masks/<phrase>/*.png`",
    "yolo": "YOLO segmentation",
    "labelme": "LabelMe",
    "label_studio": "Label Studio",
    "cvat_masks": "`SegmentationClass/`",
    "cvat_xml": "`annotations.xml`",
    "fiftyone": "FiftyOne",
    "refcoco": "RefCOCO+",
    "reasonseg": "ReasonSeg",
    "columns": "`save_to_disk`",
}


def test_its_table_names_every_layout_that_is_recognised():
    """That each is read, `tests/data/sources/` shows; what `segment` takes, `tests/inference/inputs/`."""
    text = README.read_text(encoding="utf-8")
    table = text[text.index("## Your own data") : text.index("One folder of binary masks")]
    assert set(NAMED) == set(KINDS) and not [name for name in NAMED.values() if name not in table]


def test_python_blocks_run_one_after_the_other(pictures, monkeypatch):
    monkeypatch.chdir(pictures)
    blocks, names = [block for block in _blocks("python") if not ON_HUB.search(block)], {}
    assert len(blocks) >= 6
    for block in blocks:
        exec(compile(block.replace("CIDAS/clipseg-rd64-refined", EMOJI_TINY), str(README), "exec"), names)
    assert [tuple(result.mask.shape) for result in names["found"]] == [names["image"].size[::-1]] * 3
    assert names["label_map"].shape == names["image"].size[::-1]
    assert names["logits"].shape[0] == 2
    assert (pictures / "overlay.png").is_file()


def test_published_and_used_from_the_hub(pictures, hub, monkeypatch, tmp_path):
    """The real client and a Hub on this machine; `emoji-tiny` in place of what a reader has trained."""
    from clipseg_hf.cli import app

    monkeypatch.chdir(pictures)
    lines = [line.removeprefix("$ ") for block in _blocks("console") for line in block.splitlines()]
    commands = [shlex.split(line) for line in lines if line.startswith("clipseg-hf publish")]
    assert len(commands) == 2
    for _, *arguments in commands:
        result = CliRunner().invoke(app, [word.replace("outputs/my_clipseg/final", EMOJI_TINY) for word in arguments])
        assert result.exit_code == 0, result.output
    written = {path.relative_to("look").as_posix() for path in Path("look").rglob("*") if path.is_file()}
    assert set(hub.files("me/my-clipseg")) == written
    blocks, said = [block for block in _blocks("python") if ON_HUB.search(block)], io.StringIO()
    (curl,) = [line for line in lines if line.startswith("curl")]
    with endpoint(Path("look").absolute(), tmp_path) as url, redirect_stdout(said):
        for block in blocks:
            exec(compile(block.replace("https://ENDPOINT", url), str(README), "exec"), {})
        answer = subprocess.run(curl.replace("https://ENDPOINT", url), shell=True, check=True, capture_output=True)
    assert len(blocks) == 4
    assert len(re.findall(r"^a dog 0\.\d", said.getvalue(), re.MULTILINE)) == 3  # ours, stock's, the client
    assert json.loads(answer.stdout)[0]["label"] == "a dog"


def test_segment_commands_run(pictures, monkeypatch):
    from clipseg_hf.cli import app

    monkeypatch.chdir(pictures)
    lines = [line.removeprefix("$ ") for block in _blocks("console") for line in block.splitlines()]
    commands = [shlex.split(line) for line in lines if line.startswith("clipseg-hf segment")]
    assert len(commands) == 2
    for _, *arguments in commands:
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
    assert list((pictures / "masks").rglob("*.png"))


def test_files_that_the_readme_names_exist():
    text = README.read_text(encoding="utf-8")
    named = re.findall(r"\]\((?!http|#)([^)]+)\)", text) + re.findall(r"\bexamples/[\w./-]+\.\w+", text)
    assert named
    assert not [name for name in named if not (README.parent / name).exists()]
