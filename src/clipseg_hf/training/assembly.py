"""From arguments to the parts of a run. Nothing else reads a recipe's fields but what they say themselves."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPConfig, CLIPModel, CLIPSegConfig

from clipseg_hf._counted import counted
from clipseg_hf.data.rows.pictures import number_pictures
from clipseg_hf.data.rows.rows import take
from clipseg_hf.data.sampling.sampling import PromptSampler
from clipseg_hf.data.sampling.sampling_settings import SamplingSettings
from clipseg_hf.data.sources.loading import load_segmentation_dataset, open_segmentation_data
from clipseg_hf.data.vocabulary.phrases import PREFIXES
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.modeling.model_names import find_model
from clipseg_hf.processing.processing_clipseg import CLIPSegProcessor
from clipseg_hf.processing.visual_prompts import VisualPromptSettings
from clipseg_hf.training.arguments import CLIPSegTrainingArguments
from clipseg_hf.training.batches import LoaderSettings, StepPlan, stable_seed
from clipseg_hf.training.caches.cache_settings import CacheSettings, fingerprint_tokenizer
from clipseg_hf.training.caches.filling import CachedKinds
from clipseg_hf.training.devices.accelerator import start_accelerator
from clipseg_hf.training.runs.picture_grid import PictureGrid
from clipseg_hf.training.runs.progress import Report
from clipseg_hf.training.runs.state import TrainingState
from clipseg_hf.training.schedules import LearningRateSchedule
from clipseg_hf.training.steps import StepSettings
from clipseg_hf.training.validation import ValidationSettings

EXTRACT_LAYERS, REDUCE_DIM, INTERMEDIATE_SIZE, DECODER_DROPOUT = (3, 7, 9), 64, 2048, 0.1  # the paper's training files


def build_accelerator(args: CLIPSegTrainingArguments):
    """Devices, processes, precision and trackers."""
    return start_accelerator(
        Path(args.output_dir),
        use_cpu=args.use_cpu,
        mixed_precision=args.mixed_precision,
        trackers=args.report_to,
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        max_grad_norm=args.max_grad_norm,
    )


def build_model(args: CLIPSegTrainingArguments) -> CLIPSegForImageSegmentation:
    """The model to train: a CLIPSeg as it is, or its decoder on another CLIP, or a CLIP with a fresh decoder drawn
    from the seed.

    Raises:
        ValueError: the arguments name no model, or a decoder and a CLIP that do not fit.
        FileNotFoundError, ConnectionError: a model that is not there; see `find_model`.
    """
    if args.model_name_or_path:
        _find(args.model_name_or_path, args.model_revision)
        changes = {
            "decoder_dropout": args.decoder_dropout,
            "refiner": args.refiner,
            "conditional_layers": None if args.conditional_layers is None else list(args.conditional_layers),
            "prompt_tokens": args.prompt_tokens,
            "loss_type": args.loss_type,
            "revision": args.model_revision,
        }
        changes = {name: value for name, value in changes.items() if value is not None}
        torch.manual_seed(stable_seed(args.seed, "refiner"))  # which a checkpoint may not have yet
        trained = CLIPSegForImageSegmentation.from_pretrained(args.model_name_or_path, **changes)
        return put_on_clip(trained, args.clip_name_or_path) if args.clip_name_or_path else trained
    if not args.clip_name_or_path:
        raise ValueError(
            "Name the model to train: clip_name_or_path (a CLIP that gets a fresh decoder) or model_name_or_path (a "
            "CLIPSeg to fine-tune)."
        )
    _find(args.clip_name_or_path, args.model_revision)
    clip, where = args.clip_name_or_path, {"revision": args.model_revision} if args.model_revision else {}
    if not args.pretrained_clip:
        torch.manual_seed(stable_seed(args.seed, "clip"))
        clip, where = CLIPModel(CLIPConfig.from_pretrained(clip, **where)), {}
    return CLIPSegForImageSegmentation.from_clip(
        clip,
        extract_layers=args.extract_layers or EXTRACT_LAYERS,
        reduce_dim=args.reduce_dim or REDUCE_DIM,
        decoder_intermediate_size=args.decoder_intermediate_size or INTERMEDIATE_SIZE,
        use_complex_transposed_convolution=bool(args.use_complex_transposed_convolution),
        conditional_layers=args.conditional_layers,
        prompt_tokens=args.prompt_tokens,
        decoder_dropout=DECODER_DROPOUT if args.decoder_dropout is None else args.decoder_dropout,
        loss_type=args.loss_type or "bce",
        refiner=args.refiner,
        generator=torch.Generator().manual_seed(stable_seed(args.seed, "decoder")),
        **where,
    )


def _find(name: str, revision: str | None = None) -> None:
    find_model(name, "make it first, by the recipe that this one goes on from.", revision)


def put_on_clip(trained: CLIPSegForImageSegmentation, name: str) -> CLIPSegForImageSegmentation:
    """A trained decoder, with what stands beside it, on another CLIP, whose activations it is yet to get used to.

    Its thresholds, and the weight of an example beside a text, which were found with the other CLIP, are left away.

    Raises:
        ValueError: it does not fit that CLIP.
        FileNotFoundError, ConnectionError: the CLIP is not there; see `find_model`.
    """
    _find(name)
    fresh = CLIPSegForImageSegmentation.from_clip(name, extract_layers=trained.config.extract_layers)
    config, of_clip = trained.config.to_dict(), fresh.config.to_dict()
    config |= {key: value for key, value in of_clip.items() if key in _CLIP_FIELDS}
    for found_with_the_other in ("mask_thresholds", "image_prompt_weight"):
        config.pop(found_with_the_other, None)
    with torch.device("meta"):  # no time for weights that are replaced at once
        moved = CLIPSegForImageSegmentation(CLIPSegConfig.from_dict(config))
    moved.clip = fresh.clip
    here = moved.state_dict()
    own = {key: tensor for key, tensor in trained.state_dict().items() if not key.startswith("clip.")}
    for key, tensor in own.items():
        if tensor.shape != here[key].shape:
            raise ValueError(
                f"The decoder of {trained.name_or_path} does not fit the CLIP {name}: its {key} is "
                f"{list(tensor.shape)}, that CLIP needs {list(here[key].shape)}. Take a CLIP of the same width and "
                "projection, or a fresh decoder (clip_name_or_path alone)."
            )
    moved.load_state_dict(own, strict=False, assign=True)
    moved.freeze_clip()
    return moved.eval()


_CLIP_FIELDS = (
    "text_config", "vision_config", "projection_dim", "logit_scale_init_value", "initializer_factor",
    "base_model_name_or_path", "base_model_revision",
)  # fmt: skip


def freeze(model: CLIPSegForImageSegmentation, args: CLIPSegTrainingArguments) -> None:
    """Leave as it is what the recipe does not train.

    Raises:
        ValueError: nothing is left to train.
    """
    model.freeze_clip()
    if args.freeze_decoder:
        if model.refiner is None:
            raise ValueError(
                "freeze_decoder trains the refiner alone, but this model has none: set refiner: {} for a fresh one."
            )
        model.freeze_decoder()


def build_processor(args: CLIPSegTrainingArguments) -> CLIPSegProcessor:
    """The processor to the model, at the size that is trained on."""
    options = {"revision": args.model_revision} if args.model_revision else {}
    if args.clip_name_or_path:
        processor = CLIPSegProcessor.from_clip(args.clip_name_or_path, **options)
    else:
        processor = CLIPSegProcessor.from_pretrained(args.model_name_or_path, **options)
    return fit_processor(processor, args)


def fit_processor(processor: CLIPSegProcessor, args: CLIPSegTrainingArguments) -> CLIPSegProcessor:
    """Give a processor the image size and the visual prompts of the training, so that its users get the same.

    Raises:
        ValueError: an unknown key in `visual_prompt`.
    """
    height, width = sampling_settings(args).size
    processor.image_processor.size = {"height": height, "width": width}
    if args.visual_prompt:
        known = [option.name for option in dataclasses.fields(VisualPromptSettings)]
        unknown = sorted(set(args.visual_prompt) - set(known))
        if unknown:
            raise ValueError(f"visual_prompt knows {', '.join(known)}; got {', '.join(unknown)}.")
        processor.visual_prompt_settings = dataclasses.replace(processor.visual_prompt_settings, **args.visual_prompt)
    return processor


def sampling_settings(args: CLIPSegTrainingArguments) -> SamplingSettings:
    """How training samples are drawn."""
    shared = {option.name: getattr(args, option.name) for option in dataclasses.fields(SamplingSettings)}
    return SamplingSettings(**(shared | {"prefixes": args.prefixes or PREFIXES}))


def build_rows(args: CLIPSegTrainingArguments):
    """Rows to train on and rows to validate on; the latter None where there are none or nothing is validated.

    Raises:
        ValueError: no data are named, or the filters leave nothing.
    """
    if not args.train_data:
        raise ValueError("Name the data: train_data, a folder in PhraseCut's layout or one of your own.")
    train = _load(args, args.train_data, args.train_split)
    validation = None
    if args.validation_data:
        validation = _load(args, args.validation_data, args.validation_split)
    elif args.eval_steps and args.validation_split in _splits(args):
        validation = _load(args, args.train_data, args.validation_split)
    elif args.eval_steps and args.validation_fraction:
        train, validation = _split(train, args.validation_fraction, args.seed)
    if validation is None and args.early_stopping_patience:
        raise ValueError(
            f"early_stopping_patience needs something to validate on, but {args.train_data} has no split "
            f"{args.validation_split}: set validation_data, or validation_fraction to set some of the images aside."
        )
    if args.max_train_samples is not None:
        train = take(train, range(min(args.max_train_samples, len(train))))
    return train, validation


def build_sampler(rows, args: CLIPSegTrainingArguments) -> PromptSampler:
    """What draws samples of the training rows."""
    return PromptSampler(rows, sampling_settings(args), seed=args.seed)


def build_optimizer(model: CLIPSegForImageSegmentation, args: CLIPSegTrainingArguments) -> torch.optim.AdamW:
    """AdamW over the decoder and what stands beside it, as far as they are trained."""
    return torch.optim.AdamW(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=args.learning_rate,
        betas=(args.adam_beta1, args.adam_beta2),
        eps=args.adam_epsilon,
        weight_decay=args.weight_decay,
    )


def fix_max_steps(args: CLIPSegTrainingArguments, samples: int, processes: int) -> CLIPSegTrainingArguments:
    """The recipe with its passes over the data as a number of steps."""
    if args.num_train_epochs is None:
        return args
    per_step = prompts_per_step(args, processes) // args.phrases_per_image
    return args.replace(max_steps=math.ceil(args.num_train_epochs * samples / per_step), num_train_epochs=None)


def prompts_per_step(args: CLIPSegTrainingArguments, processes: int) -> int:
    """Prompts that the processes together see in one step."""
    return args.per_device_train_batch_size * args.gradient_accumulation_steps * processes


def plan_steps(args: CLIPSegTrainingArguments, samples: int, accelerator, start: int) -> StepPlan:
    """Which of the samples each step of this process takes."""
    return StepPlan(
        samples,
        args.per_device_train_batch_size // args.phrases_per_image,
        args.gradient_accumulation_steps,
        accelerator.process_index,
        accelerator.num_processes,
        args.seed,
        start,
        args.max_steps,
    )


def loader_settings(args: CLIPSegTrainingArguments, accelerator) -> LoaderSettings:
    """How batches are read."""
    pin_memory = accelerator.device.type == "cuda"
    return LoaderSettings(args.dataloader_num_workers, args.dataloader_prefetch_factor, pin_memory)


def cache_settings(
    args: CLIPSegTrainingArguments, processor: CLIPSegProcessor, provenance: dict, state: TrainingState
) -> tuple[CacheSettings, CachedKinds]:
    """Where caches lie and what belongs into them, and which there are, for a run that begins at a state."""
    by_onednn = [name for name, is_used in state.matrix_code.items() if is_used]
    settings = CacheSettings(
        folder=Path(args.cache_dir or Path(args.output_dir) / "cache"),
        data=provenance["train_data"],
        clip=provenance["clip"],
        image_processor=json.loads(processor.image_processor.to_json_string()),
        visual_prompt=processor.visual_prompt_settings.to_dict(),
        tokenizer=fingerprint_tokenizer(processor.tokenizer),
        precision=provenance["mixed_precision"],
        device=", ".join([provenance["device"], *by_onednn]),
        prompts_ahead=(args.max_steps - state.step) * provenance["prompts_per_step"],
        workers=args.dataloader_num_workers,
        quiet=args.disable_tqdm,
    )
    return settings, CachedKinds(args.cache_prompts, args.cache_features)


def step_settings(args: CLIPSegTrainingArguments) -> StepSettings:
    """What the steps need."""
    shared = {option.name: getattr(args, option.name) for option in dataclasses.fields(StepSettings)[1:]}
    return StepSettings(schedule=schedule(args), **shared)


def schedule(args: CLIPSegTrainingArguments) -> LearningRateSchedule:
    """The learning rate of each step."""
    return LearningRateSchedule(
        args.learning_rate, args.min_learning_rate, args.lr_scheduler_type, args.warmup_steps, args.max_steps
    )


def validation_settings(args: CLIPSegTrainingArguments) -> ValidationSettings:
    """How the model is measured in the course of the training."""
    templates = {"templates": args.prefixes[:1]} if args.prefixes else {}
    batch_size = max(1, args.per_device_eval_batch_size // 8)  # images; each comes with a few prompts
    return ValidationSettings(args.eval_samples, batch_size, **templates)


def calibration_settings(args: CLIPSegTrainingArguments) -> ValidationSettings:
    """The same on the images that thresholds are found on."""
    return dataclasses.replace(
        validation_settings(args), samples=args.calibration_samples, weights=args.calibration_weights
    )


def build_report(args: CLIPSegTrainingArguments, accelerator, step: int) -> Report:
    """What tells how the run goes, from `step` on."""
    output = Path(args.output_dir)
    name, quiet = args.run_name or output.name, args.disable_tqdm
    return Report(accelerator, output, name, args.to_dict(), step, args.max_steps, quiet)


def build_grid(args: CLIPSegTrainingArguments, rows, processor: CLIPSegProcessor, accelerator) -> PictureGrid | None:
    """The main process's pictures of some validation rows, if there are to be any."""
    if not args.picture_samples or not accelerator.is_main_process:
        return None
    return PictureGrid(rows, processor, args.picture_samples, args.image_size)


