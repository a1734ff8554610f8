"""A run that is killed goes on as if nothing had happened, with one process and with two; two processes are one."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clipseg_hf.modeling import CLIPSegForImageSegmentation

HERE = Path(__file__).parent
MODULE = ["-m", "clipseg_hf.training"]


def run(what: list[str], processes: int = 1, **options) -> subprocess.CompletedProcess:
    """A Python module or file with its arguments, in one process or under torchrun."""
    start = [sys.executable]
    if processes > 1:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        start = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={processes}"]
        start += ["--master_addr=127.0.0.1", f"--master_port={port}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run([*start, *what], env=environment, capture_output=True, text=True, timeout=280, **options)


def killed(moment: str, step: int, recipe: Path, processes: int = 1) -> subprocess.CompletedProcess:
    return run([str(HERE / "killed_run.py"), moment, str(step), str(recipe)], processes)


@pytest.fixture(scope="module")
def write_recipe(squares, clip, tmp_path_factory):
    """Recipes with everything random in them: supports, absent phrases, crops, dropout, accumulation, workers."""
    folder = tmp_path_factory.mktemp("recipes")

    def write(name: str, **changes) -> Path:
        values = {
            "output_dir": str(folder / name),
            "clip_name_or_path": str(clip),
            "train_data": str(squares),
            "extract_layers": [0, 2],
            "reduce_dim": 16,
            "decoder_dropout": 0.3,
            "image_size": 64,
            "phrases_per_image": 2,
            "color_jitter": 0.1,
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 2,
            "max_steps": 5,
            "save_steps": 2,
            "eval_steps": None,
            "logging_steps": 1,
            "dataloader_num_workers": 1,
            "mixed_precision": "no",
            "report_to": [],
            "disable_tqdm": True,
            "use_cpu": True,
        }
        path = folder / f"{name}.yaml"
        path.write_text(json.dumps(values | changes))  # JSON is YAML
        return path

    return write


def output_of(recipe: Path) -> Path:
    return recipe.with_suffix("")


def weights(recipe: Path) -> bytes:
    return (output_of(recipe) / "final" / "model.safetensors").read_bytes()


def losses(recipe: Path) -> list[float]:
    lines = (output_of(recipe) / "log.jsonl").read_text().splitlines()
    return [line["loss"] for line in map(json.loads, lines) if "loss" in line]


def test_one_process_killed_three_times(write_recipe):
    whole, cut = write_recipe("whole"), write_recipe("cut")
    done = run([*MODULE, str(whole)])
    assert done.returncode == 0, done.stderr[-3000:]

    assert killed("saving", 4, cut).returncode == -signal.SIGKILL
    assert sorted(path.name for path in output_of(cut).glob("check*")) == [
        "checkpoint-000002",
        "checkpoint-000004.writing",
    ]
    assert killed("stepping", 3, cut).returncode == -signal.SIGKILL
    assert [path.name for path in output_of(cut).glob("check*")] == ["checkpoint-000002"]  # the rest is cleaned up
    assert killed("writing", 4, cut).returncode == -signal.SIGKILL

    last = run([*MODULE, str(cut)])
    assert last.returncode == 0, last.stderr[-3000:]
    assert weights(cut) == weights(whole)
    assert losses(cut) == losses(whole)
    assert not list(output_of(cut).glob("*.writing"))


def test_two_processes_killed_while_saving(write_recipe):
    whole, cut = (write_recipe(name, per_device_train_batch_size=2) for name in ("whole-2", "cut-2"))
    done = run([*MODULE, str(whole)], processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    assert killed("saving", 4, cut, processes=2).returncode != 0
    assert not (output_of(cut) / "final").exists()
    last = run([*MODULE, str(cut)], processes=2)
    assert last.returncode == 0, last.stderr[-3000:]
    assert weights(cut) == weights(whole)
    assert losses(cut) == losses(whole)


def test_two_processes_are_one(write_recipe):
    """Half the batch each, dropout off: the same loss and gradients as one process with the whole batch."""
    changes = {"decoder_dropout": 0.0, "max_grad_norm": 0.0, "max_steps": 2, "dataloader_num_workers": 0}
    changes |= {"eval_steps": 2, "eval_samples": 5, "picture_samples": 0, "calibrate": False}
    alone = write_recipe("alone", per_device_train_batch_size=8, **changes)
    shared = write_recipe("shared", per_device_train_batch_size=4, **changes)
    for recipe, processes in ((alone, 1), (shared, 2)):
        done = killed("gradients", 0, recipe, processes)
        assert done.returncode == 0, done.stderr[-3000:]
    assert losses(shared) == pytest.approx(losses(alone), rel=1e-6)

    names = [n for n, p in CLIPSegForImageSegmentation.from_pretrained(output_of(alone) / "final").named_parameters()]
    names = [name for name in names if name.startswith("decoder.")]
    one, two = (load_file(f"{recipe}.gradients") for recipe in (alone, shared))
    assert len(names) == len(one) == len(two)
    for name, key in zip(names, sorted(one), strict=True):
        if not name.endswith("k_proj.bias"):  # zero by mathematics
            error = (one[key] - two[key]).norm() / one[key].norm()
            assert error < 1e-6, f"{name}: {error}"

    first, second = (
        [line for line in (output_of(recipe) / "log.jsonl").read_text().splitlines() if "text_ap" in line]
        for recipe in (alone, shared)
    )
    numbers, others = json.loads(first[0]), json.loads(second[0])
    assert numbers == pytest.approx(others, rel=1e-4)
    assert torch.tensor(list(numbers.values())).isfinite().all()
