"""Logits -> masks, scores, label maps.

Probabilities are the sigmoid of the logits, resized to the image bilinearly by pixel centres, as pictures were on
their way in. A pixel belongs to the mask where its probability is above the threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from transformers.utils import ModelOutput

from clipseg_hf._counted import counted
from clipseg_hf.processing.masks.guided_filter import GuidedFilter
from clipseg_hf.processing.masks.outlines import mask_to_box
from clipseg_hf.processing.masks.rle import encode_rle
from clipseg_hf.processing.thresholds import PAPER_THRESHOLD, PRESENCE_SHARE, threshold_of_each

_UNSET: Any = None  # what `ModelOutput` wants for a default


@dataclass
class PromptedMask(ModelOutput):
    """What one prompt found in one image; entries by name or by key.

    Attributes:
        mask: (h, w) bool.
        probabilities: (h, w) float32 in [0, 1].
        score: mean probability inside of the mask, 0 where it is empty.
        presence: in [0, 1], how sure the model is that the thing is there at all; see `presence_scores`.
        is_present: whether that is above the presence threshold. The mask is given either way.
    """

    mask: torch.Tensor
    probabilities: torch.Tensor = _UNSET
    score: float = _UNSET
    presence: float = _UNSET
    is_present: bool = _UNSET

    def to_record(self) -> dict:
        """What JSON can hold of it: box (COCO's [x, y, width, height], None where the mask is empty), area in pixels,
        score, presence, is_present, and the mask as COCO RLE ("segmentation")."""
        mask = self.mask.cpu().numpy()
        return {
            "box": mask_to_box(mask),
            "area": int(mask.sum()),
            "score": self.score,
            "presence": self.presence,
            "is_present": self.is_present,
            "segmentation": encode_rle(mask),
        }


def presence_scores(logits: torch.Tensor, share: float = PRESENCE_SHARE) -> torch.Tensor:
    """How sure the model is that each prompt's thing is in the image.

    The sigmoid of the mean of the highest 1 % of the logits: high as soon as one small region is, and, unlike the
    single highest pixel, not moved by a few stray ones. Computed at the model's resolution, so that it does not depend
    on the image's; monotonous in the logits, so that one threshold on a validation set calibrates it.

    Args:
        logits: (N, H, W).
        share: of the pixels that count, at least one.

    Returns:
        (N,) float32 in [0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is part of the pixels, in (0, 1], got {share}.")
    pixels = logits.flatten(1).float()
    return pixels.topk(max(1, round(share * pixels.shape[1])), dim=1).values.mean(dim=1).sigmoid()


def prompted_masks(
    logits: torch.Tensor,
    prompt_to_image: torch.Tensor | None = None,
    target_sizes: Sequence[tuple[int, int]] | torch.Tensor | None = None,
    thresholds: float | Sequence[float] = PAPER_THRESHOLD,
    presence_threshold: float = PAPER_THRESHOLD,
    own_logits: torch.Tensor | None = None,
) -> list[list[PromptedMask]]:
    """Masks of N prompts, sorted by image.

    Args:
        logits: (N, H, W), or (H, W) for a single prompt as transformers' model gives it.
        prompt_to_image: (N,) the image of each prompt. Left out: one prompt for each image, or all of a single one.
        target_sizes: (height, width) of each image; left out, masks have the size of the logits.
        thresholds: for the masks, one or one for each prompt.
        presence_threshold: for `is_present`.
        own_logits: the model's, for which presence is calibrated, where `logits` were filtered.

    Returns:
        for each image the masks of its prompts, in their order; an image without prompts has an empty list.

    Raises:
        ValueError: numbers of prompts, images, sizes and thresholds that do not fit.
    """
    logits, owners, sizes = _sort_out(logits, prompt_to_image, target_sizes)
    thresholds = threshold_of_each(thresholds, len(logits))
    own = logits if own_logits is None else own_logits.view_as(logits)
    presence = presence_scores(own).tolist()
    results: list[list[PromptedMask]] = [[] for _ in sizes]
    for number, image in enumerate(owners):
        probabilities = resize_probabilities(logits[number : number + 1], sizes[image])[0]
        mask = probabilities > thresholds[number]
        results[image].append(
            PromptedMask(
                mask=mask,
                probabilities=probabilities,
                score=probabilities[mask].mean().item() if mask.any() else 0.0,
                presence=presence[number],
                is_present=presence[number] > presence_threshold,
            )
        )
    return results


def semantic_maps(
    logits: torch.Tensor,
    prompt_to_image: torch.Tensor | None = None,
    target_sizes: Sequence[tuple[int, int]] | torch.Tensor | None = None,
    thresholds: float | Sequence[float] = PAPER_THRESHOLD,
    labels: Sequence[int] | Sequence[Sequence[int]] | None = None,
) -> list[torch.Tensor]:
    """One label map for each image: every pixel goes to the prompt with the highest probability among those above
    their threshold, else to the background, 0.

    Args:
        logits, prompt_to_image, target_sizes: as in `prompted_masks`.
        thresholds: below which a pixel is background; one, or one for each prompt. With 0 nothing is.
        labels: the number that each prompt of an image stands for, one list for all images or one for each. Left out:
            1, 2, ... in the order of the prompts, as in the index maps that the processor takes.

    Returns:
        B maps (h, w) int64.

    Raises:
        ValueError: numbers that do not fit.
    """
    logits, owners, sizes = _sort_out(logits, prompt_to_image, target_sizes)
    thresholds = threshold_of_each(thresholds, len(logits))
    counts = [owners.count(image) for image in range(len(sizes))]
    numbers = _read_labels(labels, counts)
    maps = []
    for image, size in enumerate(sizes):
        best = torch.zeros(size, device=logits.device)
        label_map = torch.zeros(size, dtype=torch.long, device=logits.device)
        of_image = [number for number, owner in enumerate(owners) if owner == image]
        for number, label in zip(of_image, numbers[image], strict=True):
            # one prompt at a time: eighty at full size would not fit into memory
            probabilities = resize_probabilities(logits[number : number + 1], size)[0]
            wins = (probabilities > thresholds[number]) & (probabilities > best)
            best = torch.where(wins, probabilities, best)
            label_map[wins] = label
        maps.append(label_map)
    return maps


def follow_edges(
    logits: torch.Tensor,
    prompt_to_image: Sequence[int] | torch.Tensor | None,
    guides: Sequence[Image.Image],
    guided_filter: GuidedFilter = GuidedFilter(),
) -> torch.Tensor:
    """Logits whose borders lie where the pictures' edges are.

    Args:
        logits: (N, H, W), or (H, W).
        prompt_to_image: as in `prompted_masks`.
        guides: the pictures, RGB, of any size.

    Returns:
        float32 of the same shape, on the same device.

    Raises:
        ValueError: there is no picture for some prompt.
    """
    if logits.ndim == 2:
        return follow_edges(logits[None], prompt_to_image, guides, guided_filter)[0]
    if prompt_to_image is not None:
        owners = np.asarray([int(image) for image in prompt_to_image], dtype=int)
    else:
        owners = np.zeros(len(logits), dtype=int) if len(guides) == 1 else np.arange(len(logits))
    if len(owners) and owners.max() >= len(guides):
        raise ValueError(
            f"guides hold {counted(len(guides), 'picture')} for prompts about {owners.max() + 1}: give the picture of "
            "each image, in the order in which the model saw them."
        )
    given = logits.detach().float().cpu().numpy()
    filtered = np.empty_like(given)
    for image in np.unique(owners):
        filtered[owners == image] = guided_filter.apply(given[owners == image], guides[image])
    return torch.from_numpy(filtered).to(logits.device)


def resize_probabilities(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Logits (N, H, W) -> probabilities (N, h, w) float32, bilinear by pixel centres, smoothed where they shrink."""
    probabilities = logits.float().sigmoid()
    if tuple(probabilities.shape[1:]) == tuple(size):
        return probabilities
    shrinks = size[0] < probabilities.shape[1] or size[1] < probabilities.shape[2]
    resized = F.interpolate(probabilities[:, None], tuple(size), mode="bilinear", antialias=shrinks)
    return resized[:, 0].clamp(0, 1)


def _sort_out(
    logits: torch.Tensor,
    prompt_to_image: torch.Tensor | None,
    target_sizes: Sequence[tuple[int, int]] | torch.Tensor | None,
) -> tuple[torch.Tensor, list[int], list[tuple[int, int]]]:
    """-> logits (N, H, W), the image of each prompt, the size of each image."""
    if logits.ndim == 2:
        logits = logits[None]
    if logits.ndim != 3:
        raise ValueError(f"Expected logits of shape (N, H, W), got {tuple(logits.shape)}.")
    logits, prompts = logits.detach(), len(logits)
    if isinstance(target_sizes, (list, tuple)) and any(isinstance(size, int) for size in target_sizes):
        raise ValueError(f"target_sizes is a list with one (height, width) for each image; got {target_sizes}.")
    sizes = None if target_sizes is None else [(int(height), int(width)) for height, width in target_sizes]
    if prompt_to_image is not None:
        owners = [int(image) for image in prompt_to_image]
        images = max(owners, default=-1) + 1 if sizes is None else len(sizes)
    else:
        images = prompts if sizes is None else len(sizes)
        owners = [0] * prompts if images == 1 else list(range(prompts))
    if len(owners) != prompts:
        raise ValueError(
            f"prompt_to_image names the images of {counted(len(owners), 'prompt')}, but the logits are of {prompts}."
        )
    if sizes is not None and owners and (max(owners) >= images or (prompt_to_image is None and prompts < images)):
        raise ValueError(
            f"{images} target_sizes for {counted(prompts, 'prompt')} of {counted(max(owners) + 1, 'image')}: "
            "give one (height, width) for each image."
        )
    return logits, owners, sizes or [(logits.shape[1], logits.shape[2])] * images


def _read_labels(labels: Any, counts: list[int]) -> list[list[int]]:
    if labels is None:
        return [list(range(1, count + 1)) for count in counts]
    labels = list(labels)
    nested = bool(labels) and isinstance(labels[0], (list, tuple))
    numbers = [list(part) for part in labels] if nested else [labels for _ in counts]
    if [len(part) for part in numbers] != counts:
        raise ValueError(
            f"labels for {[len(part) for part in numbers]} prompts do not fit images with {counts}: give one number "
            "for each prompt."
        )
    wrong = [label for part in numbers for label in part if isinstance(label, bool) or not isinstance(label, int)]
    if wrong:
        raise ValueError(f"labels are whole numbers, got {wrong[0]!r}; names go beside the map, not into it.")
    return numbers
