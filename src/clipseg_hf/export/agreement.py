"""How well the masks of a smaller copy agree with those of the float32 graphs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clipseg_hf.inference.demo import load_scenes
from clipseg_hf.inference.segmenter import Segmenter

ENOUGH = 0.97  # the worst mask's IoU, below which an export says so


@dataclass(frozen=True)
class Agreement:
    """IoU with the masks in float32.

    Attributes:
        precision: "float16" or "int8".
        masks: how many were compared.
        median, worst: of their IoU; two empty masks agree.
        below: how many are below 0.97.
    """

    precision: str
    masks: int
    median: float
    worst: float
    below: int

    @classmethod
    def of(cls, precision: str, masks: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> "Agreement":
        """From masks (h, w) bool, and those in float32."""
        ious = np.array([mask_iou(*pair) for pair in zip(masks, expected, strict=True)])
        below = int((ious < ENOUGH).sum())
        return cls(precision, len(ious), float(np.median(ious)), float(ious.min()), below)

    def describe(self) -> str:
        """What the export's report says of it."""
        line = f"{self.precision}: IoU with float32's masks {self.median:.3f} (median), {self.worst:.3f} (worst)"
        if not self.below:
            return f"{line} of {self.masks}."
        return (
            f"{line} of {self.masks}; {self.below} are below {ENOUGH}. Compare both on your own pictures before you "
            f"use {self.precision}."
        )


def measure_agreement(folder: str | Path, precisions: Sequence[str]) -> list[Agreement]:
    """Ask the shipped scenes for their phrases, in float32 and in each of `precisions`.

    Args:
        folder: written by `export_onnx`.
        precisions: "float16" or "int8".
    """
    if not precisions:
        return []
    expected = _masks(folder, "float32")
    return [Agreement.of(precision, _masks(folder, precision), expected) for precision in precisions]


def mask_iou(mask: np.ndarray, other: np.ndarray) -> float:
    """Two masks (h, w) bool -> their intersection over their union; 1 where both are empty."""
    union = np.count_nonzero(mask | other)
    return np.count_nonzero(mask & other) / union if union else 1.0


def _masks(folder: str | Path, precision: str) -> list[np.ndarray]:
    segmenter = Segmenter.from_pretrained(folder, backend="onnx", dtype=precision, device="cpu")
    return [
        mask
        for row in load_scenes().values()
        for mask in segmenter(row["image"], [phrase["phrase"] for phrase in row["phrases"]])[0].masks
    ]
