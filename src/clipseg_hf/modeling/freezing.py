"""CLIP stays as it is while the decoder learns (the paper's section 3), unless somebody asks otherwise.

So may the decoder, while a refiner learns.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPModel


class FrozenClipMixin(nn.Module):
    """For a module that holds a `clip` and a `decoder`: no gradients for what is frozen, and always evaluation mode."""

    clip: CLIPModel
    decoder: Any
    _clip_frozen = False
    _decoder_frozen = False

    def freeze_clip(self) -> None:
        """Leave CLIP as it is: no gradients, always in evaluation mode. This is how a model starts."""
        self._clip_frozen = True
        self.clip.requires_grad_(False)
        self.clip.eval()

    def unfreeze_clip(self) -> None:
        """Let training change CLIP too."""
        self._clip_frozen = False
        self.clip.requires_grad_(True)
        self.clip.train(self.training)

    def freeze_decoder(self) -> None:
        """Leave the decoder as it is, too: what is left to train is the refiner."""
        self._decoder_frozen = True
        self.decoder.requires_grad_(False)
        self.decoder.eval()

    def train(self, mode: bool = True) -> Any:
        """Training mode for what is not frozen: for CLIP only after `unfreeze_clip`."""
        super().train(mode)
        if self._decoder_frozen:
            self.decoder.eval()
        if self._clip_frozen:
            self.clip.eval()
        return self

    @contextmanager
    def clip_gradients(self, *inputs: Tensor | None) -> Iterator[None]:
        """Record gradients in CLIP only where one could arrive: at its own weights, or at an input that wants one."""
        wanted = any(tensor is not None and tensor.requires_grad for tensor in inputs)
        wanted = wanted or any(parameter.requires_grad for parameter in self.clip.parameters())
        with torch.set_grad_enabled(torch.is_grad_enabled() and wanted):
            yield
