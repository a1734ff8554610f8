"""What the model returns."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.models.clipseg.modeling_clipseg import CLIPSegImageSegmentationOutput as StockOutput
from transformers.utils import ModelOutput


@dataclass
class CLIPSegImageSegmentationOutput(StockOutput):
    """Stock's output, and which image each prompt asked about.

    Attributes:
        loss: scalar, float32; with `labels` only.
        logits: (N, H, W), one map for each of N prompts, at the size of the query image.
        conditional_embeddings: (N, projection_dim), the prompt vectors that were used.
        pooled_output: (B, projection_dim), CLIP's image embedding; where hidden states or attentions were asked for.
        vision_model_output: all of CLIP's vision tower; where hidden states or attentions were asked for.
        decoder_output: the logits, with the decoder's hidden states and attentions where asked for.
        prompt_to_image: (N,), the row of `pixel_values` behind each row of `logits`.
        prompt_kinds: for each prompt "text", "image" or "mixed"; None where `conditional_embeddings` were given. An
            attribute only, no entry of the tuple.
    """

    prompt_to_image: Tensor | None = None
    prompt_kinds = None  # type: list[str] | None


@dataclass
class CLIPSegVisionFeatures(ModelOutput):
    """What the decoder needs to know of B query images, to be kept and asked again.

    Attributes:
        vision_embeds: one (B, 1 + rows * columns, width) activation for each entry of `config.extract_layers`.
        grid: (rows, columns) of the patches; the first token is CLS.
        pixel_features: what a refiner read off the pixels, (B, channels, height, width) each; None without a refiner.
    """

    vision_embeds: tuple[Tensor, ...]
    grid: tuple[int, int] | None = None
    pixel_features: tuple[Tensor, ...] | None = None

    @property
    def num_images(self) -> int:
        """B, the number of images."""
        return self.vision_embeds[0].shape[0]

    def select(self, images: int | slice | list[int] | Tensor) -> "CLIPSegVisionFeatures":
        """The features of some images, by number, slice, list or index tensor. A single number keeps the batch axis."""
        if isinstance(images, int):
            images = [images]
        return self._map(lambda tensor: tensor[images])

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "CLIPSegVisionFeatures":
        """The features on another device or in another floating-point type."""
        return self._map(lambda tensor: tensor.to(device=device, dtype=dtype))

    def _map(self, change: Callable[[Tensor], Tensor]) -> "CLIPSegVisionFeatures":
        pixels = self.pixel_features
        return CLIPSegVisionFeatures(
            tuple(map(change, self.vision_embeds)), self.grid, None if pixels is None else tuple(map(change, pixels))
        )
