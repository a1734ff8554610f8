"""A grid of a few validation images: what was asked, the truth, and what the model says, by text and by example."""

import numpy as np
import torch
from PIL import Image, ImageDraw

from clipseg_hf.data.rows.rows import evenly
from clipseg_hf.data.sampling.collate import PromptCollator
from clipseg_hf.data.sampling.sampling import PromptSampler
from clipseg_hf.data.sampling.sampling_settings import SamplingSettings
from clipseg_hf.drawing.fonts import font_for
from clipseg_hf.drawing.overlay import FOUND, TRUTH, Color, paint_mask

CAPTION_HEIGHT, GAP = 14, 4


class PictureGrid:
    """Draws the same samples each time, one a line: image, truth, by text, by example (black without one).

    Args:
        rows: validation rows, of which `count`, evenly spread, are drawn.
        processor: of the model.
        count: lines.
        image_size: of the model's input.
    """

    def __init__(self, rows, processor, count: int, image_size: int | tuple[int, int]):
        settings = SamplingSettings(
            image_size=image_size, mix="image", crop=False, negative_probability=0.0, prefixes=("a photo of a {}.",)
        )
        sampler = PromptSampler(rows, settings)
        numbers = [n for n in range(len(rows)) if sampler.visits(n)]
        self.samples = [sampler.sample(n) for n in evenly(numbers, count)]
        self.batch = PromptCollator(processor)(self.samples)

    def __call__(self, model) -> np.ndarray:
        """(height, width, 3) uint8."""
        batch = {name: tensor.to(model.device) for name, tensor in self.batch.items()}
        was_training = model.training
        model.eval()
        with torch.inference_mode():
            features = model.get_vision_features(batch["pixel_values"])
            by_text = self._ask(model, features, {k: batch[k] for k in ("input_ids", "attention_mask")})
            examples = {k: batch[k] for k in ("conditional_pixel_values",) if k in batch}
            owners = batch["conditional_to_prompt"].tolist() if examples else []
            found = self._ask(model, features.select(owners), examples) if examples else []
        model.train(was_training)
        by_example = dict(zip(owners, found, strict=True))
        lines = []
        for n, sample in enumerate(self.samples):
            truth = _paint(sample.image, sample.masks[0] == 1, TRUTH)
            example = _paint(sample.image, by_example[n], FOUND) if n in by_example else 0 * truth
            cells = [sample.image, truth, _paint(sample.image, by_text[n], FOUND), example]
            lines.append(_line(cells, sample.phrases[0]))
        return np.concatenate(lines)

    @staticmethod
    def _ask(model, features, prompts: dict) -> np.ndarray:
        """Probabilities (N, H, W), one prompt for each image."""
        vectors = model.get_conditional_embeddings(**prompts)
        return model(vision_embeds=features, conditional_embeddings=vectors).logits.float().sigmoid().cpu().numpy()


def _paint(image: np.ndarray, strength: np.ndarray, color: Color) -> np.ndarray:
    """The image darkened, and the colour over it as strong as (H, W) in [0, 1] says."""
    picture = Image.fromarray((0.6 * image).astype(np.uint8))
    paint_mask(picture, strength, color, opacity=0.75)
    return np.asarray(picture)


def _line(cells: list[np.ndarray], caption: str) -> np.ndarray:
    gap = np.zeros((cells[0].shape[0], GAP, 3), np.uint8)
    pictures = np.concatenate([part for cell in cells for part in (cell, gap)][:-1], axis=1)
    head = Image.new("RGB", (pictures.shape[1], CAPTION_HEIGHT))
    ImageDraw.Draw(head).text((2, 0), caption, fill="white", font=font_for(caption, 11))
    return np.concatenate([np.asarray(head), pictures])
