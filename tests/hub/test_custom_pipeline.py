"""A published repository works in stock transformers, where this package is not installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import transformers
from PIL import Image

import clipseg_hf
from clipseg_hf.hub import PromptedImageSegmentationPipeline
from clipseg_hf.hub.remote_code import REPOSITORY_FILES, add_repository_files
from hub.published_folder import NAMES, SCENE, alone, make_published, without_us

USE = Path(__file__).parent / "stock_use.py"


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    return make_published(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def answers(published, tmp_path_factory) -> dict:
    home = tmp_path_factory.mktemp("home")
    command = without_us(USE, published, SCENE, home / "answer.json")
    subprocess.run(command, check=True, env=alone(home), cwd=home)
    return json.loads((home / "answer.json").read_text())


@pytest.fixture(scope="module")
def ours(published) -> PromptedImageSegmentationPipeline:
    return clipseg_hf.pipeline("prompted-image-segmentation", model=published, device="cpu")


def _same(found: list[dict], expected: list[dict]) -> None:
    assert [entry["label"] for entry in found] == [entry["label"] for entry in expected]
    for entry, other in zip(found, expected, strict=True):
        assert entry.keys() == other.keys()
        assert entry["score"] == pytest.approx(other["score"], abs=1e-3)
        assert entry["presence"] == pytest.approx(other["presence"], abs=1e-4)
        width, height, _, area = entry["mask"]
        assert (width, height) == other["mask"].size
        assert area == pytest.approx(other["mask"].histogram()[255], abs=4)
        assert entry["box"] == (other["box"] and pytest.approx(other["box"], abs=1))


def test_it_gives_what_ours_gives(answers, ours):
    _same(answers["own"], ours(SCENE))
    assert [entry["label"] for entry in answers["own"]] == NAMES
    _same(answers["several"], ours(SCENE, prompts=["dog", "animal", *["dragon"] * 20]))
    _same(answers["one"], ours(SCENE, prompts="animal", threshold=0.2))
    semantic = {"prompts": ["dog", "animal", "dragon"], "threshold": [0.2, 0.3, 0.2], "subtask": "semantic"}
    _same(answers["semantic"], ours(SCENE, **semantic))
    picture = Image.open(SCENE)
    images = [picture, picture.crop((0, 0, 200, 180)), picture]
    for found, image in zip(answers["batched"], images, strict=True):
        _same(found, ours(image))


def test_an_image_is_encoded_once_for_all_its_prompts(answers):
    assert answers["encoded"] == [1, 1, 1, 1]
    assert answers["encoded in batches"] == [2, 1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no text", "A prompt is a text, got a int; others need the package clipseg-hf."),
        ("empty", "Prompts are texts such as ['a cat', 'a dog'], got [' ']."),
        ("combined", "'dog - tail' combines prompts, which needs the package clipseg-hf."),
        ("option", "The pipeline takes prompts, threshold and subtask, got treshold."),
        ("subtask", "subtask is one of prompted, semantic; got 'panoptic'."),
        ("threshold", "threshold is a probability in [0, 1], one or one for each of 2 prompts: [0.5]."),
        ("no names", "There is nothing to look for: give prompts=['a cat', ...]; the checkpoint names none."),
    ],
)
def test_errors(answers, name, message):
    assert answers["errors"][name] == message


def test_where_this_package_is_no_remote_code_is_needed(published, ours):
    assert type(ours.model) is clipseg_hf.CLIPSegForImageSegmentation
    made = transformers.pipeline("prompted-image-segmentation", model=str(published), device="cpu")
    assert type(made) is PromptedImageSegmentationPipeline
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        transformers.pipeline("image-segmentation", model=str(published))


def test_what_goes_into_a_repository(published, ours, tmp_path):
    files = {path.name for path in REPOSITORY_FILES.iterdir() if path.is_file()}
    assert {"custom_pipeline.py", "requirements.txt"} <= files <= {path.name for path in published.iterdir()}
    assert add_repository_files(published)[-1] == published / "config.json"  # again changes nothing
    ours.model.save_pretrained(tmp_path, decoder_only=True)
    written = {path.name for path in add_repository_files(tmp_path)}
    assert written == files - {"custom_pipeline.py"} | {"config.json"}
    assert "custom_pipelines" not in json.loads((tmp_path / "config.json").read_text())
    assert (tmp_path / "requirements.txt").read_text().splitlines()[-1] == "clipseg-hf"
    assert "clipseg-hf" not in (published / "requirements.txt").read_text()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_in_an_environment_of_its_own(published, ours, tmp_path):
    constraints = Path(__file__).parents[2] / "constraints.txt"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", constraints]
    for packages in (["torch"], ["transformers", "pillow"]):  # torch first, in the build that the index has
        subprocess.run([*install, *packages], check=True, env=alone(tmp_path))
    said = subprocess.run(
        [python, "-m", "pip", "list"], check=True, capture_output=True, text=True, env=alone(tmp_path)
    )
    assert not {"clipseg-hf", "datasets", "pycocotools", "torchvision"} & set(said.stdout.split())
    subprocess.run([python, USE, published, SCENE, tmp_path / "answer.json"], check=True, env=alone(tmp_path))
    answers = json.loads((tmp_path / "answer.json").read_text())
    _same(answers["own"], ours(SCENE))
    assert answers["encoded"] == [1, 1, 1, 1]
