"""Results as the arrays that go from process to process."""

import pytest
import torch

from clipseg_hf.evaluation import evaluate_referring, summarize
from clipseg_hf.evaluation.metrics.segmentation_counts import SegmentationCounts
from clipseg_hf.evaluation.protocols.visual_prompt_study import StudyResult
from clipseg_hf.evaluation.protocols.zero_shot import ConfusionMatrix


def test_results_of_prompts_come_back_from_their_arrays(color_model, color_processor, color_rows):
    results = evaluate_referring(color_model, color_processor, color_rows)
    empty = evaluate_referring(color_model, color_processor, color_rows[:1], shard=(1, 2))
    for kind, result in results.items():
        again = empty[kind].filled(result.to_arrays())
        assert summarize({kind: again}) == summarize({kind: result})
        assert (again.samples, again.presence_subsets) == (result.samples, result.presence_subsets)
        assert again.presence.scores == result.presence.scores
        nothing = result.filled(empty[kind].to_arrays())
        assert nothing.samples == [] and len(nothing.counts) == len(nothing.boundary) == len(nothing.presence) == 0
        assert summarize({kind: nothing.merge(again)}) == summarize({kind: result})


@pytest.mark.parametrize("labels", [["a", "b"], [7, None], [None, None]])
def test_labels_keep_their_kind(labels):
    counts = SegmentationCounts()
    for label in labels:
        counts.update(torch.rand(1, 3, 3), torch.ones(1, 3, 3), None if label is None else [label])
    again = SegmentationCounts().filled(counts.to_arrays())
    assert again.classes == labels and again.compute() == counts.compute()


def test_other_results_come_back_from_their_arrays():
    matrix = ConfusionMatrix("abc")
    matrix.update(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 1, -1]))
    again = ConfusionMatrix("abc").filled(matrix.to_arrays())
    assert (again.classes, again.counts.tolist()) == (matrix.classes, matrix.counts.tolist())
    study = StudyResult([0.5, 0.25], {"crop, blur": [0.1, 0.2], "background 10 %": [0.3, 0.4]})
    assert StudyResult().filled(study.to_arrays()) == study


def test_settings_that_differ_are_not_mixed():
    with pytest.raises(ValueError, match="were they counted at other thresholds"):
        SegmentationCounts((0.5,)).filled(SegmentationCounts().merge(_counted()).to_arrays())


def _counted() -> SegmentationCounts:
    counts = SegmentationCounts()
    counts.update(torch.rand(1, 3, 3), torch.ones(1, 3, 3))
    return counts
