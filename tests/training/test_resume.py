"""A run that is killed goes on as if nothing had happened, with one process and with two; two processes are one."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.training import CLIPSegTrainingArguments

HERE = Path(__file__).parent
MODULE = ["-m", "clipseg_hf.training"]


@pytest.fixture(scope="module")
def launch():
    """Start trainings in real processes, forked from one that has everything imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        patch.setenv("OMP_NUM_THREADS", "1")
        import killed_run

        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["killed_run"])

        def launch(recipe: Path, moment: str = "", step: int = 0, processes: int = 1, apart: bool = False) -> int:
            """Exit code of the first process; the others are ended with it, as torchrun does."""
            port = free_port()
            started = [
                context.Process(target=killed_run.start, args=(str(recipe), moment, step, rank, processes, port, apart))
                for rank in range(processes)
            ]
            for process in started:
                process.start()
            started[0].join(timeout=200)
            for process in started[1:]:
                process.join(timeout=10 if started[0].exitcode == 0 else 0)
                process.kill()
            return started[0].exitcode

        yield launch


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(words: list[str]) -> None:
    """Run Python with these arguments, to its good end."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-3000:]


def said(recipe: Path) -> str:
    return Path(f"{recipe}.said-0").read_text()[-3000:]


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


def checkpoints(recipe: Path) -> list[str]:
    return sorted(path.name for path in output_of(recipe).glob("*checkpoint*"))


def log(recipe: Path) -> list[dict]:
    return [json.loads(line) for line in (output_of(recipe) / "log.jsonl").read_text().splitlines()]


def losses(recipe: Path) -> list[float]:
    return [line["loss"] for line in log(recipe) if "loss" in line]


@pytest.mark.slow
def test_one_process_killed_three_times(write_recipe, launch):
    whole, cut = write_recipe("whole"), write_recipe("cut")
    assert launch(whole) == 0, said(whole)

    assert launch(cut, "saving", 4) == -signal.SIGKILL, said(cut)
    assert checkpoints(cut) == [".checkpoint-000004.writing", "checkpoint-000002"]
    assert launch(cut, "stepping", 3) == -signal.SIGKILL, said(cut)
    assert checkpoints(cut) == ["checkpoint-000002"]  # what was left behind is gone
    assert launch(cut, "writing", 4) == -signal.SIGKILL, said(cut)
    assert checkpoints(cut) == [".checkpoint-000004.writing", "checkpoint-000002"]

    command([*MODULE, str(cut)])
    assert weights(cut) == weights(whole)
    assert losses(cut) == losses(whole)
    assert checkpoints(cut) == ["checkpoint-000004", "checkpoint-000005"]


def test_two_processes_killed_while_saving(write_recipe, launch):
    whole, cut = (write_recipe(name, per_device_train_batch_size=2) for name in ("whole-2", "cut-2"))
    assert launch(whole, processes=2) == 0, said(whole)
    assert launch(cut, "saving", 4, processes=2) == -signal.SIGKILL, said(cut)
    assert not (output_of(cut) / "final").exists()
    torchrun = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--master_addr=127.0.0.1"]
    command([*torchrun, f"--master_port={free_port()}", *MODULE, str(cut)])
    assert weights(cut) == weights(whole)
    assert losses(cut) == losses(whole)


def test_two_processes_are_one(write_recipe, launch):
    """Half the batch each, dropout off: the same loss, gradients and validation as one process with the whole batch."""
    changes = {"decoder_dropout": 0.0, "max_grad_norm": 0.0, "max_steps": 2, "dataloader_num_workers": 0}
    changes |= {"cache_prompts": True, "cache_features": True, "crop": False, "color_jitter": 0.0}
    changes |= {"eval_steps": 2, "eval_samples": 5, "picture_samples": 0, "calibrate": False}
    alone = write_recipe("alone", per_device_train_batch_size=8, **changes)
    shared = write_recipe("shared", per_device_train_batch_size=4, **changes)
    assert launch(alone, "gradients") == 0, said(alone)
    assert launch(shared, "gradients", processes=2) == 0, said(shared)
    assert losses(shared) == pytest.approx(losses(alone), rel=1e-6)

    model = CLIPSegForImageSegmentation.from_pretrained(output_of(alone) / "final")
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    one, two = load_file(f"{alone}.gradients-1"), load_file(f"{shared}.gradients-2")
    assert len(names) == len(one) == len(two)
    for name, key in zip(names, sorted(one), strict=True):
        if not name.endswith("k_proj.bias"):  # zero by mathematics
            error = (one[key] - two[key]).norm() / one[key].norm()
            assert error < 1e-6, f"{name}: {error}"

    numbers, others = (log(recipe)[-1] for recipe in (alone, shared))
    assert "text_ap" in numbers and numbers == pytest.approx(others, rel=1e-4)


@pytest.mark.slow
def test_two_nodes_without_a_shared_disk(write_recipe, launch):
    """Only the first has checkpoints; the second is told where the run stands."""
    changes = {"per_device_train_batch_size": 2, "eval_steps": 1, "eval_samples": 4, "picture_samples": 0}
    changes |= {"calibrate": False, "dataloader_num_workers": 0}
    whole = write_recipe("whole-near", **changes)
    cut = write_recipe("cut-apart", **changes | {"output_dir": "run"})
    assert launch(whole, processes=2) == 0, said(whole)
    assert launch(cut, "saving", 4, processes=2, apart=True) == -signal.SIGKILL, said(cut)
    assert launch(cut, processes=2, apart=True) == 0, said(cut)
    first, second = (Path(f"{cut}.node-{rank}") / "run" for rank in range(2))
    assert (first / "final" / "model.safetensors").read_bytes() == weights(whole)
    assert not list(second.glob("*checkpoint*")) and not (second / "final").exists()


def test_nodes_with_other_settings_are_refused(write_recipe, launch):
    recipe = write_recipe("unlike", output_dir="run", per_device_train_batch_size=2, dataloader_num_workers=0)
    assert launch(recipe, "other settings", processes=2, apart=True) != 0
    told = Path(f"{recipe}.said-1").read_text()
    assert "Process 1 does not train on what the main process does" in told
    assert "seed: 1 here, 0 there" in told


def test_accelerate_launch_starts_it_too(write_recipe):
    recipe = write_recipe("launched", max_steps=1, dataloader_num_workers=0)
    options = ["--cpu", "--num_processes=1", "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
    command(["-m", "accelerate.commands.launch", *options, *MODULE, str(recipe), "--set", "learning_rate=5e-4"])
    used = CLIPSegTrainingArguments.from_yaml(output_of(recipe) / "final" / "recipe.yaml")
    assert used.learning_rate == 5e-4 and checkpoints(recipe) == ["checkpoint-000001"]
