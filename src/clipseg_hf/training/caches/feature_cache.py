"""The activations of all images, kept in a file: a step is then the decoder alone."""

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from clipseg_hf.data.sampling.collate import PromptCollator
from clipseg_hf.data.sampling.samples import SampleError
from clipseg_hf.data.sampling.sampling import PromptSampler
from clipseg_hf.modeling import CLIPSegForImageSegmentation, CLIPSegVisionFeatures
from clipseg_hf.training.caches.blocks import CacheSettings, blocks_of, loaded
from clipseg_hf.training.caches.kept_arrays import BROKEN, MISSING, THERE, KeptArrays


class FeatureCache:
    """The activations of all images, where none is cropped, flipped or recoloured at random.

    Args:
        model, sampler, collator, settings: as for `PromptCache`.
    """

    def __init__(
        self,
        model: CLIPSegForImageSegmentation,
        sampler: PromptSampler,
        collator: PromptCollator,
        settings: CacheSettings,
    ):
        self.model, self.sampler, self.collator, self.settings = model, sampler, collator, settings
        height, width = sampler.settings.size
        vision, layers = model.config.vision_config, list(model.config.extract_layers)
        self.grid = (height // vision.patch_size, width // vision.patch_size)
        shape = (len(layers), 1 + self.grid[0] * self.grid[1], vision.hidden_size)
        key = settings.key(size=[height, width], layers=layers)
        self.kept = KeptArrays(settings.folder, "features", key, len(sampler.rows), shape)

    @torch.no_grad()
    def fill(self, rank: int = 0, world: int = 1) -> None:
        """Encode all images that are asked about.

        Args:
            rank, world: this process takes each `world`-th block.
        """
        lacking = (self.kept.flags == MISSING) & (self.sampler.index.counts > 0)
        blocks = blocks_of(len(self.sampler.rows), rank, world)
        todo = [block for block in blocks if lacking[block.start : block.stop].any()]
        dataset = _Images(todo, self.sampler, self.collator)
        with loaded(dataset, "images", self.settings) as blocks:
            for rows, pixels, broken in blocks:
                if len(rows):
                    features = self.model.get_vision_features(pixels.to(self.model.device)).vision_embeds
                    self.kept.put(rows, torch.stack(features, dim=1).float().cpu().numpy())
                for row, _ in broken:
                    self.kept.flags[row] = BROKEN  # the training will meet it, and say so

    def __call__(self, rows: list[int], device) -> CLIPSegVisionFeatures:
        """The features of some rows, float32.

        Raises:
            ValueError: a row's image could not be read when the features were made.
        """
        lost = [row for row in rows if self.kept.flags[row] != THERE]
        if lost:
            raise ValueError(f"There are no features of rows {lost}; delete {self.kept.folder} to make them anew.")
        activations = torch.from_numpy(self.kept.arrays[rows]).to(device).float()  # (B, layers, tokens, width)
        return CLIPSegVisionFeatures(vision_embeds=tuple(activations.unbind(1)), grid=self.grid)

    def blank_rows(self):
        """The rows with black pictures in the place of those that are kept, which need not be read any more. Broken
        ones stay, to be noticed."""
        return _BlankRows(self.sampler.rows, self.kept.flags)


class _BlankRows:
    def __init__(self, rows, flags: np.ndarray):
        self.rows, self.flags = rows, flags

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> dict:
        item = self.rows[row]
        if self.flags[row] != THERE:
            return item
        return {**item, "image": Image.new("RGB", (item["width"], item["height"]))}


class _Images(Dataset):
    """Blocks of rows -> rows, pixels and errors."""

    def __init__(self, blocks: list[range], sampler: PromptSampler, collator: PromptCollator):
        self.blocks, self.sampler, self.collator = blocks, sampler, collator

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, number: int):
        samples, broken = [], []
        for row in self.blocks[number]:
            if self.sampler.visits(row):
                try:
                    samples.append(self.sampler.sample(row))
                except SampleError as error:
                    broken.append((row, str(error)))
        pixels = self.collator(samples)["pixel_values"] if samples else None
        return [sample.row for sample in samples], pixels, broken
