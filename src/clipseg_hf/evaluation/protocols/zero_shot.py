"""Protocol 2, zero-shot segmentation (paper, section 5.2): every pixel gets a class, some of them never trained on.

Two readings, both reported: the paper speaks of 20 classes; its code takes the argmax over 21 prompts, the word
"background" among them, its probability times 3, and counts the background to the seen classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from clipseg_hf.evaluation.benchmarks.label_maps import BACKGROUND, LabelMap
from clipseg_hf.evaluation.metrics.travelling import Arrays
from clipseg_hf.evaluation.protocols.prompted_model import PromptedModel
from clipseg_hf.evaluation.protocols.queries import batches

WITHOUT_BACKGROUND, WITH_BACKGROUND = "without background", "with background"


@dataclass(frozen=True)
class ZeroShotSettings:
    """How classes are asked.

    Attributes:
        templates: sentences around the class name; the original asks the bare name.
        background: the word for what is none of the classes.
        background_factor: times which its probability competes.
        batch_size: images encoded at once.
        guided_filter: let masks follow the pictures' edges, by `GuidedFilter`'s own settings.
    """

    templates: tuple[str, ...] = ("{}",)
    background: str = "background"
    background_factor: float = 3.0
    batch_size: int = 4
    guided_filter: bool = False


class ConfusionMatrix:
    """Pixels by true and by predicted class: `counts[t, p]`, (C, C) int64."""

    def __init__(self, classes: Sequence[str]):
        self.classes = tuple(classes)
        self.counts = np.zeros((len(classes), len(classes)), dtype=np.int64)

    def update(self, predicted: torch.Tensor, truth: torch.Tensor) -> None:
        """Count pixels: integer tensors of one shape; where the truth is negative a pixel does not count."""
        counted = truth >= 0
        codes = truth[counted] * len(self.classes) + predicted[counted]
        counts = torch.bincount(codes.flatten(), minlength=len(self.classes) ** 2)
        self.counts += counts.reshape(len(self.classes), -1).cpu().numpy()

    def merge(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        """Take over another process's pixels and return self."""
        if other.classes != self.classes:
            raise ValueError("Cannot merge the pixels of different classes.")
        self.counts += other.counts
        return self

    @classmethod
    def joined(cls, groups: Sequence["ConfusionMatrix"]) -> "ConfusionMatrix":
        """The pixels of classes that were told apart in groups, each in its own: those of one group were never given
        to a class of another. A class of several groups, such as the background, has the pixels of all."""
        joined = cls(list(dict.fromkeys(name for group in groups for name in group.classes)))
        for group in groups:
            places = [joined.classes.index(name) for name in group.classes]
            joined.counts[np.ix_(places, places)] += group.counts
        return joined

    def to_arrays(self) -> Arrays:
        """The pixels, to be sent to another process."""
        return {"counts": self.counts}

    def filled(self, arrays: Mapping[str, np.ndarray]) -> "ConfusionMatrix":
        """A matrix of the same classes that holds what another process sent."""
        filled = ConfusionMatrix(self.classes)
        filled.counts += arrays["counts"]
        return filled

    def iou(self) -> dict[str, float]:
        """IoU of each class; NaN for one that is neither there nor predicted, which no mean counts."""
        right = np.diag(self.counts)
        union = self.counts.sum(axis=0) + self.counts.sum(axis=1) - right
        return {
            name: float(r / u) if u else float("nan") for name, r, u in zip(self.classes, right, union, strict=True)
        }


def evaluate_zero_shot(
    model,
    processor,
    maps: Sequence[LabelMap],
    classes: Sequence[str],
    settings: ZeroShotSettings | None = None,
    *,
    shard: tuple[int, int] = (0, 1),
    progress: bool = False,
) -> dict[str, ConfusionMatrix]:
    """Give every pixel the class whose prompt has the highest probability.

    Args:
        maps: pictures with their label maps (`PascalVOC`, `RowLabelMaps`).
        classes: names, in the order of the maps' numbers from 1.
        shard: (rank, processes): this process takes each `processes`-th batch.

    Returns:
        Reading -> its pixels: "without background" over the classes alone, on pixels that belong to one of them;
        "with background" over all, the background first.
    """
    settings = settings or ZeroShotSettings()
    if not len(maps) or not classes:
        raise ValueError(f"There is nothing to evaluate: {len(maps)} pictures, {len(classes)} classes.")
    prompted = PromptedModel.asked_by(model, processor, settings)
    matrices = {
        WITHOUT_BACKGROUND: ConfusionMatrix(classes),
        WITH_BACKGROUND: ConfusionMatrix([settings.background, *classes]),
    }
    with prompted.evaluating():
        vectors = prompted.text_vectors([settings.background, *classes])  # (1 + C, D)
        for numbers in batches(len(maps), settings.batch_size, shard, "zero-shot" if progress else None):
            batch = [maps[number] for number in numbers]
            features = prompted.encode_images([picture.image for picture in batch])
            for n, picture in enumerate(batch):
                owners = [n] * len(vectors)
                logits = prompted.logits(features, vectors, owners)
                logits = prompted.at_edges(logits, owners, [picture.image for picture in batch])
                _count(matrices, logits.sigmoid(), picture.labels, settings)
    return matrices


def summarize_zero_shot(matrices: dict[str, ConfusionMatrix], unseen: Sequence[str]) -> dict[str, dict[str, dict]]:
    """Reading -> "seen", "unseen", "harmonic" and "all" -> `miou` (and IoU `per_class`).

    Raises:
        ValueError: an unseen class is none of the classes.
    """
    unknown = sorted(set(unseen) - set(matrices[WITHOUT_BACKGROUND].classes))
    if unknown:
        raise ValueError(
            f"The unseen {', '.join(unknown)} are not among the classes "
            f"{', '.join(matrices[WITHOUT_BACKGROUND].classes)}."
        )
    summary = {}
    for reading, matrix in matrices.items():
        ious = matrix.iou()
        means = {
            "seen": _mean([iou for name, iou in ious.items() if name not in unseen]),
            "unseen": _mean([ious[name] for name in unseen]),
        }
        means["harmonic"] = _harmonic(means["seen"], means["unseen"])
        summary[reading] = {"all": {"miou": _mean(ious.values()), "per_class": ious}}
        summary[reading] |= {name: {"miou": mean} for name, mean in means.items()}
    return summary


def _count(
    matrices: dict[str, ConfusionMatrix], probabilities: torch.Tensor, labels: np.ndarray, settings: ZeroShotSettings
) -> None:
    """Count one picture: probabilities (1 + C, H, W), the background's first; labels (h, w)."""
    size = probabilities.shape[1:]
    truth = torch.from_numpy(labels).to(probabilities.device)[None, None]
    truth = torch.nn.functional.interpolate(truth.float(), size=size, mode="nearest-exact")[0, 0].long()
    # the background becomes -1 and does not count, nor does what was ignored
    matrices[WITHOUT_BACKGROUND].update(probabilities[1:].argmax(dim=0), truth - 1)
    probabilities[BACKGROUND] *= settings.background_factor
    matrices[WITH_BACKGROUND].update(probabilities.argmax(dim=0), truth)


def _mean(values) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _harmonic(seen: float, unseen: float) -> float:
    if np.isnan(seen) or np.isnan(unseen):
        return float("nan")
    return 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0
