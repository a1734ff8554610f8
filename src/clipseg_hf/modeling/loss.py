"""Pixel losses of binary masks, with pixels left out by an ignore value."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

FOCAL_ALPHA = 0.25  # Lin et al., "Focal Loss for Dense Object Detection", section 5.1
FOCAL_GAMMA = 2.0
DICE_SMOOTH = 1.0  # Milletari et al., "V-Net"; keeps the loss of an empty mask defined


def bce_loss(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """Binary cross-entropy, the paper's loss: the mean over the valid pixels of each mask, averaged over the masks."""
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return _mean(losses, valid)


def focal_loss(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """Focal loss: cross-entropy times `(1 - p_true) ** gamma`, the two classes weighted by alpha and 1 - alpha."""
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    probabilities = logits.sigmoid()
    p_true = probabilities * targets + (1 - probabilities) * (1 - targets)
    alpha = FOCAL_ALPHA * targets + (1 - FOCAL_ALPHA) * (1 - targets)
    return _mean(alpha * (1 - p_true) ** FOCAL_GAMMA * losses, valid)


def dice_loss(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """One minus the soft Dice coefficient of each mask, averaged over the masks."""
    probabilities = logits.sigmoid() * valid  # (N, h, w)
    targets = targets * valid
    overlap = (probabilities * targets).sum((1, 2))  # (N,)
    total = probabilities.sum((1, 2)) + targets.sum((1, 2))
    return (1 - (2 * overlap + DICE_SMOOTH) / (total + DICE_SMOOTH)).mean()


def bce_dice_loss(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """The sum of `bce_loss` and `dice_loss`."""
    return bce_loss(logits, targets, valid) + dice_loss(logits, targets, valid)


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "bce": bce_loss,
    "focal": focal_loss,
    "dice": dice_loss,
    "bce_dice": bce_dice_loss,
}


def segmentation_loss(
    logits: Tensor, labels: Tensor, loss_type: str = "bce", ignore_index: float | Tensor | None = None
) -> Tensor:
    """The loss of `logits` against masks of any size.

    Args:
        logits: (N, H, W). Where the labels have another size, the logits are resized to it (bilinearly).
        labels: (N, h, w), bool, integer or float, each value in [0, 1] or equal to `ignore_index`.
        loss_type: "bce", "focal", "dice" or "bce_dice".
        ignore_index: label value of the pixels to leave out; None leaves out none.

    Returns:
        A float32 scalar; 0 (with zero gradients) where every pixel is left out. Each mask counts the same, however many
        of its pixels are left out, so that the loss of many masks is the mean of the losses of their parts.

    Raises:
        ValueError: if the labels have another count than the logits, hold NaN or a value outside of [0, 1].
    """
    if loss_type not in LOSSES:
        raise ValueError(f'loss_type="{loss_type}" is unknown, choose one of {", ".join(sorted(LOSSES))}')
    targets, valid = check_labels(labels, num_prompts=len(logits), ignore_index=ignore_index)
    targets, valid = targets.to(logits.device), valid.to(logits.device)
    logits = logits.float()
    if logits.shape[1:] != targets.shape[1:]:
        logits = F.interpolate(logits[:, None], targets.shape[1:], mode="bilinear", align_corners=False)[:, 0]
    return LOSSES[loss_type](logits, targets, valid)


def check_labels(labels: Tensor, num_prompts: int, ignore_index: float | Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Labels as float32 targets in [0, 1] (0 where left out) and the pixels that count as bool, both (N, h, w)."""
    if labels.ndim != 3 or len(labels) != num_prompts:
        raise ValueError(
            f"labels have the shape {tuple(labels.shape)}, expected ({num_prompts}, height, width): one mask for each "
            f"of the {num_prompts} prompt(s)"
        )
    targets = labels.float()
    valid = torch.ones_like(targets, dtype=torch.bool) if ignore_index is None else labels != ignore_index
    if torch.is_floating_point(labels) and bool((labels.isnan() & valid).any()):
        raise ValueError("labels hold NaN; mark pixels without a label by a number and pass it as ignore_index")
    targets = targets.masked_fill(~valid, 0.0)
    low, high = targets.aminmax() if targets.numel() else (0.0, 0.0)
    if low < 0 or high > 1:
        raise ValueError(
            f"labels reach from {float(low):g} to {float(high):g}, expected values in [0, 1]: divide a 0/255 mask by "
            f"255, or pass the value of pixels without a label as ignore_index (now {ignore_index})"
        )
    return targets, valid


def _mean(losses: Tensor, valid: Tensor) -> Tensor:
    means = (losses * valid).sum((1, 2)) / valid.sum((1, 2)).clamp(min=1)  # (N, h, w) -> (N,)
    return means.sum() / max(len(means), 1)
