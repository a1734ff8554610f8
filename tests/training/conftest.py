"""A world of coloured squares on disk, in PhraseCut's layout, and a tiny random CLIP to train a decoder on."""

import json
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from clipseg_hf.data.rows.rows import make_phrase
from clipseg_hf.processing.masks.rle import encode_rle
from clipseg_hf.training import CLIPSegTrainingArguments

COLORS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "yellow": (230, 220, 40)}


def _things(random) -> dict[str, tuple[int, int, int, int]]:
    """Colour -> left, top, right, bottom of its square on a picture of 80 x 60."""
    places = {}
    for color in random.permutation(list(COLORS))[: random.integers(1, 4)]:
        left, top, side = random.integers(0, 55), random.integers(0, 35), random.integers(8, 25)
        places[str(color)] = (int(left), int(top), int(left + side), int(top + side))
    return places


def _draw(places) -> np.ndarray:
    pixels = np.full((60, 80, 3), 128, np.uint8)
    for color, (left, top, right, bottom) in places.items():
        pixels[top:bottom, left:right] = COLORS[color]
    return pixels


def make_rows(count: int, seed: int = 0) -> list[dict]:
    """Rows in memory, with pictures as PIL images."""
    random, rows = np.random.default_rng(seed), []
    for number in range(count):
        places, phrases = _things(random), []
        for k, (color, (left, top, right, bottom)) in enumerate(places.items()):
            mask = np.zeros((60, 80), bool)
            mask[top:bottom, left:right] = True
            phrases.append(make_phrase(f"{color} square", encode_rle(mask), phrase_id=f"{number}__{k}"))
        image = Image.fromarray(_draw(places))
        rows.append({"image": image, "image_id": f"i{number}", "height": 60, "width": 80, "phrases": phrases})
    return rows


def write_phrasecut(folder: Path, train: int = 24, val: int = 8) -> Path:
    """The same kind of pictures as files in PhraseCut's layout."""
    random, images = np.random.default_rng(0), []
    (folder / "images").mkdir(parents=True)
    for split, count in (("train", train), ("val", val)):
        tasks = []
        for _ in range(count):
            image_id, places = len(images) + 1, _things(random)
            images.append({"image_id": image_id, "height": 60, "width": 80, "split": split})
            Image.fromarray(_draw(places)).save(folder / "images" / f"{image_id}.jpg", quality=95)
            for k, (color, (left, top, right, bottom)) in enumerate(places.items()):
                right, bottom = right - 1, bottom - 1  # the outline is part of the mask
                corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
                tasks.append(
                    {
                        "task_id": f"{image_id}__{k}",
                        "image_id": image_id,
                        "ann_ids": [k],
                        "instance_boxes": [[left, top, right - left, bottom - top]],
                        "Polygons": [[corners]],
                        "phrase": f"{color} square",
                        "phrase_structure": {
                            "name": f"{color} square",
                            "attributes": [],
                            "relation_ids": [],
                            "relation_descriptions": [],
                            "type": "name",
                        },
                    }
                )
        (folder / f"refer_{split}.json").write_text(json.dumps(tasks))
    (folder / "image_data_split3000.json").write_text(json.dumps(images))
    return folder


def make_clip(folder: Path, layers: int = 4) -> Path:
    """A random CLIP of narrow layers with a tokenizer of letters, as a checkpoint."""
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": layers, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config=tower
        | {"vocab_size": len(words), "bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1}
        | {"num_hidden_layers": 2},
        vision_config=tower | {"image_size": 64, "patch_size": 16},
        projection_dim=32,
    )
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Data sets are built anew, and not into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = str(tmp_path_factory.mktemp("datasets"))
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
        patch.setenv("HF_DATASETS_CACHE", folder)  # for processes that the tests start
        yield


@pytest.fixture(scope="session")
def rows() -> list[dict]:
    return make_rows(16)


@pytest.fixture(scope="session")
def validation_rows() -> list[dict]:
    return make_rows(6, seed=1)


@pytest.fixture(scope="session")
def squares(tmp_path_factory) -> Path:
    """24 training and 8 validation pictures on disk."""
    return write_phrasecut(tmp_path_factory.mktemp("data") / "squares")


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    return make_clip(tmp_path_factory.mktemp("models") / "tiny-clip")


@pytest.fixture(scope="session")
def deep_clip(tmp_path_factory) -> Path:
    """Twelve layers, as the paper's recipes expect."""
    return make_clip(tmp_path_factory.mktemp("models") / "deep-clip", layers=12)


@pytest.fixture
def without_its_end(tmp_path):
    """`without_its_end(folder, step)`: a copy of a finished run as it was before the checkpoint of its last step."""

    def cut(folder: Path, step: int) -> Path:
        copied = shutil.copytree(folder, tmp_path / "cut")
        for name in (f"checkpoint-{step:06}", "final"):
            shutil.rmtree(copied / name)
        (copied / "log.jsonl").unlink()
        return copied

    return cut


@pytest.fixture
def make_args(clip, tmp_path):
    """Arguments of a tiny run on one CPU thread, any of them changed."""

    def make(**changes) -> CLIPSegTrainingArguments:
        values = {
            "output_dir": str(tmp_path / "run"),
            "clip_name_or_path": str(clip),
            "extract_layers": (0, 2),
            "reduce_dim": 16,
            "image_size": 64,
            "max_steps": 4,
            "per_device_train_batch_size": 4,
            "eval_steps": None,
            "eval_samples": 4,
            "calibration_samples": 4,
            "save_steps": 2,
            "picture_samples": 2,
            "mixed_precision": "no",
            "report_to": (),
            "disable_tqdm": True,
            "use_cpu": True,
        }
        return CLIPSegTrainingArguments(**values | changes)

    return make
