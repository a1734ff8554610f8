"""Inputs as the model takes them: tensors."""

from typing import Any

from torch import Tensor


def require_tensors(**inputs: Any) -> None:
    """Check inputs by their names; None is left out.

    Raises:
        TypeError: one is a list or an array, as the processor gives them without `return_tensors="pt"`.
    """
    for name, value in inputs.items():
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(
                f'{name} is a {type(value).__name__}, expected a torch.Tensor: pass return_tensors="pt" to the '
                "processor"
            )
