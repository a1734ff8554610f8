"""CLIPSeg for Hugging Face: segment with text, images or both; train, measure and publish it."""

from clipseg_hf._version import __version__

__all__ = ["__version__"]
