"""Images, phrases and masks in; tensors out; masks back."""

from clipseg_hf.processing.images import load_image, load_map
from clipseg_hf.processing.processing_clipseg import CLIPSegInputs, CLIPSegProcessor
from clipseg_hf.processing.rle import decode_rle, encode_rle
from clipseg_hf.processing.visual_prompts import VisualPromptSettings, make_visual_prompt

__all__ = [
    "CLIPSegInputs",
    "CLIPSegProcessor",
    "VisualPromptSettings",
    "decode_rle",
    "encode_rle",
    "load_image",
    "load_map",
    "make_visual_prompt",
]
