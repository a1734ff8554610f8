"""What results are made of when they go from process to process: named arrays, and text in them as JSON."""

import json
from collections.abc import Mapping
from typing import Any, Protocol, Self

import numpy as np

Arrays = dict[str, np.ndarray]


class Travelling(Protocol):
    """Results that can be sent as arrays and merged."""

    def to_arrays(self) -> Arrays:
        """All that they hold, by name."""

    def filled(self, arrays: Mapping[str, np.ndarray]) -> Self:
        """Results of the same settings that hold what another process sent."""

    def merge(self, other: Self) -> Self:
        """Take over another process's results and return self."""


def pack(values: Any) -> np.ndarray:
    """Lists of texts, numbers and the like -> (bytes,) uint8. Tuples become lists."""
    return np.frombuffer(json.dumps(values).encode("utf-8"), dtype=np.uint8)


def unpack(array: np.ndarray) -> Any:
    """What `pack` was given."""
    return json.loads(array.tobytes())


def under(name: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Arrays under a name of their own: {"a": x} -> {"name.a": x}."""
    return {f"{name}.{key}": array for key, array in arrays.items()}


def below(name: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Those that were put under a name."""
    return {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}
