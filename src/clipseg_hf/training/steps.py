"""The steps of a run, one after the other: train, tell, validate, keep."""

import contextlib
import logging
import math
import time
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader

from clipseg_hf.training.batches import SampleStream, StepPlan, reading, stable_seed
from clipseg_hf.training.devices.processes import Tensors
from clipseg_hf.training.model_inputs import ModelInputs
from clipseg_hf.training.runs.picture_grid import PictureGrid
from clipseg_hf.training.runs.progress import Report
from clipseg_hf.training.runs.run_folder import RunFolder
from clipseg_hf.training.runs.state import TrainingState, put_trained, trained_tensors
from clipseg_hf.training.schedules import LearningRateSchedule
from clipseg_hf.training.stopped import naming_the_step
from clipseg_hf.training.validation import Validation

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepSettings:
    """What the steps need of a recipe; the names are the recipe's.

    Attributes:
        schedule: the learning rate of each step.
    """

    schedule: LearningRateSchedule
    seed: int = 0
    max_steps: int = 1
    gradient_accumulation_steps: int = 1
    max_grad_norm: float = 1.0
    logging_steps: int = 10
    eval_steps: int | None = None
    save_steps: int = 1000
    save_total_limit: int = 2
    metric_for_best_model: str = "text_miou_best"
    early_stopping_patience: int | None = None


