"""A model at work: loaded once, asked often.

In come images and prompts, out come `Segmentation`s that can be combined, drawn and saved. The public names are those
below, resolved on first use: a model in ONNX needs no libraries but its own. `files` and `demo` are what
`clipseg-hf segment` and `clipseg-hf demo` call.
"""

from typing import TYPE_CHECKING

from clipseg_hf._lazy import import_on_first_use

if TYPE_CHECKING:
    from clipseg_hf.inference.labelling import labelled
    from clipseg_hf.inference.prompt_reading import parse_prompt
    from clipseg_hf.inference.prompts import Combination, Prompt
    from clipseg_hf.inference.results import Segmentation
    from clipseg_hf.inference.segmenter import Segmenter
    from clipseg_hf.inference.tiling.settings import Tiling
    from clipseg_hf.processing.masks.guided_filter import GuidedFilter
    from clipseg_hf.processing.masks.operations import MaskOperations
else:
    __getattr__, __dir__ = import_on_first_use(__name__)

__all__ = [
    "Combination",
    "GuidedFilter",
    "MaskOperations",
    "Prompt",
    "Segmentation",
    "Segmenter",
    "Tiling",
    "labelled",
    "parse_prompt",
]
