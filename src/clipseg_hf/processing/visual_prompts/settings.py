"""How a visual prompt is made."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

Statistics = Sequence[float]  # one number for each channel

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HIGHLIGHTS = ("dim", "red", "outline")
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
RED = (1.0, 0.2, 0.2)


@dataclass(frozen=True)
class VisualPromptSettings:
    """How a visual prompt is made. The defaults are the method's own: crop, blur and a background of 10 %.

    Attributes:
        crop: show the object's box only, padded to the shape of the prompt, rather than the whole picture.
        context: by what share of its width and height the box grows on each side; 0.1 is the paper's small, 0.5 its
            large context.
        blur: blur what is not the object (Gaussian, 15 x 15, sigma 3).
        background: factor for what is not the object; 1 leaves it, 0 makes it the mean colour.
        highlight: "dim" blurs and dims the background; "red" dyes the object instead, the rest grey; "outline" draws
            a red line around it. The last two, from the paper's comparison, leave the background as it is.
        outline_width: of the red line, in pixels.
    """

    crop: bool = True
    context: float = 0.1
    blur: bool = True
    background: float = 0.1
    highlight: str = "dim"
    outline_width: int = 3

    def __post_init__(self) -> None:
        for name in ("crop", "blur"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} is True or False, got {getattr(self, name)!r}.")
        if not self.context >= 0:
            raise ValueError(f"context is a share of the object's size and not negative, got {self.context}.")
        if not 0 <= self.background <= 1:
            raise ValueError(f"background is a factor in [0, 1], got {self.background}; the paper's 10 % is 0.1.")
        if self.highlight not in HIGHLIGHTS:
            raise ValueError(f"highlight is one of {', '.join(HIGHLIGHTS)}; got {self.highlight!r}.")
        if self.outline_width < 1:
            raise ValueError(f"outline_width is a number of pixels of at least 1, got {self.outline_width}.")

    def to_dict(self) -> dict:
        """The settings as plain values, for JSON."""
        return asdict(self)


def read_settings(
    given: VisualPromptSettings | Mapping[str, Any] | None, default: VisualPromptSettings | None = None
) -> VisualPromptSettings:
    """Settings as an object, as a dict of some of their fields (the rest as in `default`), or None for `default`.

    Raises:
        TypeError: another type, or a field that does not exist.
    """
    default = default or VisualPromptSettings()
    if given is None or isinstance(given, VisualPromptSettings):
        return given or default
    if not isinstance(given, Mapping):
        raise TypeError(f"visual_prompt_settings is a VisualPromptSettings or a dict, got a {type(given).__name__}.")
    unknown = sorted(given.keys() - default.to_dict().keys())
    if unknown:
        raise TypeError(
            f"visual_prompt_settings has no {', '.join(unknown)}; there are {', '.join(default.to_dict())}."
        )
    return replace(default, **given)