def compile_model(model: CLIPSegForImageSegmentation, backend: str) -> None:
    """Compile what a step runs, in place: the vision layers that the decoder reads, and the decoder."""
    for layer in model.clip.vision_model.encoder.layers[: max(model.config.extract_layers) + 1]:
        layer.compile(backend=backend)
    model.decoder.compile(backend=backend, dynamic=True)  # the number of prompts differs from step to step


def _splits(args: CLIPSegTrainingArguments) -> tuple[str, ...]:
    """The splits that the training data have."""
    options = {name: value for name, value in args.data_options.items() if name != "num_proc"}
    return open_segmentation_data(args.train_data, **options).config.source.splits


def _load(args: CLIPSegTrainingArguments, data: str, split: str):
    """Rows of a split, filtered."""
    return load_segmentation_dataset(
        data,
        split,
        without_concepts=args.without_concepts,
        without_words=args.without_words,
        min_area=args.min_area,
        strict=args.strict,
        **args.data_options,
    )


def _split(rows, fraction: float, seed: int):
    """Set a share of the pictures aside, each with all of its rows, drawn by the seed; at least one on each side.

    Raises:
        ValueError: there are no two pictures.
    """
    numbers = number_pictures(rows)
    pictures = np.unique(numbers)
    if len(pictures) < 2:
        raise ValueError(
            f"validation_fraction sets some of the pictures aside, but the {counted(len(rows), 'row')} to train on "
            f"show {counted(len(pictures), 'picture')}: there is none for each side."
        )
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(stable_seed(seed, "split"))).numpy()
    held = max(1, min(round(len(pictures) * fraction), len(pictures) - 1))
    is_held = np.isin(numbers, pictures[order[:held]])
    return take(rows, np.flatnonzero(~is_held).tolist()), take(rows, np.flatnonzero(is_held).tolist())
