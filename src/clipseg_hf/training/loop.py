"""The training loop (paper, section 4), to be read from top to bottom.

What a step does depends on the recipe, the seed and the step's number alone, so a run that was cut off goes on from
its last checkpoint as if nothing had happened.
"""

import contextlib
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError

from clipseg_hf.data.sampling.collate import PromptCollator
from clipseg_hf.data.sampling.sampling import PromptSampler
from clipseg_hf.evaluation.reports.report import fingerprint_rows
from clipseg_hf.processing.postprocessing import read_thresholds
from clipseg_hf.training import assembly
from clipseg_hf.training.arguments import CLIPSegTrainingArguments
from clipseg_hf.training.batches import SampleStream, StepPlan, make_loader, reading, stable_seed
from clipseg_hf.training.caches.blocks import CacheSettings
from clipseg_hf.training.caches.feature_cache import FeatureCache
from clipseg_hf.training.caches.prompt_cache import PromptCache
from clipseg_hf.training.devices import device_name, refuse_parallel, start_accelerator
from clipseg_hf.training.model_inputs import ModelInputs
from clipseg_hf.training.runs import state
from clipseg_hf.training.runs.folders import recover, write_whole
from clipseg_hf.training.runs.picture_grid import PictureGrid
from clipseg_hf.training.runs.progress import Report
from clipseg_hf.training.runs.provenance import describe_environment, fingerprint_weights
from clipseg_hf.training.schedules import learning_rate_at
from clipseg_hf.training.validation import Validation, calibrate

logger = logging.getLogger(__name__)


class TrainingStopped(RuntimeError):
    """Training cannot go on; the message names the step, the rows and the last checkpoint."""


@dataclass
class TrainingResult:
    """What is left of a run.

    Attributes:
        model, processor: as they were saved.
        folder: the finished model, for `from_pretrained`.
        state: steps and prompts done, images skipped, best validation.
        metrics: numbers of the last validation and of the calibration.
    """

    model: torch.nn.Module
    processor: object
    folder: Path
    state: state.TrainingState
    metrics: dict = field(default_factory=dict)


