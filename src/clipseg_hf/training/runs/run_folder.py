"""The folder of a run: its checkpoints, its best model and the finished one, each whole or not there."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file

from clipseg_hf.training.arguments import CLIPSegTrainingArguments
from clipseg_hf.training.devices.processes import Tensors
from clipseg_hf.training.runs.checkpoints import checkpoint_path, checkpoints_in, step_of
from clipseg_hf.training.runs.folders import BrokenFolder, read_manifest, refuse_foreign, write_whole
from clipseg_hf.training.runs.resuming import PROVENANCE, RECIPE, Branch, is_own, to_facts
from clipseg_hf.training.runs.state import (
    TrainingState,
    optimizer_tensors,
    put_trained,
    read_trained,
    restore_optimizer,
    trained_tensors,
)

OPTIMIZER = "optimizer.safetensors"
BEST = "best.safetensors"


@dataclass(frozen=True)
class RunFolder:
    """What a run writes of its models, and reads again.

    Attributes:
        path: the recipe's `output_dir`.
        recipe: written beside every model, and compared when the run goes on.
        provenance: where the models come from; likewise.
        branch: of what the run is a branch, if it is one.
    """

    path: Path
    recipe: CLIPSegTrainingArguments
    provenance: dict
    branch: Branch | None = None

    def save_checkpoint(self, model, processor, optimizer, state: TrainingState, best: Tensors, keep: int) -> None:
        """Write a checkpoint, all at once: the model and processor for `from_pretrained`, and all that training needs,
        the best weights so far among it. Then delete the run's own before it, but for the last `keep`.

        Raises:
            OSError: it could not be written (a full disk); nothing is left of it.
        """
        batch = self.provenance["prompts_per_step"]
        facts = {**asdict(state), "batch": batch, "branch": to_facts(self.branch)}
        with write_whole(checkpoint_path(self.path, state.step), **facts) as folder:
            self._write(folder, model, processor, decoder_only=knows_its_base(model))
            save_file(optimizer_tensors(model, optimizer), folder / OPTIMIZER)
            if best:
                save_file(best, folder / BEST)
        before = [path for path in checkpoints_in(self.path) if step_of(path) <= state.step]
        own = [path for path in before if is_own(path, self.recipe, self.provenance, self.branch)]
        for path in own[:-keep]:
            shutil.rmtree(path)

    def save_best(self, model, processor, state: TrainingState, best: Tensors) -> None:
        """Write the model of the best validation so far."""
        now = trained_tensors(model)
        put_trained(model, best)
        with write_whole(self.path / "best", step=state.best_step, metrics=state.best_metrics) as folder:
            self._write(folder, model, processor, decoder_only=knows_its_base(model))
        put_trained(model, now)

    def holds_best(self, state: TrainingState) -> bool:
        """Whether `best` is what a state knows as that. A run that is killed between a validation and the checkpoint
        after it leaves a newer one."""
        try:
            return read_manifest(self.path / "best") == {"step": state.best_step, "metrics": state.best_metrics}
        except BrokenFolder:
            return False

    def save_final(self, model, processor, state: TrainingState, metrics: dict, decoder_only: bool) -> Path:
        """Write the finished model; returns its folder."""
        final = self.path / "final"
        facts = {"step": state.step, "seconds": state.seconds, "best_step": state.best_step, "metrics": metrics}
        facts |= {"skipped": state.skipped, "skipped_validation": state.skipped_validation}
        with write_whole(final, **facts, branch=to_facts(self.branch)) as folder:
            self._write(folder, model, processor, decoder_only)
        return final

    def refuse_foreign(self, step: int) -> None:
        """Refuse to begin after `step` where something that no run wrote lies in the way.

        Raises:
            FileExistsError: of that kind.
        """
        ahead = [path for path in checkpoints_in(self.path) if step < step_of(path) <= self.recipe.max_steps]
        for path in (self.path / "best", self.path / "final", *ahead):
            refuse_foreign(path)

    def _write(self, folder: Path, model, processor, decoder_only: bool) -> None:
        save_model(folder, model, processor, self.recipe, self.provenance, decoder_only)


def read_checkpoint(path: Path) -> tuple[dict, Tensors]:
    """A checkpoint's state as plain values, and its tensors: `model.NAME`, `optimizer.KIND.NAME`, `best.NAME`.

    Raises:
        BrokenFolder: it is torn or foreign.
    """
    facts = read_manifest(path)
    parts = {"model": read_trained(path), "optimizer": load_file(path / OPTIMIZER)}
    if facts["best_step"] is not None:
        parts["best"] = load_file(path / BEST)
    kept = {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}
    state = {name: value for name, value in facts.items() if name not in ("batch", "branch")}
    return state, kept


def restore(model, optimizer, tensors: Tensors, origin: Path) -> Tensors:
    """Bring model and optimizer to where a checkpoint stands; returns the best weights so far.

    Raises:
        ValueError: it is of another decoder.
    """
    parts: dict[str, Tensors] = {"model": {}, "optimizer": {}, "best": {}}
    for key, tensor in tensors.items():
        part, _, name = key.partition(".")
        parts[part][name] = tensor
    put_trained(model, parts["model"], origin)
    restore_optimizer(model, optimizer, parts["optimizer"])
    return parts["best"]


def save_model(folder: Path, model, processor, recipe, provenance: dict, decoder_only: bool) -> None:
    """The model and processor, the full recipe, and where they come from."""
    model.save_pretrained(folder, decoder_only=decoder_only)
    processor.save_pretrained(folder)
    recipe.to_yaml(folder / RECIPE)
    (folder / PROVENANCE).write_text(json.dumps(provenance, indent=1) + "\n", encoding="utf-8")


def knows_its_base(model) -> bool:
    """Whether the model can be saved as a decoder alone, since its CLIP has a name."""
    return bool(getattr(model.config, "base_model_name_or_path", None) or model.name_or_path)
