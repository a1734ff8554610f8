"""What a pretraining that was cut goes on from: one file, which is gone once the training has ended."""

import dataclasses
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from transformers import CLIPModel

from clipseg_hf._output_files import write_whole
from clipseg_hf.training.pretraining.pretrain_recipe import PretrainRecipe
from clipseg_hf.training.runs.state import optimizer_tensors, restore_optimizer

MODEL, OPTIMIZER, LOSSES = "model.", "optimizer.", "losses"


class Unfinished:
    """Weights, optimizer and losses after some step. Pictures, patches and learning rate follow from seed and step.

    Args:
        folder: of the training's result, where the file lies.
        recipe: of the training.

    Raises:
        ValueError: there is such a file, but of another recipe, or it cannot be read.
    """

    def __init__(self, folder: Path, recipe: PretrainRecipe):
        self.path = folder / "unfinished.safetensors"
        self.recipe = {key: value for key, value in dataclasses.asdict(recipe).items() if key != "save_steps"}
        self.recipe = json.loads(json.dumps(self.recipe))  # as it is read again
        if not self.path.exists():
            return
        try:
            with safe_open(self.path, framework="pt") as stored:
                found = json.loads(stored.metadata()["recipe"])
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path} is not what a training leaves behind ({error}); remove it, and it starts anew."
            ) from error
        other = [key for key in self.recipe | found if self.recipe.get(key) != found.get(key)]
        if other:
            raise ValueError(
                f"{self.path} is of a training by another recipe, which differs in {', '.join(other)}; name another "
                "folder, or remove the file to start anew."
            )

    def restore(self, model: CLIPModel, optimizer: torch.optim.Optimizer) -> list[float]:
        """Put what is there into model and optimizer.

        Returns:
            the losses of all steps so far: none, if nothing is there.
        """
        if not self.path.exists():
            return []
        tensors = load_file(self.path)
        model.load_state_dict(_without(tensors, MODEL))
        restore_optimizer(model, optimizer, _without(tensors, OPTIMIZER))
        return tensors[LOSSES].tolist()

    def save(self, model: CLIPModel, optimizer: torch.optim.Optimizer, losses: list[float]) -> None:
        """Keep what is to be gone on from, at once or not at all."""
        tensors = {MODEL + name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        tensors |= {OPTIMIZER + name: tensor for name, tensor in optimizer_tensors(model, optimizer).items()}
        tensors[LOSSES] = torch.tensor(losses, dtype=torch.float64)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, lambda draft: save_file(tensors, draft, {"recipe": json.dumps(self.recipe)}))

    def remove(self) -> None:
        """The training has ended."""
        self.path.unlink(missing_ok=True)


def _without(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
