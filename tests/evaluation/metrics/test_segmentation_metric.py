"""The metric behind `evaluate`'s interface: loaded from its folder, as a class, and over two processes."""

import evaluate
import pytest
import torch

from clipseg_hf.evaluation import SEGMENTATION_METRIC, SegmentationCounts
from clipseg_hf.evaluation.metrics.segmentation_metric.segmentation_metric import SegmentationMetric


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr("evaluate.config.HF_METRICS_CACHE", str(tmp_path))
    monkeypatch.setattr("evaluate.config.HF_MODULES_CACHE", str(tmp_path / "modules"))


@pytest.fixture
def masks():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(9, 8, 8, generator=generator), torch.rand(9, 8, 8, generator=generator) > 0.5


@pytest.fixture
def expected(masks):
    counts = SegmentationCounts()
    counts.update(*masks)
    return counts.compute()


def test_loaded_from_its_folder(masks, expected, tmp_path):
    metric = evaluate.load(SEGMENTATION_METRIC, cache_dir=str(tmp_path))
    metric.add_batch(predictions=masks[0][:5], references=masks[1][:5])
    metric.add_batch(predictions=masks[0][5:], references=masks[1][5:])
    assert metric.compute() == expected


def test_in_one_call_with_options(masks, tmp_path):
    counts = SegmentationCounts()
    counts.update(*masks)
    result = SegmentationMetric(cache_dir=str(tmp_path)).compute(
        predictions=masks[0], references=masks[1], arithmetic="clipseg", at=(0.24,)
    )
    assert result == counts.compute("clipseg", at=(0.24,))


def test_classes_and_masks_of_different_sizes(tmp_path):
    metric, counts = SegmentationMetric(cache_dir=str(tmp_path)), SegmentationCounts()
    for size, label in (((4, 6), "dog"), ((5, 5), "cat"), ((4, 6), "dog")):
        scores, truth = torch.rand(size), torch.rand(size) > 0.5
        metric.add(prediction=scores, reference=truth, label=label)
        counts.update(scores, truth, [label])
    assert metric.compute() == counts.compute()


def test_wrong_input_is_named(masks):
    with pytest.raises(ValueError, match="as many of each; got 9 and 3"):
        SegmentationMetric().add_batch(predictions=masks[0], references=masks[1][:3])
    with pytest.raises(ValueError, match="are these logits"):
        SegmentationMetric().add_batch(predictions=masks[0] * 9, references=masks[1])
