"""A model at work: loaded once, asked often."""

from clipseg_hf.inference.prompts import Prompt
from clipseg_hf.inference.results import Segmentation
from clipseg_hf.inference.segmenter import Segmenter

__all__ = ["Prompt", "Segmentation", "Segmenter"]
