"""What the main process knows, told to the others: nodes need not share a disk, and only that process writes.

It travels as JSON and safetensors, so that nothing that comes from another machine is unpickled.
"""

import json
from collections.abc import Callable, Mapping

import torch
from accelerate.utils import broadcast
from safetensors.torch import load, save

Tensors = dict[str, torch.Tensor]


def from_main(accelerator, find: Callable[[], tuple[dict, Tensors]]) -> tuple[dict, Tensors]:
    """What `find` gives in the main process, in all processes.

    Args:
        accelerator: knows the processes.
        find: called in the main process alone; gives plain values, as JSON has them, and tensors.

    Raises:
        ValueError, OSError: as `find` does; in the other processes a ValueError with its message.
    """
    if accelerator.num_processes == 1:
        return find()
    facts, tensors, failure = {}, {}, None
    if accelerator.is_main_process:
        try:
            facts, tensors = find()
        except (OSError, ValueError) as error:
            failure, facts = error, {"failure": str(error)}
    told = json.loads(_broadcast(accelerator, json.dumps(facts).encode()))
    if failure is not None:
        raise failure
    if "failure" in told:
        raise ValueError(told["failure"])
    on_main = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    return told, load(_broadcast(accelerator, save(on_main)))


def refuse_differences(accelerator, facts: Mapping) -> None:
    """Refuse to train on other data, models or settings than the main process does.

    Args:
        accelerator: knows the processes.
        facts: plain values that are the same in all processes.

    Raises:
        ValueError: they are not; the message names those that differ.
    """
    here = json.loads(json.dumps(dict(facts), default=str))
    main, _ = from_main(accelerator, lambda: (here, {}))
    different = [f"{name}: {here[name]!r} here, {main[name]!r} there" for name in here if here[name] != main[name]]
    if different:
        raise ValueError(
            f"Process {accelerator.process_index} does not train on what the main process does. What differs:\n  "
            + "\n  ".join(different)
            + "\nEach node reads its own disk and recipe: give all nodes the same."
        )


def _broadcast(accelerator, data: bytes) -> bytes:
    """The main process's bytes, of which there are some."""
    size = broadcast(torch.tensor([len(data)], device=accelerator.device))
    if accelerator.is_main_process:
        buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8).to(accelerator.device)
    else:
        buffer = torch.empty(int(size), dtype=torch.uint8, device=accelerator.device)
    return broadcast(buffer).cpu().numpy().tobytes()
