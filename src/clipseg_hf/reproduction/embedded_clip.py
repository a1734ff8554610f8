"""The CLIP of the embedded checkpoint as a checkpoint of its own, for decoders that start afresh."""

from pathlib import Path

from transformers import CLIPImageProcessorPil

from clipseg_hf.assets import EMOJI_TINY
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.processing import CLIPSegProcessor


def write_embedded_clip(folder: Path) -> None:
    """Write a `CLIPModel` with its tokenizer and image processor, which `from_clip` and recipes take."""
    processor = CLIPSegProcessor.from_pretrained(EMOJI_TINY)
    pixels = processor.image_processor
    CLIPSegForImageSegmentation.from_pretrained(EMOJI_TINY).clip.save_pretrained(folder)
    processor.tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(image_mean=pixels.image_mean, image_std=pixels.image_std).save_pretrained(folder)
