"""Where a model runs."""

import os

import torch


def find_device(device: torch.device | str | None = None) -> torch.device | str:
    """The device that was asked for, if it is there.

    Args:
        device: None: a GPU where there is one - of several processes on one machine each takes the one of its number -
            else the CPU.

    Raises:
        ValueError: a device that is not there.
    """
    if device is None:
        own = int(os.environ.get("LOCAL_RANK", 0))
        return f"cuda:{own % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # each device has its own way to be missing
        raise ValueError(f"The device {device} cannot be used here: {str(error).splitlines()[0]}") from error
    return device
