"""`python killed_run.py MOMENT STEP RECIPE`: train by a recipe and be killed (SIGKILL) at a chosen moment.

MOMENT is "saving", when all files of checkpoint STEP are written but not yet in place; "writing", when the first of
them is; or "stepping", between the gradients of step STEP and the weights' change.
"""

import os
import signal
import sys

import torch

from clipseg_hf.training import folders, loop, state
from clipseg_hf.training.__main__ import main


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(moment: str, step: int) -> None:
    if moment == "saving":
        rename = os.rename

        def rename_or_die(source, target):
            if str(target).endswith(f"checkpoint-{step:06d}"):
                die()
            rename(source, target)

        folders.os.rename = rename_or_die
    elif moment == "writing":
        save_model = state.save_model

        def save_and_die(folder, *args, **kwargs):
            save_model(folder, *args, **kwargs)
            if f"checkpoint-{step:06d}" in str(folder):
                die()

        state.save_model = save_and_die
    elif moment == "stepping":
        train_step = loop.train_step

        def step_and_die(accelerator, model, optimizer, inputs, micro_batches, number, args):
            if number == step:
                optimizer.step = die
            return train_step(accelerator, model, optimizer, inputs, micro_batches, number, args)

        loop.train_step = step_and_die
    elif moment == "gradients":  # not a death: keep the gradients of the first step beside the recipe
        optimizer_step = torch.optim.AdamW.step

        def keep_and_step(self, *args, **kwargs):
            from safetensors.torch import save_file

            if int(os.environ.get("RANK", 0)) == 0 and not os.path.exists(sys.argv[3] + ".gradients"):
                gradients = [p.grad for group in self.param_groups for p in group["params"]]
                save_file({f"{n:03d}": g.clone() for n, g in enumerate(gradients)}, sys.argv[3] + ".gradients")
            return optimizer_step(self, *args, **kwargs)

        torch.optim.AdamW.step = keep_and_step


if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
