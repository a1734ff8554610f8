"""A training by a recipe in a process of its own, killed (SIGKILL) at a chosen moment, or watched."""

import os
import signal
from pathlib import Path

import torch
from safetensors.torch import save_file

from clipseg_hf.training import steps
from clipseg_hf.training.__main__ import main
from clipseg_hf.training.runs import folders, run_folder


def start(recipe: str, moment: str, step: int, rank: int, world: int, port: int, apart: bool) -> None:
    """Train as one of `world` processes.

    Args:
        moment: "" for an ordinary run; "saving": killed when all files of checkpoint `step` are written but not yet in
            place; "writing": killed when the first of them is; "stepping": killed between the gradients of step `step`
            and the weights' change; "gradients": the first step's gradients are kept beside the
            recipe; "other settings": the processes have other seeds.
        apart: each process has a folder of its own to work in, as nodes have that share no disk.
    """
    if apart:
        node = Path(f"{recipe}.node-{rank}")
        node.mkdir(exist_ok=True)
        os.chdir(node)
    torch.set_num_threads(1)
    if world > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
        os.environ |= {"LOCAL_WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    moments = {"saving": _saving, "writing": _writing, "stepping": _stepping, "gradients": _gradients}
    moments.get(moment, _nothing)(step, f"{recipe}.gradients-{world}")
    with open(f"{recipe}.said-{rank}", "w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    raise SystemExit(main([recipe, "--set", f"seed={rank}"] if moment == "other settings" else [recipe]))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _nothing(step: int, path: str) -> None:
    pass


def _saving(step: int, path: str) -> None:
    rename = os.rename

    def rename_or_die(source, target):
        if Path(target).name == f"checkpoint-{step:06d}":
            _die()
        rename(source, target)

    folders.os.rename = rename_or_die


def _writing(step: int, path: str) -> None:
    save_model = run_folder.save_model

    def save_and_die(folder, *args, **kwargs):
        save_model(folder, *args, **kwargs)
        if f"checkpoint-{step:06d}" in str(folder):
            _die()

    run_folder.save_model = save_and_die


def _stepping(step: int, path: str) -> None:
    train_step = steps.train_step

    def step_and_die(accelerator, model, optimizer, inputs, micro_batches, number, args):
        if number == step:
            optimizer.step = _die
        return train_step(accelerator, model, optimizer, inputs, micro_batches, number, args)

    steps.train_step = step_and_die


def _gradients(step: int, path: str) -> None:
    optimizer_step = torch.optim.AdamW.step

    def keep_and_step(self, *args, **kwargs):
        if os.environ.get("RANK", "0") == "0" and not Path(path).exists():
            gradients = [parameter.grad for group in self.param_groups for parameter in group["params"]]
            save_file({f"{n:03d}": gradient.clone() for n, gradient in enumerate(gradients)}, path)
        return optimizer_step(self, *args, **kwargs)

    torch.optim.AdamW.step = keep_and_step
