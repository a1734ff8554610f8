"""Devices, processes and precision, by Accelerate."""

import platform
import re
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import (
    DistributedDataParallelKwargs,
    DistributedType,
    GradientAccumulationPlugin,
    InitProcessGroupKwargs,
    ProjectConfiguration,
)

from clipseg_hf.training.devices.launch_settings import launch_precision, launched_on_cpu, refuse_launch_settings
from clipseg_hf.training.runs.progress import choose_trackers


def start_accelerator(
    output: Path,
    *,
    use_cpu: bool = False,
    mixed_precision: str = "auto",
    trackers: tuple[str, ...] = (),
    gradient_accumulation_steps: int = 1,
    max_grad_norm: float = 1.0,
) -> Accelerator:
    """Devices, processes, precision and trackers.

    Args:
        output: folder of the run; trackers write into its `logs`.
        use_cpu: even where there is an accelerator.
        mixed_precision: "bf16", "fp16", "no", or "auto": what `accelerate launch` says, or without it bf16
            where the device computes in it.
        trackers: Accelerate's, by name.
        gradient_accumulation_steps, max_grad_norm: the recipe's, for comparison with what `accelerate launch` says.

    Raises:
        ValueError: `accelerate launch` asks for what contradicts these, or cannot be had here.
    """
    refuse_launch_settings(gradient_accumulation_steps, max_grad_norm)
    mixed_precision = launch_precision(mixed_precision)
    AcceleratorState._reset_state()  # a second training in one process may want another precision
    cpu = use_cpu or launched_on_cpu() or not torch.accelerator.is_available()
    if mixed_precision == "auto":
        mixed_precision = "bf16" if computes_in_bf16(cpu) else "no"
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision=mixed_precision,
        log_with=choose_trackers(trackers) or None,
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),  # each step weighs its parts itself
        project_config=ProjectConfiguration(project_dir=str(output), logging_dir=str(output / "logs")),
        kwargs_handlers=[
            DistributedDataParallelKwargs(broadcast_buffers=False),
            InitProcessGroupKwargs(timeout=timedelta(hours=3)),  # the others wait while one builds the data
        ],
    )
    if accelerator.distributed_type == DistributedType.XLA:
        raise ValueError("TPUs are not trained on here: choose GPUs or CPUs.")
    accelerator.sync_gradients = True  # another Accelerator of this process may have left it off
    return accelerator


def computes_in_bf16(cpu: bool) -> bool:
    """Whether the device has instructions for bfloat16."""
    if not cpu:
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu.get_capabilities().get("avx512_bf16")) if hasattr(torch.cpu, "get_capabilities") else False


def refuse_parallel(model) -> None:
    """`nn.DataParallel` cuts every argument into equal parts, and so tears prompts from their images."""
    if isinstance(model, torch.nn.DataParallel):
        raise ValueError(
            "nn.DataParallel cannot train CLIPSeg: prompts and images differ in number, and it would cut both alike. "
            "Pass the bare model, and start one process for each device: torchrun --nproc_per_node N."
        )


def device_name(accelerator: Accelerator) -> str:
    """What the run computes on."""
    if accelerator.device.type == "cuda":
        return torch.cuda.get_device_name(accelerator.device)
    return f"{accelerator.device.type} ({processor_name()})"


def processor_name() -> str:
    """The processor's name; Linux tells it in a file."""
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        named = re.search(
            r"^model name\s*:\s*(.+)$", listing.read_text(encoding="utf-8", errors="replace"), re.MULTILINE
        )
        if named:
            return named[1].strip()
    return platform.processor() or platform.machine()
