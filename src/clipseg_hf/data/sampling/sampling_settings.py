"""How samples are drawn: one place for all options of sampling."""

from dataclasses import dataclass

from clipseg_hf.data.vocabulary.phrases import PREFIXES

MIXES = {"code": (0.5, 1.0), "paper": (0.0, 1.0), "text": (0.0, 0.0), "image": (1.0, 1.0)}
"""From where to where the support's weight a in x = a s + (1 - a) t is drawn. The original's code draws the text's
weight from U[0, 0.5]; the paper writes a ~ U[0, 1]."""


@dataclass(frozen=True)
class SamplingSettings:
    """How samples are drawn. The defaults are PhraseCut+ as the released weights were trained on it.

    Attributes:
        image_size: the model's input in pixels, one side or (height, width).
        phrases_per_image: up to how many phrases P of an image are asked at once.
        negative_probability: with which a phrase gives its place to one that is not true of the image.
        support_probability: with which a phrase gets a support where another image has it.
        mix: how the support's weight is drawn, see `MIXES`; "text" draws no supports. A phrase without a support is
            asked by its text alone. Text or image but never both: mix="image" with support_probability=0.5.
        prefixes: templates for the phrase, each with one {}.
        crop: draw a crop of the model's aspect ratio, as large as can be; else the whole image is squeezed to size.
        min_foreground: share of the image's area that a phrase should cover in the crop.
        hflip: probability to mirror the image and its masks, and to swap left and right in its phrases.
        color_jitter: strength of random brightness, contrast and saturation.
    """

    image_size: int | tuple[int, int] = 352
    phrases_per_image: int = 1
    negative_probability: float = 0.2
    support_probability: float = 1.0
    mix: str = "code"
    prefixes: tuple[str, ...] = PREFIXES
    crop: bool = True
    min_foreground: float = 0.05
    hflip: float = 0.0
    color_jitter: float = 0.0

    def __post_init__(self):
        for name in ("image_size", "prefixes"):
            if isinstance(getattr(self, name), list):  # as YAML has it
                object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("negative_probability", "support_probability", "min_foreground", "hflip", "color_jitter"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} lies in [0, 1], got {getattr(self, name)}.")
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"image_size is a number of pixels or (height, width), got {self.image_size}.")
        if self.phrases_per_image < 1:
            raise ValueError(f"phrases_per_image is at least 1, got {self.phrases_per_image}.")
        if self.mix not in MIXES:
            raise ValueError(f"mix is one of {', '.join(MIXES)}; got {self.mix!r}.")
        if isinstance(self.prefixes, str):
            raise TypeError(f"prefixes is a list of templates, got a string: write [{self.prefixes!r}].")
        wrong = [prefix for prefix in self.prefixes if prefix.count("{}") != 1]
        if wrong or not self.prefixes:
            found = repr(wrong[0]) if wrong else "none"
            raise ValueError(f"prefixes are templates with one {{}} each, like 'a photo of a {{}}.'; got {found}.")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the samples in pixels."""
        return (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size
