"""The activations of all images, kept in a file: a step is then the decoder alone."""

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from clipseg_hf.data.sampling.collate import PromptCollator
from clipseg_hf.data.sampling.samples import SampleError
from clipseg_hf.data.sampling.sampling import PromptSampler
from clipseg_hf.modeling import CLIPSegForImageSegmentation, CLIPSegVisionFeatures
from clipseg_hf.training.caches.blocks import blocks_of, images_at_once, in_fixed_batches, loaded
from clipseg_hf.training.caches.cache_settings import CacheSettings
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
        key = settings.key(model, "data", "image_processor", size=[height, width], layers=layers)
        self.kept = KeptArrays(settings.folder, "features", key, len(sampler.rows), shape)

    def refresh(self, pictures: np.ndarray) -> None:
        """Forget what was made of other pictures than those that are there now, and try those again that could not be
        read.

        Args:
            pictures: (rows,) uint64, see `fingerprint_images`.
        """
        self.kept.refresh(pictures)

    def fill(self, rank: int = 0, world: int = 1) -> None:
        """Encode all images that are asked about.

        Args:
            rank, world: this process takes each `world`-th block.
        """
        lacking = (self.kept.flags == MISSING) & (self.sampler.index.counts > 0)
        blocks = [[row for row in block if lacking[row]] for block in blocks_of(len(lacking), rank, world)]
        dataset = _Images([block for block in blocks if block], self.sampler, self.collator)
        with loaded(dataset, "images", self.settings) as blocks:
            for rows, pixels, broken in blocks:
                if rows:
                    self._encode(rows, pixels)
                self.kept.flags[broken] = BROKEN  # the training will meet them, and say so

    def __call__(self, rows: list[int], pixel_values: torch.Tensor, device) -> CLIPSegVisionFeatures:
        """The features of some rows, float32.

        Args:
            rows: B rows.
            pixel_values: (B, 3, H, W); looked at for rows that `fill` could not read and that can be read now.
            device: where to.
        """
        lacking = [n for n, row in enumerate(rows) if self.kept.flags[row] != THERE]
        if lacking:
            self._encode([rows[n] for n in lacking], pixel_values[lacking])
        activations = torch.from_numpy(self.kept.arrays[rows]).to(device).float()  # (B, layers, tokens, width)
        return CLIPSegVisionFeatures(vision_embeds=tuple(activations.unbind(1)), grid=self.grid)

    def blank_rows(self):
        """The rows with black pictures in the place of those that are kept, which need not be read any more. Broken
        ones stay, to be noticed."""
        return _BlankRows(self.sampler.rows, self.kept.flags)

    @torch.no_grad()
    def _encode(self, rows: list[int], pixels: torch.Tensor) -> None:
        def encode(pixel_values: torch.Tensor) -> torch.Tensor:
            return torch.stack(self.model.get_vision_features(pixel_values).vision_embeds, dim=1)

        device = self.model.device
        self.kept.put(rows, in_fixed_batches(encode, {"pixel_values": pixels}, images_at_once(device), device))


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
    """Blocks of rows -> the rows that can be read, their pixels, and the others."""

    def __init__(self, blocks: list[list[int]], sampler: PromptSampler, collator: PromptCollator):
        self.blocks, self.sampler, self.collator = blocks, sampler, collator

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, number: int):
        pictures, broken = {}, []
        for row in self.blocks[number]:
            try:
                pictures[row] = self.sampler.picture(row)
            except SampleError:
                broken.append(row)
        pixels = self.collator.pixels(list(pictures.values())) if pictures else None
        return list(pictures), pixels, broken
