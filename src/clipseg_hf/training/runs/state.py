"""The state of a run: written into a checkpoint, read back bit by bit. Tensors as safetensors, the rest as JSON."""

import json
import logging
import shutil
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from clipseg_hf.training.arguments import CLIPSegTrainingArguments
from clipseg_hf.training.runs.folders import BrokenFolder, read_manifest, write_whole

logger = logging.getLogger(__name__)

RECIPE = "recipe.yaml"
PROVENANCE = "provenance.json"
OPTIMIZER = "optimizer.safetensors"
WEIGHTS = ("decoder.safetensors", "model.safetensors")  # a decoder alone, or a whole model


@dataclass
class TrainingState:
    """Where a run stands. Nothing random is in here: what is drawn depends on the seed and the step alone.

    Attributes:
        step: optimizer steps done.
        prompts: prompts trained on.
        seconds: spent on that, validations and checkpoints not counted.
        skipped: image ids that could not be read, and why.
        best_step, best_value: the best validation so far.
        worse: validations since then.
        metrics: of the last validation.
        scaler: the loss scaling of fp16.
    """

    step: int = 0
    prompts: int = 0
    seconds: float = 0.0
    skipped: dict[str, str] = field(default_factory=dict)
    best_step: int | None = None
    best_value: float | None = None
    worse: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    scaler: dict = field(default_factory=dict)

    def note_validation(self, metric: str) -> bool:
        """Count a validation in; True if it is the best so far by one of its numbers, the higher the better.

        Raises:
            ValueError: the validation did not give that number.
        """
        if metric not in self.metrics:
            raise ValueError(
                f"metric_for_best_model is {metric}, but this validation gives {', '.join(self.metrics)}. Numbers of "
                "image prompts need phrases that occur on two validation images."
            )
        better = self.best_value is None or self.metrics[metric] > self.best_value
        if better:
            self.best_step, self.best_value, self.worse = self.step, self.metrics[metric], 0
        else:
            self.worse += 1
        return better

    def is_over(self, args: CLIPSegTrainingArguments) -> bool:
        """Whether all steps are done, or no validation has been better for too long."""
        patience = args.early_stopping_patience
        return self.step >= args.max_steps or (patience is not None and self.worse >= patience)


def checkpoint_path(output_dir: str | Path, step: int) -> Path:
    return Path(output_dir) / f"checkpoint-{step:06d}"


def save_checkpoint(path: Path, model, processor, optimizer, state: TrainingState, args, provenance: dict) -> None:
    """Write a checkpoint, all at once: the model and processor for `from_pretrained`, and all that training needs.

    Raises:
        OSError: it could not be written (a full disk); nothing is left of it.
    """
    with write_whole(path, **asdict(state), batch=provenance["prompts_per_step"]) as folder:
        save_model(folder, model, processor, args, provenance, decoder_only=knows_its_base(model))
        save_file(_optimizer_tensors(model, optimizer), folder / OPTIMIZER)


def save_model(folder: Path, model, processor, args, provenance: dict, decoder_only: bool) -> None:
    """The model and processor, the full recipe, and where they come from."""
    model.save_pretrained(folder, decoder_only=decoder_only)
    processor.save_pretrained(folder)
    args.to_yaml(folder / RECIPE)
    (folder / PROVENANCE).write_text(json.dumps(provenance, indent=1) + "\n", encoding="utf-8")


def knows_its_base(model) -> bool:
    """Whether the model can be saved as a decoder alone, since its CLIP has a name."""
    return bool(getattr(model.config, "base_model_name_or_path", None) or model.name_or_path)


def load_checkpoint(path: Path, model, optimizer) -> TrainingState:
    """Bring model and optimizer to where a checkpoint stands.

    Raises:
        BrokenFolder: it is torn or foreign.
        ValueError: it is of another decoder.
    """
    facts = read_manifest(path)
    load_decoder(path, model)
    _restore_optimizer(model, optimizer, load_file(path / OPTIMIZER))
    facts.pop("batch")
    return TrainingState(**facts)


def load_decoder(path: Path, model) -> None:
    """Put the trained weights of a checkpoint, or of the best model, into a model.

    Raises:
        ValueError: they are of another decoder.
    """
    expected = _trainable(model)
    file = next(path / name for name in WEIGHTS if (path / name).exists())
    with safe_open(file, framework="pt") as stored:
        weights = {name: stored.get_tensor(name) for name in stored.keys() if name in expected}  # noqa: SIM118
    for name, tensor in expected.items():
        found = list(weights[name].shape) if name in weights else "missing"
        if found != list(tensor.shape):
            raise ValueError(f"{path} is of another decoder: its {name} is {found}, this model's {list(tensor.shape)}.")
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(weights[name])


