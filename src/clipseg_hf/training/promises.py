"""What a recipe promises, checked before the first step: what can be known at once is not found out after hours."""

import math
import shutil
from pathlib import Path

import torch

from clipseg_hf.console.values import closest
from clipseg_hf.evaluation.protocols.referring import count_questions
from clipseg_hf.hub.origins import check_data_license, check_license
from clipseg_hf.hub.uploading import check_hub
from clipseg_hf.training.arguments import CLIPSegTrainingArguments
from clipseg_hf.training.devices.processes import from_main
from clipseg_hf.training.runs.run_folder import knows_its_base
from clipseg_hf.training.validation import ValidationSettings


def check_promises(
    args: CLIPSegTrainingArguments, model, validation_rows, settings: ValidationSettings, *, calibrates: bool
) -> None:
    """Refuse a recipe that cannot be carried out to its end.

    Args:
        args: the recipe.
        model: what is trained.
        validation_rows: those that are validated on, or None for none.
        settings: of the validation.
        calibrates: whether there will be a calibration.

    Raises:
        ValueError: such a recipe; the message says what came, what was expected, and what would do.
    """
    if args.early_stopping_patience and validation_rows is None:
        raise ValueError(
            "early_stopping_patience needs something to validate on, but there are no validation rows: set "
            "validation_data, or validation_fraction to set some of the images aside."
        )
    if args.calibration_weights and not calibrates:
        raise ValueError(
            "calibration_weights needs something to find the best of them on, but there are no validation rows: set "
            "validation_data, or validation_fraction to set some of the images aside."
        )
    if validation_rows is not None:
        _check_metric(args.metric_for_best_model, validation_rows, settings)
    if args.save_decoder_only and not knows_its_base(model):
        raise ValueError(
            "save_decoder_only writes a decoder that names its CLIP, but this model's CLIP has no name (it was made "
            "here, not loaded): set save_decoder_only: false."
        )
    patch, sides = model.config.vision_config.patch_size, args.image_size
    sides = (sides,) if isinstance(sides, int) else sides
    if any(side % patch or side < patch for side in sides):
        fitting = [max(patch, round(side / patch) * patch) for side in sides]
        raise ValueError(
            f"image_size is {args.image_size}, but this CLIP reads patches of {patch} pixels, and sides are multiples "
            f"of that: {' x '.join(map(str, fitting))} would do."
        )
    if args.torch_compile:
        known = torch.compiler.list_backends(exclude_tags=())
        if args.torch_compile_backend not in known:
            raise ValueError(
                f"torch_compile_backend is one of {', '.join(known)}; got {args.torch_compile_backend!r}."
                + closest(args.torch_compile_backend, known)
            )


def check_output(accelerator, args: CLIPSegTrainingArguments, model) -> None:
    """Refuse what the main process could not write or upload in the end.

    Raises:
        ValueError, OSError: no token, network or licence for `push_to_hub`, a name that the Hub does not take, a disk
            without room.
    """

    def check() -> tuple[dict, dict]:
        if args.push_to_hub:
            _check_hub(args, model)
        _check_room(args, model)
        return {}, {}

    from_main(accelerator, check)


def _check_metric(metric: str, rows, settings: ValidationSettings) -> None:
    given = []
    for kind, (present, absent) in count_questions(rows, settings.referring(("text", "image"))).items():
        if present:
            given += [f"{kind}_{name}" for name in ("miou_best", "miou_0.5", "ap")] + [f"{kind}_auroc"] * bool(absent)
    if metric not in given:
        raise ValueError(
            f"metric_for_best_model is {metric}, but this validation gives {', '.join(given) or 'no numbers'}. Numbers "
            f"of image prompts need a phrase that occurs on two of the {len(rows)} validation images, auroc needs one "
            "that is true of some and absent from others: choose another metric, or more images (eval_samples, "
            "validation_data)."
        )


def _check_hub(args: CLIPSegTrainingArguments, model) -> None:
    name = args.hub_model_id or Path(args.output_dir).name
    try:
        check_hub(name if "/" in name else f"me/{name}")  # its account is asked for in the end
        check_license(args.hub_license)
        check_data_license(args.hub_data_license)
    except ValueError as error:
        given = f"hub_model_id {name!r}, hub_license {args.hub_license!r}, hub_data_license {args.hub_data_license!r}"
        raise ValueError(f"push_to_hub with {given} would fail in the end: {error}") from error
    base = getattr(model.config, "base_model_name_or_path", None) or model.name_or_path
    if args.save_decoder_only and Path(base).exists():
        raise ValueError(
            f"A published decoder names its CLIP by its id on the Hub, but {base} is a folder: set save_decoder_only: "
            "false, or push_to_hub: false."
        )


def _check_room(args: CLIPSegTrainingArguments, model) -> None:
    """Room for what a run still writes at most: the finished model whole, the best one, and the checkpoints."""
    sizes = dict.fromkeys((True, False), 0)
    for parameter in model.parameters():
        sizes[parameter.requires_grad] += parameter.numel() * parameter.element_size()
    model_size = sizes[True] + (0 if knows_its_base(model) else sizes[False])
    kept = (args.save_total_limit + 1) * (model_size + 3 * sizes[True]) + 2 * model_size
    needed = math.ceil(1.05 * kept) + (0 if args.save_decoder_only else sizes[False])
    free = shutil.disk_usage(args.output_dir).free
    # what an earlier start wrote is replaced
    written = sum(file.stat().st_size for file in Path(args.output_dir).glob("*/*.safetensors"))
    if needed > free + written:
        raise OSError(
            f"{args.output_dir} needs {needed / 1e6:.0f} MB for {args.save_total_limit} checkpoints, the best and the "
            f"finished model, but the disk has {free / 1e6:.0f} MB left: choose another output_dir, or a smaller "
            "save_total_limit."
        )
