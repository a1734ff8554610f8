"""Images, phrases and masks in; tensors out; masks back.

What goes in is whatever people have (files, URLs, arrays, PIL, base64), what comes out is what the model takes, and
from its logits masks, label maps, boxes, polygons and run lengths. The public names are those below,
resolved on first use.
"""

from typing import TYPE_CHECKING

from clipseg_hf._lazy import import_on_first_use

if TYPE_CHECKING:
    from clipseg_hf.processing.images import load_image
    from clipseg_hf.processing.inputs import CLIPSegInputs
    from clipseg_hf.processing.masks.mask_files import load_map
    from clipseg_hf.processing.masks.outlines import label_objects, mask_to_box, mask_to_polygons, split_objects
    from clipseg_hf.processing.masks.rle import decode_rle, encode_rle
    from clipseg_hf.processing.postprocessing import PromptedMask, presence_scores
    from clipseg_hf.processing.processing_clipseg import CLIPSegProcessor
    from clipseg_hf.processing.visual_prompts import VisualPromptSettings, make_visual_prompt
else:
    __getattr__, __dir__ = import_on_first_use(__name__)

__all__ = [
    "CLIPSegInputs",
    "CLIPSegProcessor",
    "PromptedMask",
    "VisualPromptSettings",
    "decode_rle",
    "encode_rle",
    "label_objects",
    "load_image",
    "load_map",
    "make_visual_prompt",
    "mask_to_box",
    "mask_to_polygons",
    "presence_scores",
    "split_objects",
]
