"""Where a run stands: its numbers, and the tensors of decoder and optimizer, bit by bit."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open

from clipseg_hf.modeling.checkpoints.beside import ALL_BESIDE
from clipseg_hf.modeling.checkpoints.decoder_only import DECODER_FILE

WEIGHTS = (
    DECODER_FILE,
    "model.safetensors",
)  # a decoder alone, or a whole model; there may be files beside


@dataclass
class TrainingState:
    """Where a run stands. Nothing random is in here: what is drawn depends on the seed and the step alone.

    Attributes:
        step: optimizer steps done.
        prompts: prompts trained on.
        seconds: spent on that, validations and checkpoints not counted.
        skipped, skipped_validation: image ids that could not be read, and why.
        best_step, best_value, best_metrics: the best validation so far.
        best_by: what picked it: the number, and the images.
        worse: validations since then.
        metrics: of the last validation.
        scaler: the loss scaling of fp16.
        matrix_code: what oneDNN computes, by name; as measured where the run began, since roundings depend on it.
    """

    step: int = 0
    prompts: int = 0
    seconds: float = 0.0
    skipped: dict[str, str] = field(default_factory=dict)
    skipped_validation: dict[str, str] = field(default_factory=dict)
    best_step: int | None = None
    best_value: float | None = None
    best_metrics: dict[str, float] = field(default_factory=dict)
    best_by: str | None = None
    worse: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    scaler: dict = field(default_factory=dict)
    matrix_code: dict[str, bool] = field(default_factory=dict)

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
            self.best_metrics = dict(self.metrics)
        else:
            self.worse += 1
        return better

    def pick_best_by(self, key: str) -> bool:
        """From now on the best model is picked by `key`; False if the one so far was picked by something else, and is
        forgotten."""
        same = self.best_step is None or self.best_by == key
        if not same:
            self.best_step, self.best_value, self.best_metrics, self.worse = None, None, {}, 0
        self.best_by = key
        return same

    def is_over(self, max_steps: int, patience: int | None = None) -> bool:
        """Whether all steps are done, or no validation of the last `patience` was better."""
        return self.step >= max_steps or (patience is not None and self.worse >= patience)


def trained_tensors(model) -> dict[str, torch.Tensor]:
    """A copy of the trained weights, by the parameter's name."""
    return {name: p.detach().cpu().clone() for name, p in model.named_parameters() if p.requires_grad}


def read_trained(path: Path) -> dict[str, torch.Tensor]:
    """The weights in a checkpoint's folder, but for CLIP's."""
    files, tensors = [next(path / name for name in WEIGHTS if (path / name).exists())], {}
    for file in files + [path / part.file for part in ALL_BESIDE if (path / part.file).exists()]:
        with safe_open(file, framework="pt") as stored:
            names = [name for name in stored.keys() if not name.startswith("clip.")]  # noqa: SIM118
            tensors |= {name: stored.get_tensor(name) for name in names}
    return tensors


def put_trained(model, weights: dict[str, torch.Tensor], origin: str | Path = "What was kept") -> None:
    """Put trained weights into a model.

    Args:
        model: whose trained weights are changed.
        weights: those, and maybe others.
        origin: where they are from, for the error.

    Raises:
        ValueError: they are of another decoder.
    """
    expected = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for name, tensor in expected.items():
        found = list(weights[name].shape) if name in weights else "missing"
        if found != list(tensor.shape):
            raise ValueError(
                f"{origin} is of another decoder: its {name} is {found}, this model's {list(tensor.shape)}."
            )
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(weights[name])


def optimizer_tensors(model, optimizer) -> dict[str, torch.Tensor]:
    """AdamW's state by the parameter's name: `exp_avg.decoder...`, `exp_avg_sq.decoder...`, `step.decoder...`."""
    inner = getattr(optimizer, "optimizer", optimizer)  # Accelerate's wrapper
    tensors = {}
    for name, parameter in model.named_parameters():
        for key, value in inner.state.get(parameter, {}).items():
            tensors[f"{key}.{name}"] = torch.as_tensor(value).detach().contiguous()
    return tensors


def restore_optimizer(model, optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Put what `optimizer_tensors` gave into an optimizer of the same parameters."""
    inner = getattr(optimizer, "optimizer", optimizer)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for key, value in tensors.items():
        kind, _, name = key.partition(".")
        like = parameters[name]
        place = like.device if kind != "step" else value.device  # AdamW counts steps on the CPU
        inner.state[like][kind] = value.to(place)
