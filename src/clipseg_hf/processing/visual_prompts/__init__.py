"""Visual prompts: an example picture and the mask of its object become the picture that CLIP is shown (paper,
section 3.2 "Visual prompt engineering"; numbers of the original's `img_preprocess`).

Everything works on *normalised* pictures, as the original does: a factor of 0 leads to the mean colour, not to black.
`tensors` works on batches, `arrays` on one picture and without torch, to the same numbers but for rounding.
"""

from typing import TYPE_CHECKING

from clipseg_hf._lazy import import_on_first_use

if TYPE_CHECKING:
    from clipseg_hf.processing.visual_prompts.settings import (
        HIGHLIGHTS,
        IMAGENET_MEAN,
        IMAGENET_STD,
        VisualPromptSettings,
        read_settings,
    )
    from clipseg_hf.processing.visual_prompts.tensors import (
        crop_and_resize,
        dim_background,
        dye_red,
        gaussian_blur,
        make_visual_prompt,
        nearest_places,
        object_boxes,
        outline_red,
    )
else:
    __getattr__, __dir__ = import_on_first_use(__name__)

__all__ = [
    "HIGHLIGHTS",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "VisualPromptSettings",
    "crop_and_resize",
    "dim_background",
    "dye_red",
    "gaussian_blur",
    "make_visual_prompt",
    "nearest_places",
    "object_boxes",
    "outline_red",
    "read_settings",
]
