"""The training loop (paper, section 4), to be read from top to bottom.

What a step does depends on the recipe, the seed and the step's number alone, so a run that was cut off goes on from
its last checkpoint as if nothing had happened.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from clipseg_hf.data.sampling.collate import PromptCollator
from clipseg_hf.training import assembly
from clipseg_hf.training.arguments import CLIPSegTrainingArguments
from clipseg_hf.training.batches import SampleStream, make_loader
from clipseg_hf.training.caches.filling import cached_inputs
from clipseg_hf.training.devices.accelerator import refuse_parallel
from clipseg_hf.training.devices.processes import refuse_differences
from clipseg_hf.training.promises import check_output, check_promises
from clipseg_hf.training.readable import readable_rows
from clipseg_hf.training.runs.beginning import begin, what_is_trained
from clipseg_hf.training.runs.provenance import describe_run, fingerprint_weights
from clipseg_hf.training.runs.run_folder import RunFolder
from clipseg_hf.training.runs.state import TrainingState
from clipseg_hf.training.steps import Steps
from clipseg_hf.training.stopped import TrainingStopped
from clipseg_hf.training.validation import Validation, calibrate

__all__ = ["TrainingResult", "TrainingStopped", "train"]


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
    state: TrainingState
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
    accelerator = assembly.build_accelerator(args)

    # what is trained
    refuse_parallel(model)
    model = model or assembly.build_model(args)
    processor = assembly.fit_processor(processor, args) if processor else assembly.build_processor(args)
    assembly.freeze(model, args)
    clip = fingerprint_weights(model.clip)
    model.to(accelerator.device)
    optimizer = assembly.build_optimizer(model, args)

    # on what
    if train_rows is None:
        with accelerator.main_process_first():  # that one builds the data, the others read what it built
            train_rows, validation_rows = assembly.build_rows(args)
    sampler = assembly.build_sampler(train_rows, args)
    stream = SampleStream(sampler, strict=args.strict)
    args = assembly.fix_max_steps(args, len(stream), accelerator.num_processes)
    chosen, broken = None, {}
    if validation_rows is not None and args.eval_steps:
        chosen, broken = readable_rows(accelerator, validation_rows, args.eval_samples, args.strict)
    calibrates = validation_rows is not None and args.calibrate
    check_promises(args, model, chosen, assembly.validation_settings(args), calibrates=calibrates)

    # from where
    prompts = assembly.prompts_per_step(args, accelerator.num_processes)
    provenance = describe_run(accelerator, clip, train_rows, validation_rows, seed=args.seed, prompts_per_step=prompts)
    folder = RunFolder(Path(args.output_dir), args, provenance)
    refuse_differences(accelerator, what_is_trained(args, provenance))
    folder, state, best, news = begin(accelerator, folder, model, processor, optimizer)
    check_output(accelerator, args, model)
    state.skipped_validation = broken

    # at what speed
    collator = PromptCollator(processor, info=True)
    caches = assembly.cache_settings(args, processor, provenance, state)
    inputs = cached_inputs(accelerator, model, sampler, collator, *caches)
    plan = assembly.plan_steps(args, len(stream), accelerator, state.step)
    loader = make_loader(stream, plan, collator, assembly.loader_settings(args, accelerator))
    if args.torch_compile:
        assembly.compile_model(model, args.torch_compile_backend)

    # the loop
    steps = Steps(
        *(accelerator, assembly.step_settings(args), folder, model, processor, optimizer, inputs, plan, stream),
        *(state, best),
        report=assembly.build_report(args, accelerator, state.step),
        validation=None if chosen is None else Validation(chosen, assembly.validation_settings(args)),
        grid=None if chosen is None else assembly.build_grid(args, chosen, processor, accelerator),
    )
    for line in [*news, *left_out(broken, "validation")]:
        steps.report.say(line)
    steps.run(loader)

    # what is left
    metrics = steps.finish(load_best=args.load_best_model_at_end)
    if calibrates:
        chosen, broken = readable_rows(accelerator, validation_rows, args.calibration_samples, args.strict)
        for line in left_out(broken, "calibration"):
            steps.report.say(line)
        state.skipped_validation |= broken
        with accelerator.autocast():
            calibration = calibrate(model, processor, chosen, assembly.calibration_settings(args))
        calibration.put_into(model, processor)
        metrics |= calibration.numbers()
        steps.report.numbers(state.step, **metrics)
    if accelerator.is_main_process:
        folder.save_final(model, processor, state, metrics, args.save_decoder_only)
        if args.push_to_hub:
            publish(args, folder.path / "final", steps.report.say)
    accelerator.wait_for_everyone()
    steps.report.close()
    return TrainingResult(model, processor, folder.path / "final", state, metrics)


def left_out(broken: dict[str, str], of: str) -> list[str]:
    """Lines that count and name images that could not be read."""
    return [
        f"Left out of the {of} ({n} so far): image {name!r}: {why}" for n, (name, why) in enumerate(broken.items(), 1)
    ]


def publish(args: CLIPSegTrainingArguments, folder: Path, echo: Callable[[str], None]) -> None:
    """Publish the finished model, under the user's own account where the name has no other."""
    from huggingface_hub import HfApi

    from clipseg_hf.hub import publish_checkpoint  # with all that draws and samples, which a training does not need

    name = args.hub_model_id or folder.parent.name
    publish_checkpoint(
        folder,
        name if "/" in name else f"{HfApi().whoami()['name']}/{name}",
        license=args.hub_license,
        data_license=args.hub_data_license,
        private=args.hub_private_repo,
        decoder_only=args.save_decoder_only,
        prompts=args.hub_prompts,
        echo=echo,
    )