def load_best(path: Path, model, state: TrainingState) -> dict[str, float]:
    """Put the best model's weights into the model; returns its validation's numbers.

    Raises:
        BrokenFolder: the folder is torn, or of another run.
    """
    facts = read_manifest(path)
    if facts["step"] != state.best_step:
        raise BrokenFolder(
            f"{path} holds the model of step {facts['step']}, but the best one is that of step {state.best_step}: "
            "was it replaced, or does this run go on from an earlier checkpoint? load_best_model_at_end=false does "
            "without it."
        )
    load_decoder(path, model)
    return facts["metrics"]


def find_checkpoint(args: CLIPSegTrainingArguments, provenance: dict) -> Path | None:
    """The checkpoint that a run goes on from: the last whole one, or the one that was asked for.

    Raises:
        BrokenFolder: the one asked for is torn or foreign, or all there are.
        ValueError: it was made by other settings or data; the message lists them.
        FileExistsError: there are checkpoints, and `resume_from_checkpoint` is False.
    """
    if isinstance(args.resume_from_checkpoint, str):
        path = Path(args.resume_from_checkpoint)
        read_manifest(path)
        return path
    there = sorted(Path(args.output_dir).glob("checkpoint-*[0-9]"), reverse=True)
    if there and not args.resume_from_checkpoint:
        raise FileExistsError(
            f"{args.output_dir} holds checkpoints ({there[0].name} is the last) and resume_from_checkpoint is off: "
            "choose another output_dir, delete them, or leave resume_from_checkpoint on."
        )
    problems = []
    for path in there:
        try:
            facts = read_manifest(path)
        except BrokenFolder as error:
            logger.warning("%s The one before it is used.", error)
            problems.append(str(error))
            continue
        _check_same_run(path, args, provenance, facts)
        return path
    if problems:
        raise BrokenFolder(f"No checkpoint in {args.output_dir} can be used; delete them to begin anew. {problems[0]}")
    return None


def _check_same_run(path: Path, args: CLIPSegTrainingArguments, provenance: dict, facts: dict) -> None:
    """Refuse to go on with other settings or data than a run was started with."""
    before, now = CLIPSegTrainingArguments.from_yaml(path / RECIPE).to_dict(), args.to_dict()
    fixed = [option.name for option in fields(args) if not option.metadata["free"]]
    changed = [f"{key}: {before[key]!r} -> {now[key]!r}" for key in fixed if before[key] != now[key]]
    origin = json.loads((path / PROVENANCE).read_text(encoding="utf-8"))
    for key in ("train_data", "clip", "prompts_per_step"):
        if origin[key] != provenance[key]:
            changed.append(f"{key}: {origin[key]} -> {provenance[key]}")
    if changed:
        raise ValueError(
            f"{path} was made by another run, so going on from it would mix two. What differs:\n  "
            + "\n  ".join(changed)
            + f"\nChoose another output_dir, or go on from it on purpose with resume_from_checkpoint={path}"
        )
    for key in ("processes", "mixed_precision", "device"):
        if origin[key] != provenance[key]:
            note = (
                "Going on with another number or kind of %s (%s, before %s): not bit by bit the same as without a stop."
            )
            logger.warning(note, key, provenance[key], origin[key])


def prune_checkpoints(output_dir: str | Path, keep: int) -> None:
    """Delete all but the last `keep` checkpoints; to be called once the newest is whole."""
    for path in sorted(Path(output_dir).glob("checkpoint-*[0-9]"))[:-keep]:
        shutil.rmtree(path)


def _trainable(model) -> dict[str, torch.Tensor]:
    return {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}


def _optimizer_tensors(model, optimizer) -> dict[str, torch.Tensor]:
    """AdamW's state by the parameter's name: `exp_avg.decoder...`, `exp_avg_sq.decoder...`, `step.decoder...`."""
    inner = getattr(optimizer, "optimizer", optimizer)  # Accelerate's wrapper
    tensors = {}
    for name, parameter in model.named_parameters():
        for key, value in inner.state.get(parameter, {}).items():
            tensors[f"{key}.{name}"] = torch.as_tensor(value).detach().contiguous()
    return tensors


def _restore_optimizer(model, optimizer, tensors: dict[str, torch.Tensor]) -> None:
    inner = getattr(optimizer, "optimizer", optimizer)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for key, value in tensors.items():
        kind, _, name = key.partition(".")
        like = parameters[name]
        place = like.device if kind != "step" else value.device  # AdamW counts steps on the CPU
        inner.state[like][kind] = value.to(place)
