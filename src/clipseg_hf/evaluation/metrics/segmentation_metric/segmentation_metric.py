"""mIoU, IoU_FG, IoU_bin and AP over thresholds, as a metric of the `evaluate` library.

    metric = evaluate.load(SEGMENTATION_METRIC)          # the folder of this file, or
    metric = SegmentationMetric()                        # the class, the same thing
    metric.add_batch(predictions=probabilities, references=masks)
    metric.compute()

Only small histograms are handed to `evaluate`, never masks, so that it is fast and mergeable over processes
(`num_process`, `process_id` and `experiment_id`, as for any metric).
"""

import datasets
import evaluate

from clipseg_hf.evaluation.metrics.segmentation_counts import SegmentationCounts

_CITATION = """@inproceedings{lueddecke22_cvpr,
  author = {L{\\"u}ddecke, Timo and Ecker, Alexander},
  title = {Image Segmentation Using Text and Image Prompts},
  booktitle = {CVPR},
  year = {2022}
}"""
_DESCRIPTION = "IoU of binary masks at many thresholds: over samples or classes, cumulative, with background; and AP."
_INPUTS = """
predictions: probabilities in [0, 1], (N, H, W), or a list of (H, W) of different sizes.
references: the true masks of the same shapes, bool or 0/1.
classes: N labels to average over; left out, each sample is its own class.
ignore: masks of pixels that do not count.
arithmetic, at (for compute): as in `SegmentationCounts.compute`.
"""


class SegmentationMetric(evaluate.Metric):
    """`SegmentationCounts` behind the interface of `evaluate`."""

    def _info(self) -> evaluate.MetricInfo:
        features = {"predictions": datasets.Sequence(datasets.Value("int64")), "references": datasets.Value("string")}
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(features),
        )

    def add_batch(self, *, predictions=None, references=None, classes=None, ignore=None) -> None:
        """Count one batch; see the module's description.

        Raises:
            ValueError: as `SegmentationCounts.update`, or the lists' lengths differ.
        """
        if predictions is None or references is None or len(predictions) != len(references):
            found = [None if values is None else len(values) for values in (predictions, references)]
            raise ValueError(f"predictions and references are masks, as many of each; got {found[0]} and {found[1]}.")
        counts = SegmentationCounts()
        for n, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
            label = None if classes is None else [classes[n]]
            counts.update(prediction, reference, label, None if ignore is None else ignore[n])
        labels = ["" if label is None else str(label) for label in counts.classes]
        super().add_batch(predictions=[h.flatten().tolist() for h in counts.histograms], references=labels)

    def add(self, *, prediction=None, reference=None, label=None, ignore=None) -> None:
        """Count one sample, (H, W) each."""
        self.add_batch(
            predictions=[prediction],
            references=[reference],
            classes=None if label is None else [label],
            ignore=None if ignore is None else [ignore],
        )

    def _compute(self, predictions, references, arithmetic="default", at=(0.3, 0.5)) -> dict[str, float]:
        counts = SegmentationCounts.from_histograms(predictions, [label or None for label in references])
        return counts.compute(arithmetic, at)
