"""A CLIPSeg in torch, asked in arrays."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipseg_hf.modeling import CLIPSegForImageSegmentation, CLIPSegVisionFeatures, mix_prompts
from clipseg_hf.modeling.configuration import weight_beside_text


class TorchRunner:
    """The steps of a model as `Segmenter` takes them, on its device, in its floating-point type."""

    def __init__(self, model: CLIPSegForImageSegmentation):
        self.model = model.eval()

    @property
    def image_prompt_weight(self) -> float:
        """See `Segmenter`."""
        return weight_beside_text(self.model.config)

    @torch.inference_mode()
    def encode_images(self, pixel_values: np.ndarray) -> Iterator[CLIPSegVisionFeatures]:
        """(B, 3, H, W) -> what the decoder needs to know of each."""
        features = self.model.get_vision_features(self._tensor(pixel_values).to(self.model.dtype))
        return map(features.select, range(features.num_images))

    @torch.inference_mode()
    def encode_prompts(self, **rows: np.ndarray) -> list[Tensor]:
        """Texts or example images, R of either -> R vectors (D,)."""
        inputs = {name: self._tensor(array) for name, array in rows.items()}
        if "conditional_pixel_values" in inputs:
            inputs["conditional_pixel_values"] = inputs["conditional_pixel_values"].to(self.model.dtype)
        return list(self.model.get_conditional_embeddings(**inputs))

    @torch.inference_mode()
    def mix(
        self,
        texts: Sequence[Tensor] | None,
        images: Sequence[Tensor] | None,
        text_to_prompt: np.ndarray | None,
        image_to_prompt: np.ndarray | None,
        weights: Sequence[float],
    ) -> Tensor:
        """See `mix_prompts`; -> (N, D)."""
        return mix_prompts(
            None if texts is None else torch.stack(list(texts)),
            None if images is None else torch.stack(list(images)),
            None if text_to_prompt is None else torch.as_tensor(text_to_prompt),
            None if image_to_prompt is None else torch.as_tensor(image_to_prompt),
            torch.tensor(weights),
            num_prompts=len(weights),
        )

    @torch.inference_mode()
    def decode(self, features: CLIPSegVisionFeatures, vectors: Tensor) -> np.ndarray:
        """One image and (N, D) -> logits (N, H, W) float32."""
        return self.model(vision_embeds=features, conditional_embeddings=vectors).logits.float().cpu().numpy()

    def _tensor(self, array: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.model.device)
