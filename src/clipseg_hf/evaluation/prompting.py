"""A model and its processor, as every protocol asks them: images once each, prompts as vectors, probabilities back."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F

from clipseg_hf.modeling import CLIPSegForImageSegmentation, CLIPSegVisionFeatures

DEFAULT_TEMPLATES = ("a photo of a {}.",)


class PromptedModel:
    """Asks a model about images; prompt vectors are kept, so that a phrase asked of many images is encoded once.

    Args:
        model: decides the device and the precision.
        processor: the `CLIPSegProcessor` that belongs to it.
        templates: sentences with one `{}` for the phrase; the vectors of several are averaged.
        cache_size: how many prompt vectors are kept, the least recently used go first.

    Raises:
        ValueError: a template without `{}`.
    """

    def __init__(
        self,
        model: CLIPSegForImageSegmentation,
        processor,
        templates: Sequence[str] = DEFAULT_TEMPLATES,
        cache_size: int = 20_000,
    ):
        wrong = [template for template in templates if template.count("{}") != 1]
        if isinstance(templates, str) or not templates or wrong:
            raise ValueError(
                f'templates are sentences with one {{}} each, like "a photo of a {{}}.", got {templates!r}.'
            )
        self.model, self.processor, self.templates = model, processor, tuple(templates)
        self._kept: OrderedDict[Hashable, torch.Tensor] = OrderedDict()
        self._cache_size = cache_size

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
        """Prompt vectors of phrases, each put into the templates: (N, D)."""
        return self._vectors([("text", phrase) for phrase in phrases], self._encode_texts)

    def image_vectors(
        self, keys: Sequence[Hashable], load: Callable[[Hashable], tuple[np.ndarray, np.ndarray]]
    ) -> torch.Tensor:
        """Prompt vectors of example images: (N, D).

        Args:
            keys: what the examples are called.
            load: key -> image and the mask of its object; called for those that are not known yet.
        """
        return self._vectors(list(keys), lambda missing: self._encode_examples([load(key) for key in missing]))

    def segment(
        self, features: CLIPSegVisionFeatures, vectors: torch.Tensor, prompt_to_image: Sequence[int]
    ) -> torch.Tensor:
        """Probabilities (N, H, W) float32 at the model's size, of each prompt on its image."""
        numbers = torch.as_tensor(prompt_to_image, dtype=torch.long, device=vectors.device)
        output = self.model(vision_embeds=features, conditional_embeddings=vectors, prompt_to_image=numbers)
        return output.logits.float().sigmoid()

    def _encode_texts(self, keys: list[tuple[str, str]]) -> torch.Tensor:
        texts = [template.replace("{}", phrase) for _, phrase in keys for template in self.templates]
        tokens = self.processor(text=texts, return_tensors="pt")
        numbers = torch.arange(len(keys)).repeat_interleave(len(self.templates))  # text -> prompt
        return self.model.get_conditional_embeddings(
            input_ids=self._to_model(tokens["input_ids"]),
            attention_mask=self._to_model(tokens["attention_mask"]),
            text_to_prompt=self._to_model(numbers),
        )

    def _encode_examples(self, examples: list[tuple[np.ndarray, np.ndarray]]) -> torch.Tensor:
        images, masks = zip(*examples, strict=True)
        prompts = self.processor(visual_prompt=list(images), visual_prompt_masks=list(masks), return_tensors="pt")
        return self.model.get_conditional_embeddings(
            conditional_pixel_values=self._to_model(prompts["conditional_pixel_values"])
        )

    def _vectors(self, keys: list[Hashable], encode: Callable[[list], torch.Tensor]) -> torch.Tensor:
        """Vectors of the keys; those that are not kept are encoded, all at once."""
        missing = [key for key in dict.fromkeys(keys) if key not in self._kept]
        if missing:
            self._kept.update(zip(missing, encode(missing), strict=True))
        vectors = torch.stack([self._kept[key] for key in keys])
        for key in keys:
            self._kept.move_to_end(key)
        while len(self._kept) > self._cache_size:
            self._kept.popitem(last=False)
        return vectors

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
