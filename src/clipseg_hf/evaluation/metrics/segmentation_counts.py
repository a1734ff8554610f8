"""How well masks fit: an accumulator of counts per threshold, and the paper's numbers from it.

One pass over each sample's pixels, no sort; what is kept is one small histogram a sample, however many pixels it has.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from clipseg_hf.evaluation.metrics.arithmetic import average_precision, check_arithmetic, exact_mean, ratio
from clipseg_hf.evaluation.metrics.histogram import DEFAULT_THRESHOLDS, ThresholdHistogram
from clipseg_hf.evaluation.metrics.travelling import Arrays, pack, unpack


class SegmentationCounts:
    """Counts true and false positives at every threshold, sample by sample.

    Args:
        thresholds: K increasing numbers in [0, 1); a pixel is foreground where its probability is *above* one.
            The default is the original's 0.02, 0.04, ..., 0.98.

    Attributes:
        histograms: all that is kept: of each sample (2, K + 1) int64, how many pixels outside and inside of the
            ground truth pass exactly k thresholds.
        classes: the label of each sample, None where none was given.
    """

    def __init__(self, thresholds: Sequence[float] = DEFAULT_THRESHOLDS):
        self._histogram = ThresholdHistogram(thresholds)
        self.thresholds = tuple(float(threshold) for threshold in thresholds)
        self.classes: list = []
        self.histograms: list[np.ndarray] = []

    @classmethod
    def from_histograms(
        cls, histograms: Sequence, classes: Sequence, thresholds: Sequence[float] = DEFAULT_THRESHOLDS
    ) -> "SegmentationCounts":
        """Bring back counts that were kept: S histograms, nested or flat, and S labels.

        Raises:
            ValueError: the lengths differ, or a histogram does not belong to that many thresholds.
        """
        counts = cls(thresholds)
        size = 2 * (len(counts.thresholds) + 1)
        histograms = [np.asarray(histogram, dtype=np.int64) for histogram in histograms]
        wrong = {histogram.size for histogram in histograms} - {size}
        if wrong:
            raise ValueError(
                f"{len(counts.thresholds)} thresholds have histograms of {size} numbers, got one of {min(wrong)}: were "
                "they counted at other thresholds?"
            )
        if len(histograms) != len(classes):
            raise ValueError(f"classes holds {len(classes)} labels for {len(histograms)} histograms.")
        counts.histograms = [histogram.reshape(2, -1) for histogram in histograms]
        counts.classes = list(classes)
        return counts

    def __len__(self) -> int:
        return len(self.histograms)

    def update(self, probabilities, targets, classes: Sequence | None = None, ignore=None) -> None:
        """Count one batch.

        Args:
            probabilities: (N, H, W) or (H, W) floats in [0, 1], tensor or array.
            targets: ground truth of the same shape: bool, or numbers that are 0 or 1.
            classes: N labels (strings or integers) to average over; left out, each sample is its own class.
            ignore: bool mask of the same shape, True where a pixel does not count.

        Raises:
            ValueError: shapes differ, probabilities are outside [0, 1], targets are other than 0 and 1 on pixels
                that count, or the number of labels is not N.
        """
        probabilities, targets = torch.as_tensor(probabilities), torch.as_tensor(targets)
        ignore = None if ignore is None else torch.as_tensor(ignore)
        if probabilities.ndim == 2:
            probabilities, targets = probabilities[None], targets[None]
            ignore = None if ignore is None else ignore[None]
        _check_batch(probabilities, targets, ignore)
        labels = [None] * len(probabilities) if classes is None else [_plain(label) for label in classes]
        if len(labels) != len(probabilities):
            raise ValueError(f"classes holds {len(labels)} labels for {len(probabilities)} samples.")
        targets = targets.to(probabilities.device).bool()
        ignore = None if ignore is None else ignore.to(probabilities.device).bool()
        for n in range(len(probabilities)):
            counts = self._histogram(probabilities[n], targets[n], None if ignore is None else ignore[n])
            self.histograms.append(counts)
        self.classes += labels

    def merge(self, other: "SegmentationCounts") -> "SegmentationCounts":
        """Take over another accumulator's samples (another process's, say) and return self. The order does not matter.

        Raises:
            ValueError: the other one counts at other thresholds.
        """
        if other.thresholds != self.thresholds:
            raise ValueError(
                f"Cannot merge counts at {len(other.thresholds)} thresholds from {other.thresholds[0]:g} to "
                f"{other.thresholds[-1]:g} into counts at {len(self.thresholds)} thresholds from "
                f"{self.thresholds[0]:g} to {self.thresholds[-1]:g}: make both with the same thresholds."
            )
        self.histograms += other.histograms
        self.classes += other.classes
        return self

    def to_arrays(self) -> Arrays:
        """Histograms and classes, to be sent to another process."""
        shape = (-1, 2, len(self.thresholds) + 1)
        histograms = np.asarray(self.histograms, dtype=np.int64).reshape(shape)
        return {"histograms": histograms, "classes": pack(self.classes)}

    def filled(self, arrays: Mapping[str, np.ndarray]) -> "SegmentationCounts":
        """Counts at the same thresholds that hold what another process sent."""
        return self.from_histograms(arrays["histograms"], unpack(arrays["classes"]), self.thresholds)

    def select(self, samples: Sequence[int]) -> "SegmentationCounts":
        """The counts of some of the samples, by their numbers in order of arrival (repeats allowed)."""
        return SegmentationCounts.from_histograms(
            [self.histograms[n] for n in samples], [self.classes[n] for n in samples], self.thresholds
        )

    def counts(self) -> dict[str, np.ndarray]:
        """Pixels per sample and threshold: `tp`, `fp`, `fn`, `tn`, each (S, K) int64."""
        histograms = np.stack(self.histograms) if self.histograms else np.zeros((0, 2, len(self.thresholds) + 1), int)
        return read_histograms(histograms)

    def per_sample(self, threshold: float, arithmetic: str = "default") -> np.ndarray:
        """IoU of each sample at one of the thresholds: (S,)."""
        check_arithmetic(arithmetic)
        k = self.threshold_index(threshold)
        return _iou(*(part[:, k] for part in self._parts(self.counts())), arithmetic)

    def per_class(self, threshold: float, arithmetic: str = "default") -> dict:
        """IoU of each class at one of the thresholds, its samples' counts summed: label -> float.

        Raises:
            ValueError: the samples came without classes.
        """
        check_arithmetic(arithmetic)
        if None in self.classes:
            raise ValueError("per_class needs `classes` at every update; some samples came without.")
        k = self.threshold_index(threshold)
        return {label: float(curve[k]) for label, curve in zip(*self._class_curves(arithmetic), strict=True)}

    def curves(self, arithmetic: str = "default") -> dict[str, np.ndarray]:
        """(K,) each: `miou`, `iou_fg`, `iou_bin`, `precision`, `recall`, over `thresholds`."""
        check_arithmetic(arithmetic)
        self._check_not_empty()
        total = {name: counts.sum(axis=0) for name, counts in self.counts().items()}
        tp, fp, fn, tn = total["tp"], total["fp"], total["fn"], total["tn"]
        foreground, background = _iou(tp, fp, fn, arithmetic), _iou(tn, fn, fp, arithmetic)
        return {
            "thresholds": np.array(self.thresholds),
            "miou": exact_mean(self._class_curves(arithmetic)[1]),
            "iou_fg": foreground,
            "iou_bin": (foreground + background) / 2,
            "precision": ratio(tp, tp + fp, arithmetic),
            "recall": ratio(tp, tp + fn, arithmetic),
        }

    def compute(self, arithmetic: str = "default", at: Sequence[float] = (0.3, 0.5)) -> dict[str, float]:
        """The numbers of the paper.

        - `miou_T`: mean over classes of the IoU of each class's summed counts. Samples without a class count as a
          class each, so without any classes it is the mean IoU over samples (the paper's mIoU on PhraseCut).
        - `iou_fg_T`: foreground IoU of the counts summed over everything.
        - `iou_bin_T`: mean of that and the background's.
        - each also as `_best`, with the threshold `_best_t` where it is highest (the lowest of equals).
        - `ap`: average precision of the pixels; `samples`, `classes`: how many.

        Args:
            arithmetic: "default" or "clipseg" (the original's arithmetic); see `metrics/arithmetic.py`.
            at: the fixed thresholds T to report, among `thresholds`.

        Raises:
            ValueError: an unknown arithmetic, a threshold that was not counted, or nothing was counted.
        """
        curves = self.curves(arithmetic)
        total = {name: counts.sum(axis=0) for name, counts in self.counts().items()}
        result: dict[str, float] = {"samples": len(self), "classes": len(self._class_labels())}
        for name in ("miou", "iou_fg", "iou_bin"):
            best = int(np.argmax(curves[name]))
            for threshold in at:
                result[f"{name}_{threshold:g}"] = float(curves[name][self.threshold_index(threshold)])
            result[f"{name}_best"] = float(curves[name][best])
            result[f"{name}_best_t"] = self.thresholds[best]
        negatives = int(total["fp"][0] + total["tn"][0])
        result["ap"] = average_precision(total["tp"], total["fp"], total["fn"], negatives, arithmetic)
        return result

    def threshold_index(self, threshold: float) -> int:
        """Where a threshold stands among `thresholds` (within 1e-6).

        Raises:
            ValueError: it was not counted; names the nearest that was.
        """
        distances = np.abs(np.array(self.thresholds) - threshold)
        k = int(distances.argmin())
        if distances[k] > 1e-6:
            raise ValueError(
                f"Threshold {threshold:g} was not counted; the nearest that was is {self.thresholds[k]:g}. "
                "Pass the thresholds you need to SegmentationCounts(thresholds=...)."
            )
        return k

    def _class_labels(self) -> list:
        """One label per group that mIoU averages over: the classes, and each sample without one."""
        named = sorted(
            {label for label in self.classes if label is not None}, key=lambda label: (str(type(label)), label)
        )
        return named + [None] * self.classes.count(None)

    def _class_curves(self, arithmetic: str) -> tuple[list, np.ndarray]:
        """Labels and IoU over thresholds of each group, (C, K)."""
        labels = self._class_labels()
        named = [label for label in labels if label is not None]
        numbers = {label: number for number, label in enumerate(named)}
        free = iter(range(len(named), len(labels)))
        group = np.array([numbers[label] if label is not None else next(free) for label in self.classes], dtype=int)
        parts = []
        for counts in self._parts(self.counts()):
            summed = np.zeros((len(labels), len(self.thresholds)), dtype=np.int64)
            np.add.at(summed, group, counts)
            parts.append(summed)
        return labels, _iou(*parts, arithmetic)

    def _check_not_empty(self) -> None:
        if not len(self):
            raise ValueError("Nothing was counted yet: call update(probabilities, targets) first.")

    @staticmethod
    def _parts(counts: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return counts["tp"], counts["fp"], counts["fn"]


def read_histograms(histograms: np.ndarray) -> dict[str, np.ndarray]:
    """How many pixels pass each threshold, and how many do not: (..., 2, K + 1) -> `tp`, `fp`, `fn`, `tn`, (..., K)
    each. Histograms of several samples may be summed before."""
    above = histograms[..., ::-1].cumsum(axis=-1)[..., ::-1]  # passes at least k thresholds
    total = above[..., :1]
    above = above[..., 1:]
    below = total - above
    return {"tp": above[..., 1, :], "fp": above[..., 0, :], "fn": below[..., 1, :], "tn": below[..., 0, :]}


def _iou(tp, fp, fn, arithmetic: str) -> np.ndarray:
    return ratio(tp, tp + fp + fn, arithmetic)


def _plain(label):
    """A class label as a plain Python value, so that tensors and arrays of labels group as their numbers do."""
    return label.item() if hasattr(label, "item") else label


def _check_batch(probabilities: torch.Tensor, targets: torch.Tensor, ignore: torch.Tensor | None) -> None:
    if probabilities.ndim != 3 or probabilities.shape != targets.shape:
        raise ValueError(
            f"probabilities and targets are both (N, H, W), got {tuple(probabilities.shape)} and "
            f"{tuple(targets.shape)}: resize the probabilities to the targets' size first."
        )
    if ignore is not None and ignore.shape != targets.shape:
        raise ValueError(f"ignore has shape {tuple(ignore.shape)}, the targets {tuple(targets.shape)}.")
    if not probabilities.is_floating_point():
        raise ValueError(f"probabilities are floats in [0, 1], got {probabilities.dtype}.")
    if probabilities.numel():
        low, high = (float(value) for value in torch.aminmax(probabilities))
        if not (low >= 0 and high <= 1):  # also refuses NaN
            raise ValueError(
                f"probabilities lie in [0, 1], got values from {low:g} to {high:g}: are these logits? "
                "Apply torch.sigmoid first."
            )
    if targets.dtype != torch.bool:
        wrong = (targets != 0) & (targets != 1)
        wrong = wrong if ignore is None else wrong & ~ignore.bool()
        if wrong.any():
            raise ValueError(
                f"targets are 0 or 1, found {targets[wrong][0].item():g}: "
                "pass `ignore=targets == 255` where that value marks pixels not to count."
            )
