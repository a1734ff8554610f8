"""Everything that decides what CLIP comes out."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import yaml

from clipseg_hf._text_files import read_text


@dataclass
class Stage:
    """A stretch of the training.

    Args:
        steps: optimizer steps.
        batch_size: pictures, and captions, of a step.
        image_size: side of the pictures in pixels, a multiple of the patch size.
        single_share: share of the pictures that show one emoji; the others are scenes of two or three.
    """

    steps: int
    batch_size: int
    image_size: int
    single_share: float


@dataclass
class PretrainRecipe:
    """Everything that decides the result.

    Sizes are CLIP's usual terms. The learning rate rises linearly for `warmup_share` of the steps, then falls to 0 by a
    cosine. `precision` is "bf16" (autocast) or "no".
    """

    stages: tuple[Stage, ...]
    vision_width: int = 192
    vision_layers: int = 6
    vision_heads: int = 6
    patch_size: int = 16
    image_size: int = 160
    text_width: int = 128
    text_layers: int = 2
    text_heads: int = 4
    context_length: int = 32
    vocabulary: int = 2000
    projection_dim: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    warmup_share: float = 0.1
    precision: str = "bf16"
    seed: int = 0

    def __post_init__(self):
        self.stages = tuple(Stage(**stage) if isinstance(stage, dict) else stage for stage in self.stages)
        if not self.stages:
            raise ValueError("A recipe needs at least one stage (steps, batch_size, image_size, single_share).")
        for stage in self.stages:
            if stage.image_size % self.patch_size:
                raise ValueError(
                    f"A stage draws pictures of {stage.image_size} pixels, which patches of {self.patch_size} do not "
                    "divide; choose a multiple."
                )
        if self.precision not in ("bf16", "no"):
            raise ValueError(f"precision is 'bf16' or 'no', got {self.precision!r}.")

    @classmethod
    def from_yaml(cls, path: str | Path) -> "PretrainRecipe":
        """Read a recipe; unknown keys are refused."""
        values = yaml.safe_load(read_text(path)) or {}
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(f"{path} has unknown keys {unknown}; known are {known}.")
        return cls(**values)
