"""CLIPSeg for Hugging Face: segment with text, images or both; train, measure and publish it.

`AutoModelForImageSegmentation` and `AutoProcessor` give this package's CLIPSeg once it is imported, and
`transformers.pipeline` knows "prompted-image-segmentation"; nothing else of transformers changes. The names below are
imported on first use.
"""

from typing import TYPE_CHECKING

from clipseg_hf import _auto_classes
from clipseg_hf._lazy import import_on_first_use
from clipseg_hf._version import __version__
from clipseg_hf.assets import EMOJI_TINY

if TYPE_CHECKING:
    from clipseg_hf import modeling as modeling
    from clipseg_hf import processing as processing
    from clipseg_hf.hub.pipeline import pipeline
    from clipseg_hf.modeling import CLIPSegForImageSegmentation
    from clipseg_hf.processing import CLIPSegProcessor, VisualPromptSettings
else:
    __getattr__, __dir__ = import_on_first_use(__name__)

__all__ = [
    "EMOJI_TINY",
    "CLIPSegForImageSegmentation",
    "CLIPSegProcessor",
    "VisualPromptSettings",
    "__version__",
    "pipeline",
]

_auto_classes.register()
