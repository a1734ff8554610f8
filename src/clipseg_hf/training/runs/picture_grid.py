"""A grid of a few validation images: what was asked, the truth, and what the model says, by text and by example."""

import numpy as np
import torch
from PIL import Image

from clipseg_hf.data.rows.rows import evenly
from clipseg_hf.data.sampling.collate import PromptCollator
from clipseg_hf.data.sampling.sampling import PromptSampler
from clipseg_hf.data.sampling.sampling_settings import SamplingSettings
from clipseg_hf.drawing.contact_sheet import Line, draw_table, fit
from clipseg_hf.drawing.overlay import Color, paint_mask, steady_colors

COLUMNS = ("query image", "truth", "by text", "example", "by example")


class PictureGrid:
    """Draws the same samples each time, one a line under its phrase: the query image, the truth, what is found by text,
    the example and what is found by it (left out where the phrase has none). Pictures keep the shape that they have in
    the data, though the model sees them all as one, and a phrase has one colour in all of the grid.

    Args:
        rows: validation rows, of which `count`, evenly spread, are drawn.
        processor: of the model.
        count: lines.
        image_size: of the model's input; its longer side is that of the pictures.
    """

    def __init__(self, rows, processor, count: int, image_size: int | tuple[int, int]):
        settings = SamplingSettings(
            image_size=image_size, mix="image", crop=False, negative_probability=0.0, prefixes=("a photo of a {}.",)
        )
        sampler = PromptSampler(rows, settings)
        numbers = [n for n in range(len(rows)) if sampler.visits(n)]
        self.samples = [sampler.sample(n) for n in evenly(numbers, count)]
        self.batch = PromptCollator(processor)(self.samples)
        self.colors = steady_colors([[sample.phrases[0] for sample in self.samples]])
        self.side = image_size if isinstance(image_size, int) else max(image_size)
        self.shapes = [(rows[sample.row]["width"], rows[sample.row]["height"]) for sample in self.samples]

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
        lines = [self._line(n, by_text[n], by_example.get(n)) for n in range(len(self.samples))]
        return np.asarray(draw_table(COLUMNS, lines, (self.side, self.side)))

    def _line(self, n: int, by_text: np.ndarray, by_example: np.ndarray | None) -> tuple[Line, list]:
        sample, color = self.samples[n], self.colors[self.samples[n].phrases[0]]
        width, height = self.shapes[n]
        scale = self.side / max(width, height)
        image = Image.fromarray(sample.image).resize((max(1, round(width * scale)), max(1, round(height * scale))))
        cells = [image, *(_paint(image, strength, color) for strength in (sample.masks[0] == 1, by_text))]
        support = sample.supports[0]
        if support is not None and by_example is not None:
            shown = fit(support.image, (self.side, self.side), [(support.mask, color)])
            cells += [shown, _paint(image, by_example, color)]
        return Line(sample.phrases[0], color), cells

    @staticmethod
    def _ask(model, features, prompts: dict) -> np.ndarray:
        """Probabilities (N, H, W), one prompt for each image."""
        vectors = model.get_conditional_embeddings(**prompts)
        return model(vision_embeds=features, conditional_embeddings=vectors).logits.float().sigmoid().cpu().numpy()


def _paint(image: Image.Image, strength: np.ndarray, color: Color) -> Image.Image:
    """The image darkened, and the colour over it as strong as (H, W) in [0, 1] says."""
    picture = image.point(lambda value: round(0.6 * value))
    paint_mask(picture, strength, color, opacity=0.75)
    return picture
