"""Boundary IoU (Cheng et al., CVPR 2021): the IoU of the masks' rims, where errors at the edge cannot hide."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from clipseg_hf.evaluation.metrics.arithmetic import exact_mean, ratio
from clipseg_hf.evaluation.metrics.travelling import Arrays

RIM = 0.02  # width of the rim, in units of the image's diagonal


def boundary_iou(masks: torch.Tensor, targets: torch.Tensor, rim: float = RIM) -> np.ndarray:
    """IoU of the pixels that lie within a distance of their own mask's edge.

    Args:
        masks, targets: (N, H, W) bool.
        rim: the distance in units of the image's diagonal, rounded to pixels, at least one; the image's border counts
            as an edge.

    Returns:
        (N,); 1 where both masks are empty.
    """
    height, width = masks.shape[1:]
    distance = max(1, round(rim * (height**2 + width**2) ** 0.5))
    mask_rims, target_rims = masks & ~_erode(masks, distance), targets & ~_erode(targets, distance)
    common = (mask_rims & target_rims).sum(dim=(1, 2))
    either = (mask_rims | target_rims).sum(dim=(1, 2))
    return ratio(common.cpu().numpy(), either.cpu().numpy())


def _erode(masks: torch.Tensor, distance: int) -> torch.Tensor:
    """Keep pixels whose square of 2 x distance + 1 lies inside the mask and the image; by sums over the square, so that
    the distance costs nothing."""
    side = 2 * distance + 1
    sums = F.pad(masks.int(), (distance, distance, distance, distance)).cumsum(1).cumsum(2)
    sums = F.pad(sums, (1, 0, 1, 0))
    inside = sums[:, side:, side:] - sums[:, :-side, side:] - sums[:, side:, :-side] + sums[:, :-side, :-side]
    return inside == side * side


class BoundaryScores:
    """Collects boundary IoU at fixed thresholds, sample by sample.

    Args:
        thresholds: a pixel is foreground where its probability is above one.
        rim: see `boundary_iou`.
    """

    def __init__(self, thresholds: Sequence[float] = (0.3, 0.5), rim: float = RIM):
        self.thresholds, self.rim = tuple(thresholds), rim
        self._values: list[tuple[float, ...]] = []  # of each sample, at each threshold

    def __len__(self) -> int:
        return len(self._values)

    def update(self, probabilities: torch.Tensor, targets: torch.Tensor, ignore: torch.Tensor | None = None) -> None:
        """Count one batch: probabilities (N, H, W) in [0, 1], targets (N, H, W) bool, and of that shape what does not
        count: whatever is marked there is taken for right.

        Raises:
            ValueError: the shapes differ.
        """
        if probabilities.shape != targets.shape:
            raise ValueError(
                f"probabilities and targets are both (N, H, W), got {tuple(probabilities.shape)} and "
                f"{tuple(targets.shape)}: resize the probabilities to the targets' size first."
            )
        targets = targets.bool()
        columns = []
        for threshold in self.thresholds:
            masks = probabilities > threshold
            masks = masks if ignore is None else torch.where(ignore, targets, masks)
            columns.append(boundary_iou(masks, targets, self.rim).tolist())
        self._values += zip(*columns, strict=True) if columns else [()] * len(probabilities)

    def merge(self, other: "BoundaryScores") -> "BoundaryScores":
        """Take over another collection and return self.

        Raises:
            ValueError: the other one's thresholds or rim differ.
        """
        if (other.thresholds, other.rim) != (self.thresholds, self.rim):
            raise ValueError(
                f"Cannot merge boundary scores at {other.thresholds} (rim {other.rim:g}) into scores at "
                f"{self.thresholds} (rim {self.rim:g})."
            )
        self._values += other._values
        return self

    def to_arrays(self) -> Arrays:
        """The scores, to be sent to another process."""
        return {"values": np.array(self._values, dtype=np.float64).reshape(len(self._values), len(self.thresholds))}

    def filled(self, arrays: Mapping[str, np.ndarray]) -> "BoundaryScores":
        """Scores at the same thresholds that hold what another process sent."""
        filled = BoundaryScores(self.thresholds, self.rim)
        filled._values = [tuple(values) for values in arrays["values"].tolist()]
        return filled

    def select(self, samples: Sequence[int]) -> "BoundaryScores":
        """The scores of some samples, by their numbers in order of arrival."""
        chosen = BoundaryScores(self.thresholds, self.rim)
        chosen._values = [self._values[n] for n in samples]
        return chosen

    def compute(self) -> dict[str, float]:
        """`boundary_iou_T` at each threshold T, the mean over samples; NaN without any."""
        if not self._values:
            return {f"boundary_iou_{threshold:g}": float("nan") for threshold in self.thresholds}
        means = exact_mean(np.array(self._values))
        return {f"boundary_iou_{t:g}": float(mean) for t, mean in zip(self.thresholds, means, strict=True)}
