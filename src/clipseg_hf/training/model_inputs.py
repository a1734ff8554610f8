"""From a batch of the loader to the arguments of the model."""

REPLACED_BY_PROMPTS = (
    "input_ids",
    "attention_mask",
    "image_prompt_weight",
    "conditional_to_prompt",
    "conditional_pixel_values",
)


class ModelInputs:
    """Takes a batch to the device, and puts kept encodings in the place of what they were made of.

    Args:
        device: where to.
        prompts: a `PromptCache`, or None to encode texts and examples with each step.
        features: a `FeatureCache`, or None to encode images with each step.
    """

    def __init__(self, device, prompts=None, features=None):
        self.device, self.prompts, self.features = device, prompts, features
        self.needs_pixels = features is None or features.model.refiner is not None

    def __call__(self, batch: dict) -> dict:
        """The batch without its `info`, ready for `model(**inputs)`."""
        info = batch["info"]
        pixel_values = batch["pixel_values"]
        here = ("info",) if self.needs_pixels else ("info", "pixel_values")  # black pictures need no device
        batch = {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items() if name not in here}
        if self.features is not None:
            batch["vision_embeds"] = self.features(info.rows, pixel_values, self.device)
        if self.prompts is not None:
            batch["conditional_embeddings"] = self.prompts(batch, info, self.device)
            for name in REPLACED_BY_PROMPTS:
                batch.pop(name, None)
        return batch