def train(
    args: CLIPSegTrainingArguments, *, model=None, processor=None, train_rows=None, validation_rows=None
) -> TrainingResult:
    """Train a decoder, from wherever its last checkpoint stands, and save the finished model in `output_dir/final`.

    Args:
        args: the recipe.
        model, processor, train_rows, validation_rows: in place of those that the recipe names.

    Raises:
        TrainingStopped: a loss that is not finite, a full disk, a reader that died, and the like.
        ValueError: a recipe that cannot be carried out, or does not fit the checkpoints in `output_dir`.
    """
    accelerator = start_accelerator(args)
    output = Path(args.output_dir)

    # what is trained
    refuse_parallel(model)
    model = model or assembly.build_model(args)
    processor = assembly.fit_processor(processor, args) if processor else assembly.build_processor(args)
    model.freeze_clip()
    clip = fingerprint_weights(model.clip)
    model.to(accelerator.device)
    optimizer = assembly.build_optimizer(model, args)

    # on what
    if train_rows is None:
        with accelerator.main_process_first():  # that one builds the data, the others read what it built
            train_rows, validation_rows = assembly.build_rows(args)
    settings = assembly.sampling_settings(args)
    sampler = PromptSampler(train_rows, settings, seed=args.seed, load_supports=not args.cache_prompts)
    collator = PromptCollator(processor, info=True)
    stream = SampleStream(sampler, strict=args.strict)
    images = args.per_device_train_batch_size // args.phrases_per_image
    world, rank = accelerator.num_processes, accelerator.process_index
    if args.num_train_epochs:
        per_step = images * args.gradient_accumulation_steps * world
        args = args.replace(max_steps=math.ceil(args.num_train_epochs * len(stream) / per_step), num_train_epochs=None)

    # from where
    provenance = {
        **describe_environment(),
        "seed": args.seed,
        "train_data": fingerprint_rows(train_rows),
        "validation_data": None if validation_rows is None else fingerprint_rows(validation_rows),
        "clip": clip,
        "processes": world,
        "device": device_name(accelerator),
        "mixed_precision": accelerator.mixed_precision,
        "prompts_per_step": args.per_device_train_batch_size * args.gradient_accumulation_steps * world,
    }
    if accelerator.is_main_process:
        output.mkdir(parents=True, exist_ok=True)
        recover(output)
    accelerator.wait_for_everyone()
    checkpoint = state.find_checkpoint(args, provenance)
    progress = state.load_checkpoint(checkpoint, model, optimizer) if checkpoint else state.TrainingState()

    # at what speed
    prompts = features = None
    if args.cache_prompts:
        prompts = filled(accelerator, PromptCache, args, model, processor, sampler, collator, provenance)
    if args.cache_features:
        features = filled(accelerator, FeatureCache, args, model, processor, sampler, collator, provenance)
        sampler.rows = features.blank_rows()
    inputs = ModelInputs(accelerator.device, prompts, features)
    plan = StepPlan(
        len(stream), images, args.gradient_accumulation_steps, rank, world, args.seed, progress.step, args.max_steps
    )
    loader = make_loader(
        stream,
        plan,
        collator,
        args.dataloader_num_workers,
        args.dataloader_prefetch_factor,
        pin_memory=accelerator.device.type == "cuda",
    )
    if args.torch_compile:
        assembly.compile_model(model, args.torch_compile_backend)
    bare = model
    model, optimizer = accelerator.prepare(model, optimizer)
    if accelerator.scaler is not None and progress.scaler:
        accelerator.scaler.load_state_dict(progress.scaler)
    validation = grid = None
    if validation_rows is not None and args.eval_steps:
        validation = Validation(validation_rows, args)
        if args.picture_samples and accelerator.is_main_process:
            grid = PictureGrid(validation_rows, processor, args.picture_samples, args.image_size)
    report = Report(accelerator, args, progress.step)
    if checkpoint:
        report.say(f"Going on from {checkpoint}.")

    # the loop
    with contextlib.ExitStack() as stack:
        with naming_the_step(progress.step, plan, stream, output):
            batches = stack.enter_context(reading(loader))
        while not progress.is_over(args):
            step, began = progress.step, time.perf_counter()
            with naming_the_step(step, plan, stream, output):
                model.train()
                rate = learning_rate_at(step, args)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                micro_batches = [next(batches) for _ in range(args.gradient_accumulation_steps)]
                loss, count = train_step(accelerator, model, optimizer, inputs, micro_batches, step, args)
                progress.step, progress.prompts = step + 1, progress.prompts + count
                note_skipped(progress, micro_batches, report)

                seconds = time.perf_counter() - began
                progress.seconds += seconds
                report.progress(loss, count / seconds, rate)
                last = progress.step == args.max_steps
                if progress.step % args.logging_steps == 0 or last:
                    done = {"prompts": progress.prompts, "seconds": progress.seconds}
                    report.numbers(progress.step, loss=loss, learning_rate=rate, **done)
                if validation and (progress.step % args.eval_steps == 0 or last):
                    with accelerator.autocast():
                        progress.metrics = validation(bare, processor)
                        if grid:
                            report.picture(progress.step, grid(bare))
                    report.numbers(progress.step, **progress.metrics)
                    if progress.note_validation(args.metric_for_best_model) and accelerator.is_main_process:
                        with write_whole(output / "best", step=progress.step, metrics=progress.metrics) as folder:
                            state.save_model(folder, bare, processor, args, provenance, state.knows_its_base(bare))
                if progress.step % args.save_steps == 0 or progress.is_over(args):
                    save(accelerator, output, bare, processor, optimizer, progress, args, provenance)

    # what is left
    accelerator.wait_for_everyone()
    metrics = dict(progress.metrics)
    if progress.best_step not in (None, progress.step) and args.load_best_model_at_end:
        report.say(f"The best model is that of step {progress.best_step} of {progress.step}.")
        metrics = state.load_best(output / "best", bare, progress)
    accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    bare.eval()
    if validation and args.calibrate:
        with accelerator.autocast():
            thresholds = calibrate(bare, processor, validation_rows, args)
        bare.config.mask_thresholds = thresholds
        processor.mask_thresholds = read_thresholds(thresholds)
        metrics |= {f"threshold_{kind}": value for kind, value in thresholds.items()}
        report.numbers(progress.step, **metrics)
    final = output / "final"
    if accelerator.is_main_process:
        facts = {"step": progress.step, "best_step": progress.best_step, "metrics": metrics}
        with write_whole(final, **facts, skipped=progress.skipped) as folder:
            state.save_model(folder, bare, processor, args, provenance, args.save_decoder_only)
        if args.push_to_hub:
            push(final, args)
    accelerator.wait_for_everyone()
    report.close()
    return TrainingResult(bare, processor, final, progress, metrics)


