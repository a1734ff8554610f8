"""A model and its processor, as every protocol asks them: images once each, prompts as vectors, probabilities back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from clipseg_hf.modeling import CLIPSegForImageSegmentation, CLIPSegVisionFeatures
from clipseg_hf.modeling.configuration import weight_beside_text
from clipseg_hf.processing.masks.guided_filter import GuidedFilter
from clipseg_hf.processing.postprocessing import follow_edges

DEFAULT_TEMPLATES = ("a photo of a {}.",)


class MaskSettings(Protocol):
    """What the settings of protocols that look at masks have in common."""

    @property
    def templates(self) -> tuple[str, ...]:
        """Sentences around a phrase."""

    @property
    def guided_filter(self) -> bool:
        """Whether masks follow the pictures' edges, by `GuidedFilter`'s own settings."""


class PromptedModel:
    """Asks a model about images.

    Nothing is kept from one call to the next: an encoding differs in its last bits with what is encoded beside it, and
    results must not depend on what was asked before.

    Args:
        model: decides the device and the precision.
        processor: the `CLIPSegProcessor` that belongs to it.
        templates: sentences with one `{}` for the phrase; the vectors of several are averaged.
        guided_filter: what masks are to follow the picture's edges by, if anything.

    Raises:
        ValueError: a template without `{}`.
    """

    def __init__(
        self,
        model: CLIPSegForImageSegmentation,
        processor,
        templates: Sequence[str] = DEFAULT_TEMPLATES,
        guided_filter: GuidedFilter | None = None,
    ):
        wrong = [template for template in templates if template.count("{}") != 1]
        if isinstance(templates, str) or not templates or wrong:
            raise ValueError(
                f'templates are sentences with one {{}} each, like "a photo of a {{}}.", got {templates!r}.'
            )
        self.model, self.processor, self.templates = model, processor, tuple(templates)
        self.guided_filter = guided_filter

    @classmethod
    def asked_by(cls, model: CLIPSegForImageSegmentation, processor, settings: "MaskSettings") -> "PromptedModel":
        """As the settings of a protocol say."""
        return cls(model, processor, settings.templates, GuidedFilter() if settings.guided_filter else None)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """No gradients and no dropout inside; the model's mode is as before afterwards."""
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                yield
        finally:
            self.model.train(was_training)

    def encode_images(self, images: Sequence) -> CLIPSegVisionFeatures:
        """Features of images (PIL or (h, w, 3) uint8), which the processor brings to one size."""
        pixel_values = self.processor(images=list(images), return_tensors="pt")["pixel_values"]
        return self.model.get_vision_features(self._to_model(pixel_values))

    def text_vectors(self, phrases: Sequence[str]) -> torch.Tensor:
        """Prompt vectors of phrases, each put into the templates; repeats are encoded once: (N, D)."""
        different = list(dict.fromkeys(phrases))
        texts = [template.replace("{}", phrase) for phrase in different for template in self.templates]
        tokens = self.processor(text=texts, return_tensors="pt")
        owners = torch.arange(len(different)).repeat_interleave(len(self.templates))  # text -> phrase
        vectors = self.model.get_conditional_embeddings(
            input_ids=self._to_model(tokens["input_ids"]),
            attention_mask=self._to_model(tokens["attention_mask"]),
            text_to_prompt=self._to_model(owners),
        )
        return vectors[[different.index(phrase) for phrase in phrases]]

    def image_vectors(
        self, examples: Sequence[tuple[np.ndarray, np.ndarray]], mask_mode: str | None = None, **options
    ) -> torch.Tensor:
        """Prompt vectors of example images (h, w, 3) with the masks (h, w) of their objects: (N, D).

        Args:
            mask_mode: steer CLIP's attention by the masks besides; see `get_conditional_embeddings`.
            options: for the processor, such as `visual_prompt_settings`.
        """
        images, masks = zip(*examples, strict=True)
        options |= {"visual_prompt": list(images), "visual_prompt_masks": list(masks), "return_tensors": "pt"}
        pixel_values = self._to_model(self.processor(**options)["conditional_pixel_values"])
        if mask_mode is None:
            return self.model.get_conditional_embeddings(conditional_pixel_values=pixel_values)
        size = pixel_values.shape[2:]
        sized = torch.cat([resize_masks(torch.from_numpy(mask)[None], size) for mask in masks])
        return self.model.get_conditional_embeddings(
            conditional_pixel_values=pixel_values,
            conditional_masks=self._to_model(sized.float()),
            mask_mode=mask_mode,
        )

    def mix(self, texts: torch.Tensor, images: torch.Tensor, image_prompt_weight: float | None) -> torch.Tensor:
        """x = a s + (1 - a) t of vectors of texts and of examples, (N, D) each; a as given, or the checkpoint's own."""
        weight = weight_beside_text(self.model.config, image_prompt_weight)
        return weight * images + (1 - weight) * texts

    def logits(
        self, features: CLIPSegVisionFeatures, vectors: torch.Tensor, prompt_to_image: Sequence[int]
    ) -> torch.Tensor:
        """Logits (N, H, W) float32 at the model's size, of each prompt on its image."""
        numbers = torch.as_tensor(prompt_to_image, dtype=torch.long, device=vectors.device)
        output = self.model(vision_embeds=features, conditional_embeddings=vectors, prompt_to_image=numbers)
        return output.logits.float()

    def at_edges(
        self, logits: torch.Tensor, prompt_to_image: Sequence[int], images: Sequence[np.ndarray]
    ) -> torch.Tensor:
        """Logits (N, H, W) of prompts on images (h, w, 3) uint8, filtered if there is a filter."""
        if self.guided_filter is None:
            return logits
        return follow_edges(logits, prompt_to_image, [Image.fromarray(image) for image in images], self.guided_filter)

    def _to_model(self, tensor: torch.Tensor) -> torch.Tensor:
        """To the model's device, floats also to its precision."""
        return tensor.to(self.model.device, self.model.dtype if tensor.is_floating_point() else None)


def resize_probabilities(probabilities: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(N, H, W) -> (N, h, w), bilinear by pixel centres."""
    if probabilities.shape[1:] == tuple(size):
        return probabilities
    resized = F.interpolate(probabilities[:, None], size=tuple(size), mode="bilinear", align_corners=False)
    return resized[:, 0].clamp(0, 1)  # rounding may leave the range by one part in ten million


def resize_masks(masks: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(N, h, w) bool -> (N, H, W) bool, nearest neighbour by pixel centres."""
    if masks.shape[1:] == tuple(size):
        return masks
    return F.interpolate(masks[:, None].to(torch.uint8), size=tuple(size), mode="nearest-exact")[:, 0].bool()
