"""What `accelerate launch` and its configuration file ask for.

They say it in environment variables, of which Accelerate follows some whatever a script does, and passes others over.
Here each has its effect, or is refused by name.
"""

import os

SPLITTING = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism_config",
}
FOR_TPU = ("ACCELERATE_IN_TPU_POD", "ACCELERATE_DOWNCAST_BF16", "XLA_USE_BF16", "XLA_DOWNCAST_BF16")
PRECISIONS = ("no", "bf16", "fp16")
MEANS_NOTHING = ("", "0", "false", "no", "none", "auto")


def refuse_launch_settings(gradient_accumulation_steps: int = 1, max_grad_norm: float = 1.0) -> None:
    """Refuse what contradicts the recipe, or cannot be had here.

    Args:
        gradient_accumulation_steps, max_grad_norm: the recipe's.

    Raises:
        ValueError: such a setting; the message names it, and what to do instead.
    """
    for name, way in SPLITTING.items():
        if _is_on(name):
            raise ValueError(
                f"{way} ({name}) splits a model over devices; here about a million weights are trained, and each "
                "device holds them all. Choose plain multi-GPU in `accelerate config`, or start with torchrun."
            )
    sagemaker = os.environ.get("ACCELERATE_SAGEMAKER_DISTRIBUTED_TYPE", "NO")
    if _is_on("ACCELERATE_USE_SAGEMAKER") and sagemaker.upper() != "NO":
        raise ValueError(
            f"SageMaker's {sagemaker} (ACCELERATE_SAGEMAKER_DISTRIBUTED_TYPE) is not PyTorch's own data parallelism, "
            "which alone is made use of here: set it to NO, and start one process for each device with torchrun."
        )
    for name in FOR_TPU:
        if _is_on(name):
            raise ValueError(f"{name} is set, but TPUs are not trained on here: choose GPUs or CPUs, or unset it.")
    if os.environ.get("ACCELERATE_DYNAMO_BACKEND", "").lower() not in MEANS_NOTHING:
        raise ValueError(
            f"ACCELERATE_DYNAMO_BACKEND (dynamo_backend in accelerate's settings) is "
            f"{os.environ['ACCELERATE_DYNAMO_BACKEND']}, which would compile the whole model for each number of "
            "prompts: set it to no, and torch_compile: true (and torch_compile_backend) in the recipe."
        )
    for name, field, value in (
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "gradient_accumulation_steps", gradient_accumulation_steps),
        ("ACCELERATE_GRADIENT_CLIPPING", "max_grad_norm", max_grad_norm),
    ):
        said = os.environ.get(name, "").lower()
        if said not in MEANS_NOTHING and not _equals(said, value) and not (said == "1" and isinstance(value, int)):
            raise ValueError(
                f"{name} is {said}, but the recipe's {field} is {value}, and only that counts: set it in the recipe, "
                f"and remove {name} (or the like in accelerate's configuration file)."
            )


def launch_precision(mixed_precision: str) -> str:
    """The precision of a run: the recipe's, or in place of its "auto" that of `accelerate launch`, if that started it.

    `accelerate launch` says "no" where it was told nothing, so that cannot contradict a recipe.

    Raises:
        ValueError: fp8, or one that contradicts the recipe's.
    """
    said = os.environ.get("ACCELERATE_MIXED_PRECISION", "").lower()
    if said and said not in PRECISIONS:
        raise ValueError(
            f"ACCELERATE_MIXED_PRECISION (mixed_precision in accelerate's settings) is {said}; a decoder this small is "
            "trained in bf16, fp16 or no mixed precision: set it to no, and mixed_precision in the recipe."
        )
    if mixed_precision == "auto" and said:
        return said
    if said not in ("", "no", mixed_precision):
        raise ValueError(
            f"ACCELERATE_MIXED_PRECISION (mixed_precision in accelerate's settings) is {said}, but the recipe's "
            f"mixed_precision is {mixed_precision}: set both alike, or the recipe's to auto."
        )
    return mixed_precision


def launched_on_cpu() -> bool:
    """Whether `accelerate launch` asks for the CPU."""
    return _is_on("ACCELERATE_USE_CPU") or os.environ.get("ACCELERATE_TORCH_DEVICE", "").startswith("cpu")


def _is_on(name: str) -> bool:
    return os.environ.get(name, "").lower() not in MEANS_NOTHING


def _equals(text: str, value: float) -> bool:
    try:
        return float(text) == value
    except ValueError:
        return False
