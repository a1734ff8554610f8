"""Everything that decides what CLIP comes out."""

import dataclasses
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipseg_hf._text_files import parse_yaml, read_text, short_repr
from clipseg_hf.console.values import as_type
from clipseg_hf.processing.visual_prompts import VisualPromptSettings, read_settings


@dataclass
class Stage:
    """A stretch of the training.

    Args:
        steps: optimizer steps.
        batch_size: pictures, and captions, of a step.
        image_size: side of the pictures in pixels, a multiple of the patch size.
        single_share: share of the pictures that show one emoji; the others are scenes of two or three.
        patch_share: share of a picture's patches that CLIP sees in a step, other ones for each picture. Half of them
            take half the time, and more pictures teach more than more patches do (FLIP, Li et al. 2023).
        example: how examples are shown, in fields of `VisualPromptSettings`: each picture is one thing of a scene of
            the emoji world, shown by its mask as the decoder's image prompts are. None: pictures as they are drawn.
    """

    steps: int
    batch_size: int
    image_size: int
    single_share: float
    patch_share: float = 1.0
    example: dict | None = None

    def __post_init__(self):
        _check_numbers(self)
        self.example_settings()  # refuses what it cannot be
        for name in ("single_share", "patch_share"):
            if (share := getattr(self, name)) > 1:
                raise ValueError(f"{name} is a number of at most 1, got {share}.")
        if not self.patch_share:
            raise ValueError("patch_share is a number above 0: CLIP must see some of a picture.")
        if self.example is not None and self.single_share != 1:
            raise ValueError(f"An example shows one thing: with it, single_share is 1, got {self.single_share}.")

    def example_settings(self) -> VisualPromptSettings | None:
        """How examples are shown, if the pictures are examples."""
        if self.example is None:
            return None
        if not isinstance(self.example, dict):
            raise TypeError(f"example takes fields of VisualPromptSettings, got {short_repr(self.example)}.")
        return read_settings(self.example)


@dataclass
class PretrainRecipe:
    """Everything that decides the result.

    Sizes are CLIP's usual terms. The learning rate rises linearly for `warmup_share` of the steps, then falls to 0 by a
    cosine. `precision` is "bf16" (autocast) or "no".

    `model_name_or_path` is a CLIP to go on from, of the same sizes, whose tokenizer is kept. With `hard_negatives`,
    captions that are true of no picture are put before every picture beside those of the others: the names of all
    concepts that are not in it, and relations with their two things exchanged (NegCLIP, Yuksekgonul et al. 2023).
    With `new_layers_only` it gets blocks on top, as many as `vision_layers` says more, and these are trained, with the
    last norm and the projection of pictures. All else stays as it is to the last bit, so that a decoder on its blocks
    reads what it did, and texts mean what they did; what changes is the vector of a picture, hence of an example.
    `learned_share` of the way from where it began to where it ended is gone: in between, a CLIP often has the best of
    both (WiSE-FT, Wortsman et al. 2022).

    `region_weight` is the weight of a second loss, that a patch says the name of what it shows (see `region_loss`;
    0: none); the names are those of the hard negatives that training phrases may name.

    Every `save_steps`, what a training that is cut would go on from is kept.
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
    model_name_or_path: str | None = None
    new_layers_only: bool = False
    learned_share: float = 1.0
    hard_negatives: bool = False
    region_weight: float = 0.0
    save_steps: int = 200

    def __post_init__(self):
        if not isinstance(self.stages, (list, tuple)):
            raise TypeError(f"stages are a list, got {short_repr(self.stages)}.")
        _check_numbers(self)
        self.stages = tuple(stage if isinstance(stage, Stage) else _checked(Stage, stage) for stage in self.stages)
        if not self.stages:
            raise ValueError("A recipe needs at least one stage (steps, batch_size, image_size, single_share).")
        for stage in self.stages:
            if stage.image_size % self.patch_size:
                raise ValueError(
                    f"A stage draws pictures of {stage.image_size} pixels, which patches of {self.patch_size} do not "
                    "divide; choose a multiple."
                )
        if self.region_weight and not self.hard_negatives:
            raise ValueError(
                "region_weight needs hard_negatives: true, whose names the patches are put before; set it, or leave "
                "region_weight out."
            )
        if self.new_layers_only and self.model_name_or_path is None:
            raise ValueError(
                "new_layers_only needs model_name_or_path, the CLIP that gets them; name it, or leave it out."
            )
        if self.learned_share > 1 or (self.learned_share < 1 and self.model_name_or_path is None):
            raise ValueError(
                f"learned_share is a share of the way from the CLIP of model_name_or_path, in [0, 1], got "
                f"{self.learned_share}; name that CLIP, or leave learned_share out."
            )
        if self.precision not in ("bf16", "no"):
            raise ValueError(f"precision is 'bf16' or 'no', got {self.precision!r}.")

    @classmethod
    def from_yaml(cls, path: str | Path) -> "PretrainRecipe":
        """Read a recipe; unknown keys are refused."""
        values = parse_yaml(read_text(path), path)
        try:
            return _checked(cls, values)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{path}: {error}") from error


def _checked(kind: type, values: Any) -> Any:
    """A dataclass from what stands in YAML for it: all of its fields that have no default, numbers where they are."""
    if not isinstance(values, dict):
        raise ValueError(f"expected `key: value` lines, found {short_repr(values)}.")
    known = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := [key for key in values if key not in known]:
        raise ValueError(f"unknown keys {short_repr(unknown)}; known are {list(known)}.")
    missing = [name for name, field in known.items() if field.default is dataclasses.MISSING and name not in values]
    if missing:
        raise ValueError(f"{', '.join(missing)} must be given, found {short_repr(values)}.")
    return kind(**values)


def _check_numbers(made: Any) -> None:
    """Bring numbers to their fields' types: whole ones of at least 1 (a seed of 0), others of at least 0."""
    for name, hint in typing.get_type_hints(type(made)).items():
        if hint in (int, float, str, bool, str | None):
            value = as_type(name, getattr(made, name), hint)
            low = int(hint is int and name != "seed")
            if hint in (int, float) and not low <= value < 2**63:  # nor NaN
                raise ValueError(f"{name} is a number of at least {low}, got {value}.")
            setattr(made, name, value)
