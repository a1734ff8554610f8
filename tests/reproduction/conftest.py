"""The same small world as for training."""

from training.conftest import _own_cache, clip, squares

__all__ = ["_own_cache", "clip", "squares"]
