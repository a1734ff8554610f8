"""CLIPSeg for Hugging Face: segment with text, images or both; train, measure and publish it.

`AutoModelForImageSegmentation` knows CLIPSeg once this package is imported; nothing else of transformers changes.
"""

from pathlib import Path

from clipseg_hf._version import __version__
from clipseg_hf.modeling import CLIPSegForImageSegmentation, register_auto_classes
from clipseg_hf.processing import CLIPSegProcessor, VisualPromptSettings

EMOJI_TINY = str(Path(__file__).parent / "assets" / "emoji-tiny")
"""Folder of the embedded checkpoint, for `from_pretrained`."""

__all__ = [
    "EMOJI_TINY",
    "CLIPSegForImageSegmentation",
    "CLIPSegProcessor",
    "VisualPromptSettings",
    "__version__",
]

register_auto_classes()