def filled(accelerator, cache, args: CLIPSegTrainingArguments, model, processor, sampler, collator, provenance: dict):
    """A cache of one kind, with all in it that can be encoded beforehand; the processes share the work.

    Raises:
        TrainingStopped: the disk has no room for it, a reader died, and the like.
    """
    settings = CacheSettings(
        folder=Path(args.cache_dir or Path(args.output_dir) / "cache"),
        data=provenance["train_data"],
        clip=provenance["clip"],
        preprocessing=assembly.preprocessing_of(processor),
        precision=provenance["mixed_precision"],
        workers=args.dataloader_num_workers,
        quiet=args.disable_tqdm or not accelerator.is_main_process,
    )
    try:
        with accelerator.main_process_first():
            made = cache(model, sampler, collator, settings)
        with accelerator.autocast():
            made.fill(accelerator.process_index, accelerator.num_processes)
            accelerator.wait_for_everyone()
            made.fill()  # only where the nodes share no disk is there anything left to do
    except (RuntimeError, OSError) as error:
        raise TrainingStopped(
            f"Training stopped before a step, while it encoded for the cache in {settings.folder}: {error}. What is "
            "encoded is kept; the same command goes on from there."
        ) from error
    return made


def train_step(accelerator, model, optimizer, inputs, micro_batches, step, args) -> tuple[float, int]:
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
        torch.manual_seed(stable_seed(args.seed, "dropout", step, micro, accelerator.process_index))
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
    norm = accelerator.clip_grad_norm_(model.parameters(), args.max_grad_norm or math.inf)
    if accelerator.scaler is None and not math.isfinite(norm):  # fp16 skips such a step by itself
        raise FloatingPointError(f"the gradient's norm is {float(norm)}, though the loss is {loss:.4g}")
    optimizer.step()
    optimizer.zero_grad()
    return loss, total


def save(accelerator, output, model, processor, optimizer, progress, args, provenance) -> None:
    """Write a checkpoint, then delete those before it that are not kept."""
    if accelerator.scaler is not None:
        progress.scaler = accelerator.scaler.state_dict()
    if accelerator.is_main_process:
        path = state.checkpoint_path(output, progress.step)
        state.save_checkpoint(path, model, processor, optimizer, progress, args, provenance)
        state.prune_checkpoints(output, args.save_total_limit)
    accelerator.wait_for_everyone()


def push(folder: Path, args: CLIPSegTrainingArguments) -> None:
    """Upload the finished model."""
    from huggingface_hub import HfApi

    api = HfApi()
    name = args.hub_model_id or f"{api.whoami()['name']}/{Path(args.output_dir).name}"
    repo = api.create_repo(name, private=args.hub_private_repo, exist_ok=True).repo_id
    api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Upload the trained model")


def note_skipped(progress: state.TrainingState, micro_batches: list[dict], report: Report) -> None:
    """Count and log images that could not be read, each once."""
    for batch in micro_batches:
        for error in batch["info"].skipped:
            if error.image_id not in progress.skipped:
                progress.skipped[error.image_id] = error.cause
                report.say(f"Skipped ({len(progress.skipped)} so far): {error}")


@contextlib.contextmanager
def naming_the_step(step: int, plan: StepPlan, stream: SampleStream, output: Path) -> Iterator[None]:
    """Say of an error in which step it came, on which rows, and from where to go on."""
    try:
        yield
    except (RuntimeError, OSError, FloatingPointError, SafetensorError) as error:
        rows = sorted({row for keys in plan.keys(step) for row in stream.rows_of(keys)})
        kept = sorted(output.glob("checkpoint-*[0-9]"))
        after = f"{kept[-1]} is whole; the same command goes on from there." if kept else "There is no checkpoint yet."
        raise TrainingStopped(
            f"Training stopped in step {step} (counted from 0) on rows {rows}: {error}. {after}"
        ) from error
