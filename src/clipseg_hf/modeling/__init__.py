"""The model: a frozen CLIP and a trainable decoder.

In come pixels, tokens and prompt vectors, out come logits; checkpoints are read and written here. The public names are
those below, resolved on first use, and `layers` holds the parts of the network.
"""

from typing import TYPE_CHECKING

from clipseg_hf._lazy import import_on_first_use

if TYPE_CHECKING:
    from clipseg_hf.modeling.conversion import convert_original_checkpoint, load_openai_clip
    from clipseg_hf.modeling.layers.conditioning import mix_prompts
    from clipseg_hf.modeling.layers.decoder import CLIPSegDecoder
    from clipseg_hf.modeling.loss import segmentation_loss
    from clipseg_hf.modeling.modeling_clipseg import CLIPSegForImageSegmentation
    from clipseg_hf.modeling.outputs import CLIPSegImageSegmentationOutput, CLIPSegVisionFeatures
else:
    __getattr__, __dir__ = import_on_first_use(__name__)

__all__ = [
    "CLIPSegDecoder",
    "CLIPSegForImageSegmentation",
    "CLIPSegImageSegmentationOutput",
    "CLIPSegVisionFeatures",
    "convert_original_checkpoint",
    "load_openai_clip",
    "mix_prompts",
    "segmentation_loss",
]
