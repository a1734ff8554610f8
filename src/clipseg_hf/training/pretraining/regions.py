"""Where a picture shows what, by CLIP's patches, and the loss that asks them for it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from clipseg_hf.training.pretraining.captioned_pictures import CaptionedPicture


@dataclass
class Regions:
    """R regions of a batch of pictures: `shares` (R, P) of each patch that one covers, in 0 to 1, the number of its
    `picture` (R,) in the batch, and of its `name` (R,) among those that regions may have."""

    shares: torch.Tensor
    picture: torch.Tensor
    name: torch.Tensor

    def at(self, places: torch.Tensor) -> "Regions":
        """The same regions where only some patches are seen: `places` (B, patches seen)."""
        picture, name = self.picture.to(places.device), self.name.to(places.device)
        return Regions(self.shares.to(places.device).gather(1, places[picture]), picture, name)


def find_regions(items: Sequence[CaptionedPicture], names: Sequence[str], patch_size: int) -> Regions:
    """The regions of pictures (H, W), by patches: P is H / patch_size x W / patch_size, row by row."""
    numbers = {name: number for number, name in enumerate(names)}
    found = [(i, numbers[name], mask) for i, item in enumerate(items) for name, mask in item.regions.items()]
    patches = math.prod(side // patch_size for side in items[0].picture.shape[:2])
    if not found:
        nothing = torch.zeros(0, dtype=torch.long)
        return Regions(torch.zeros(0, patches), nothing, nothing)
    picture, name, masks = zip(*found, strict=True)
    shares = F.avg_pool2d(torch.from_numpy(np.stack(masks)).float()[:, None], patch_size).flatten(1)
    return Regions(shares, torch.tensor(picture), torch.tensor(name))


def region_loss(
    patch_embeds: torch.Tensor, name_embeds: torch.Tensor, scale: torch.Tensor, regions: Regions
) -> torch.Tensor:
    """Cross-entropy of a patch naming what it shows, among the names that regions may have: a mean over regions, each
    one's patches by their shares. CLIP's own loss only asks the class token; a decoder reads the patches (RegionCLIP,
    Zhong et al. 2022).

    Args:
        patch_embeds: (B, P, D), of any length.
        name_embeds: (K, D), of any length.
        scale: factor on the cosine similarities.
        regions: R of these pictures; a region that covers none of the patches does not count.
    """
    region, patch = regions.shares.nonzero(as_tuple=True)  # of each region the patches that it covers: n in all
    seen, names = F.normalize(patch_embeds[regions.picture[region], patch], dim=-1), F.normalize(name_embeds, dim=-1)
    surprise = F.cross_entropy(scale * seen @ names.T, regions.name[region], reduction="none")  # (n,)
    shares = regions.shares[region, patch]
    area, totals = regions.shares.sum(1), regions.shares.new_zeros(len(regions.shares))
    means = totals.index_add(0, region, surprise * shares)[area > 0] / area[area > 0]
    return means.mean() if len(means) else surprise.sum()
