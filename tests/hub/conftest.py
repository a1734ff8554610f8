"""A small trained checkpoint as a run leaves it, with paths of this machine in its files, and reports of it."""

import json
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file, save_file

from clipseg_hf.evaluation import Evaluation, model_index
from inference.conftest import make_checkpoint

LICENSES = {"license": "apache-2.0", "data_license": "cc-by-4.0"}


def make_trained(folder: Path) -> Path:
    """The small checkpoint, with what a training writes beside it."""
    make_checkpoint(folder)
    recipe = {
        "output_dir": str(folder.parent),
        "model_name_or_path": str(folder.parent / "start"),
        "train_data": str(folder.parent / "bolts"),
        "data_options": {"images": str(Path.home() / "pictures")},
        "max_steps": 500,
        "learning_rate": 1e-3,
        "loss_type": "bce",
    }
    provenance = {"versions": {"torch": "2.13.0"}, "train_data": "0123456789abcdef", "device": "cuda (NVIDIA H100)"}
    provenance |= {"processes": 1, "mixed_precision": "bf16"}
    facts = {"step": 500, "seconds": 754.2, "metrics": {"text_miou_best": 0.5123}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (folder / "provenance.json").write_text(json.dumps(provenance))
    (folder / "manifest.json").write_text(json.dumps({"facts": facts, "files": {}}))
    return folder


def change_weights(folder: Path, shift: float = 0.01) -> None:
    """Another model of the same kind."""
    weights = load_file(folder / "model.safetensors")
    weights["decoder.film_mul.bias"] += shift
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def write_report(folder: Path, miou: float, *, data: str = "bolts", fingerprint: str = "fedcba9876543210") -> Path:
    """What an evaluation of two samples of 100 pixels would have written, IoUs `miou` -+ 0.1."""
    ious = {"a": miou - 0.1, "b": miou + 0.1}
    summary = {"text": {"all": {"samples": 2, "miou_0.5": miou, "ap": None, "presence": {"auroc": 0.9}}}}
    report = {
        "benchmark": "referring",
        "model": str(folder / "final"),
        "data": {"name": str(folder.parent / data), "fingerprint": fingerprint},
        "versions": {"clipseg-hf": "0.1.0", "torch": "2.13.0"},
        "settings": {"templates": ["a photo of a {}."], "seed": 0, "limit": None},
        "thresholds": [0.5],
        "results": summary,
        "curves": {"text": {"miou": [miou]}},
    }
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(report))
    index = model_index(Evaluation("referring", {}, summary), model="m", data=data, split="test")
    (folder / "model_index.yaml").write_text(yaml.safe_dump({"model-index": index}))
    asked = {"prompt": "text", "phrase_id": "1", "phrase": "a bolt", "union_0.5": 100}
    lines = [asked | {"image_id": name, "intersection_0.5": round(100 * iou)} for name, iou in ious.items()]
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "curves.png").write_bytes(b"\x89PNG")
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    return make_trained(tmp_path_factory.mktemp("somebodys-run") / "final")