class Steps:
    """The parts of a run, at work.

    Args:
        accelerator, settings, folder, model, processor, optimizer, inputs, plan, stream: see there; the model bare.
        state, best: where the run stands, and the weights of the best validation so far; the steps change them.
        report: is told what happens.
        validation, grid: what is measured and drawn every `eval_steps`; None for nothing.
    """

    def __init__(
        self,
        accelerator,
        settings: StepSettings,
        folder: RunFolder,
        model,
        processor,
        optimizer,
        inputs: ModelInputs,
        plan: StepPlan,
        stream: SampleStream,
        state: TrainingState,
        best: Tensors,
        *,
        report: Report,
        validation: Validation | None = None,
        grid: PictureGrid | None = None,
    ):
        self.accelerator, self.settings, self.folder = accelerator, settings, folder
        self.bare, self.processor = model, processor
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.inputs, self.plan, self.stream = inputs, plan, stream
        self.state, self.best = state, best
        self.report, self.validation, self.grid = report, validation, grid
        if accelerator.scaler is not None and state.scaler:
            accelerator.scaler.load_state_dict(state.scaler)

    def run(self, loader: DataLoader) -> None:
        """Take all steps that are left.

        Args:
            loader: gives the micro-batches of the plan.

        Raises:
            TrainingStopped: a loss that is not finite, a full disk, a reader that died, and the like.
        """
        with contextlib.ExitStack() as stack:
            with self._naming_the_step():
                batches = stack.enter_context(reading(loader))
            while not self._is_over():
                with self._naming_the_step():
                    self._step([next(batches) for _ in range(self.settings.gradient_accumulation_steps)])
                    if self.validation and self._is_due(self.settings.eval_steps):
                        self._validate()
                    if self.state.step % self.settings.save_steps == 0 or self._is_over():
                        self._save()

    def finish(self, load_best: bool) -> dict:
        """Bring the bare model to what is to be kept, ready for use; returns its validation's numbers."""
        self.accelerator.wait_for_everyone()
        metrics, state = dict(self.state.metrics), self.state
        if state.best_step not in (None, state.step) and load_best:
            self.report.say(f"The best model is that of step {state.best_step} of {state.step}.")
            put_trained(self.bare, self.best)
            metrics = dict(state.best_metrics)
        self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        self.bare.eval()
        return metrics

    def _step(self, micro_batches: list[dict]) -> None:
        state, began = self.state, time.perf_counter()
        self.model.train()
        rate = self.settings.schedule(state.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, count = train_step(
            self.accelerator, self.model, self.optimizer, self.inputs, micro_batches, state.step, self.settings
        )
        state.step, state.prompts = state.step + 1, state.prompts + count
        self._note_skipped(micro_batches)
        seconds = time.perf_counter() - began
        state.seconds += seconds
        self.report.progress(loss, count / seconds, rate)
        if self._is_due(self.settings.logging_steps):
            done = {"prompts": state.prompts, "seconds": state.seconds}
            self.report.numbers(state.step, loss=loss, learning_rate=rate, **done)

    def _validate(self) -> None:
        state = self.state
        with self.accelerator.autocast():
            state.metrics = self.validation(self.bare, self.processor)
            if self.grid:
                self.report.picture(state.step, self.grid(self.bare))
        self.report.numbers(state.step, **state.metrics)
        if state.note_validation(self.settings.metric_for_best_model):
            self.best = trained_tensors(self.bare)
            if self.accelerator.is_main_process:
                self.folder.save_best(self.bare, self.processor, state, self.best)

    def _save(self) -> None:
        if self.accelerator.scaler is not None:
            self.state.scaler = self.accelerator.scaler.state_dict()
        if self.accelerator.is_main_process:
            self.folder.save_checkpoint(
                self.bare, self.processor, self.optimizer, self.state, self.best, self.settings.save_total_limit
            )
        self.accelerator.wait_for_everyone()

    def _is_due(self, every: int) -> bool:
        return self.state.step % every == 0 or self.state.step == self.settings.max_steps

    def _is_over(self) -> bool:
        return self.state.is_over(self.settings.max_steps, self.settings.early_stopping_patience)

    def _naming_the_step(self):
        return naming_the_step(self.state.step, self.plan, self.stream, self.folder.path)

    def _note_skipped(self, micro_batches: list[dict]) -> None:
        """Count and log images that could not be read, each once."""
        skipped = self.state.skipped
        for batch in micro_batches:
            for error in batch["info"].skipped:
                if error.image_id not in skipped:
                    skipped[error.image_id] = error.cause
                    self.report.say(f"Skipped ({len(skipped)} so far): {error}")


def train_step(accelerator, model, optimizer, inputs, micro_batches, step, settings: StepSettings) -> tuple[float, int]:
    """One optimizer step over the micro-batches of all processes.

    Each prompt counts the same, however the prompts fell into micro-batches and processes: the gradient is that of the
    mean over all of them.

    Returns:
        the mean loss, and the number of prompts.

    Raises:
        FloatingPointError: the loss or the gradient is not finite; nothing was changed.
    """
    counts = [len(batch["labels"]) for batch in micro_batches]
    total = int(accelerator.reduce(torch.tensor(sum(counts), device=accelerator.device)))
    losses = []
    for micro, (batch, count) in enumerate(zip(micro_batches, counts, strict=True)):
        torch.manual_seed(stable_seed(settings.seed, "dropout", step, micro, accelerator.process_index))
        last = micro == len(micro_batches) - 1
        with contextlib.nullcontext() if last else accelerator.no_sync(model):
            with accelerator.autocast():
                loss = model(**inputs(batch)).loss
            losses.append(loss.detach() * count)
            # distributed data parallel takes the mean over processes, so the sum is that times their number
            accelerator.backward(loss * (count * accelerator.num_processes / total))
    loss = float(accelerator.reduce(torch.stack(losses).sum())) / total
    if not math.isfinite(loss):
        rows = [
            i
            for batch, value in zip(micro_batches, losses, strict=True)
            if not value.isfinite()
            for i in batch["info"].rows
        ]
        where = f"its rows here are {rows}" if rows else "its rows are another process's"
        raise FloatingPointError(f"the loss is {loss}; {where}")
    norm = accelerator.clip_grad_norm_(model.parameters(), settings.max_grad_norm or math.inf)
    if accelerator.scaler is None and not math.isfinite(norm):  # fp16 skips such a step by itself
        raise FloatingPointError(f"the gradient's norm is {float(norm)}, though the loss is {loss:.4g}")
    optimizer.step()
    optimizer.zero_grad()
    return loss, total
