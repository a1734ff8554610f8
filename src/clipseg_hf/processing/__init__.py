"""Images, phrases and masks in; tensors out; masks back."""

from clipseg_hf.processing.rle import decode_rle, encode_rle
from clipseg_hf.processing.visual_prompts import VisualPromptSettings, make_visual_prompt

__all__ = ["VisualPromptSettings", "decode_rle", "encode_rle", "make_visual_prompt"]
