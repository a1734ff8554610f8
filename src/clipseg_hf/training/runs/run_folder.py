"""The folder of a run: its checkpoints, its best model and the finished one, each whole or not there."""

import json
import logging
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from safetensors.torch import load_file, save_file

from clipseg_hf.training.arguments import CLIPSegTrainingArguments
from clipseg_hf.training.runs.checkpoints import checkpoint_path, checkpoints_in, step_of
from clipseg_hf.training.runs.folders import BrokenFolder, is_written_here, read_manifest, write_whole
from clipseg_hf.training.runs.state import TrainingState, load_decoder, optimizer_tensors, restore_optimizer

logger = logging.getLogger(__name__)

RECIPE = "recipe.yaml"
PROVENANCE = "provenance.json"
OPTIMIZER = "optimizer.safetensors"


@dataclass(frozen=True)
class RunFolder:
    """What a run writes of its models, and reads again.

    Attributes:
        path: the recipe's `output_dir`.
        recipe: written beside every model, and compared when the run goes on.
        provenance: where the models come from; likewise.
    """

    path: Path
    recipe: CLIPSegTrainingArguments
    provenance: dict

    def save_checkpoint(self, model, processor, optimizer, state: TrainingState, keep: int) -> None:
        """Write a checkpoint, all at once: the model and processor for `from_pretrained`, and all that training needs.
        Then delete those before it, but for the last `keep`.

        Raises:
            OSError: it could not be written (a full disk); nothing is left of it.
        """
        facts = {**asdict(state), "batch": self.provenance["prompts_per_step"]}
        with write_whole(checkpoint_path(self.path, state.step), **facts) as folder:
            self._write(folder, model, processor, decoder_only=knows_its_base(model))
            save_file(optimizer_tensors(model, optimizer), folder / OPTIMIZER)
        before = [path for path in checkpoints_in(self.path) if step_of(path) <= state.step and is_written_here(path)]
        for path in before[:-keep]:
            shutil.rmtree(path)

    def save_best(self, model, processor, state: TrainingState) -> None:
        """Keep the model of the best validation so far."""
        with write_whole(self.path / "best", step=state.step, metrics=state.metrics) as folder:
            self._write(folder, model, processor, decoder_only=knows_its_base(model))

    def save_final(self, model, processor, state: TrainingState, metrics: dict, decoder_only: bool) -> Path:
        """Write the finished model; returns its folder."""
        final = self.path / "final"
        facts = {"step": state.step, "best_step": state.best_step, "metrics": metrics, "skipped": state.skipped}
        with write_whole(final, **facts) as folder:
            self._write(folder, model, processor, decoder_only)
        return final

    def _write(self, folder: Path, model, processor, decoder_only: bool) -> None:
        save_model(folder, model, processor, self.recipe, self.provenance, decoder_only)

    def load_checkpoint(self, path: Path, model, optimizer) -> TrainingState:
        """Bring model and optimizer to where a checkpoint stands.

        Raises:
            BrokenFolder: it is torn or foreign.
            ValueError: it is of another decoder.
        """
        facts = read_manifest(path)
        load_decoder(path, model)
        restore_optimizer(model, optimizer, load_file(path / OPTIMIZER))
        facts.pop("batch")
        return TrainingState(**facts)

    def load_best(self, model, state: TrainingState) -> dict[str, float]:
        """Put the best model's weights into the model; returns its validation's numbers.

        Raises:
            BrokenFolder: the folder is torn, or of another run.
        """
        path = self.path / "best"
        facts = read_manifest(path)
        if facts["step"] != state.best_step:
            raise BrokenFolder(
                f"{path} holds the model of step {facts['step']}, but the best one is that of step {state.best_step}: "
                "was it replaced, or does this run go on from an earlier checkpoint? load_best_model_at_end=false does "
                "without it."
            )
        load_decoder(path, model)
        return facts["metrics"]

    def find_checkpoint(self, resume: bool | str) -> Path | None:
        """The checkpoint that the run goes on from: the last whole one, or the one that was asked for.

        Args:
            resume: True: the last whole one; a folder: that one; False: there must be none.

        Raises:
            BrokenFolder: the one asked for is torn or foreign, or all there are.
            ValueError: it was made by other settings or data; the message lists them.
            FileExistsError: there are checkpoints, and `resume` is False.
        """
        if isinstance(resume, str):
            read_manifest(Path(resume))
            return Path(resume)
        there = checkpoints_in(self.path)[::-1]
        if there and not resume:
            raise FileExistsError(
                f"{self.path} holds checkpoints ({there[0].name} is the last) and resume_from_checkpoint is off: "
                "choose another output_dir, delete them, or leave resume_from_checkpoint on."
            )
        problems = []
        for path in there:
            try:
                read_manifest(path)
            except BrokenFolder as error:
                logger.warning("%s The one before it is used.", error)
                problems.append(str(error))
                continue
            self._check_same_run(path)
            return path
        if problems:
            raise BrokenFolder(f"No checkpoint in {self.path} can be used; delete them to begin anew. {problems[0]}")
        return None

    def _check_same_run(self, path: Path) -> None:
        """Refuse to go on with other settings or data than a run was started with."""
        before, now = CLIPSegTrainingArguments.from_yaml(path / RECIPE).to_dict(), self.recipe.to_dict()
        fixed = [option.name for option in fields(self.recipe) if not option.metadata["free"]]
        changed = [f"{key}: {before[key]!r} -> {now[key]!r}" for key in fixed if before[key] != now[key]]
        origin = json.loads((path / PROVENANCE).read_text(encoding="utf-8"))
        for key in ("train_data", "clip", "prompts_per_step"):
            if origin[key] != self.provenance[key]:
                changed.append(f"{key}: {origin[key]} -> {self.provenance[key]}")
        if changed:
            raise ValueError(
                f"{path} was made by another run, so going on from it would mix two. What differs:\n  "
                + "\n  ".join(changed)
                + f"\nChoose another output_dir, or go on from it on purpose with resume_from_checkpoint={path}"
            )
        for key in ("processes", "mixed_precision", "device"):
            if origin[key] != self.provenance[key]:
                logger.warning(
                    "Going on with another number or kind of %s (%s, before %s): not bit by bit the same as without a "
                    "stop.",
                    key,
                    self.provenance[key],
                    origin[key],
                )


def save_model(folder: Path, model, processor, recipe, provenance: dict, decoder_only: bool) -> None:
    """The model and processor, the full recipe, and where they come from."""
    model.save_pretrained(folder, decoder_only=decoder_only)
    processor.save_pretrained(folder)
    recipe.to_yaml(folder / RECIPE)
    (folder / PROVENANCE).write_text(json.dumps(provenance, indent=1) + "\n", encoding="utf-8")


def knows_its_base(model) -> bool:
    """Whether the model can be saved as a decoder alone, since its CLIP has a name."""
    return bool(getattr(model.config, "base_model_name_or_path", None) or model.name_or_path)
