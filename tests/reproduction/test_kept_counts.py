"""Reports whose numbers can be drawn again: on other images, objects and classes."""

import numpy as np
import pytest

from clipseg_hf.evaluation import write_report
from clipseg_hf.evaluation.metrics.prompt_results import Evaluation, PromptResults
from clipseg_hf.evaluation.metrics.resampling import draw_weights, resample_number
from clipseg_hf.reproduction.kept_counts import draw_number, keep_counts


def _kept(evaluation: Evaluation, folder):
    write_report(evaluation, folder, model="ours", data="made up", fingerprint="0")
    keep_counts(evaluation, folder)
    return folder


def test_objects_are_drawn_with_their_plain_image(tmp_path):
    plain, shown = [0.1, 0.2, 0.6, 0.4], [0.5, 0.2, 0.9, 0.3]
    summary = {"crop": {"all": {"samples": 4, "gain": 0.15, "error": 0.1, "probability": 0.475, "published": 0.1}}}
    probabilities = {"plain image": plain, "crop": shown}
    folder = _kept(Evaluation("visual-prompts", {}, summary, probabilities=probabilities), tmp_path)
    drawn, units = draw_number(folder, ("crop", "all", "gain"), 50)
    expected = draw_weights(["0", "1", "2", "3"], 50) @ np.subtract(shown, plain) / 4
    assert units == 4 and drawn == pytest.approx(100 * expected)


def test_seen_and_unseen_classes_are_drawn_apart(tmp_path):
    ious = {"cat": 0.2, "dog": 0.4, "fox": float("nan"), "owl": 0.9}
    summary = {"without background": {"all": {"miou": 0.5, "per_class": ious}}}
    folder = _kept(Evaluation("zero-shot", {"unseen": ["owl"]}, summary), tmp_path)
    drawn, units = draw_number(folder, ("without background", "seen", "miou"), 200)
    assert units == 2 and set(np.round(drawn, 6)) == {20, 30, 40}  # the fox was nowhere to be judged
    alone, units = draw_number(folder, ("without background", "unseen", "miou"), 20)
    assert units == 1 and alone == pytest.approx(np.full(20, 90))


def _results() -> PromptResults:
    """Eight samples of four images, in two folds, two classes each."""
    generator = np.random.default_rng(0)
    results = PromptResults.at((0.24, 0.3, 0.5))
    folds = ["fold 0", "fold 1"] * 4
    classes = [f"{fold}, {n // 4}" for n, fold in enumerate(folds)]
    results.counts.update(generator.random((8, 6, 6)), generator.random((8, 6, 6)) < 0.4, classes)
    results.image_counts.update(generator.random((8, 6, 6)), generator.random((8, 6, 6)) < 0.4, classes)
    for n, fold in enumerate(folds):
        results.samples.append(
            {"row": n, "phrase_number": 0, "phrase_id": str(n), "image_id": n // 2, "subsets": [fold], "example": None}
        )
    return results


def test_folds_are_drawn_one_by_one_and_averaged(tmp_path):
    results = _results()
    evaluation = Evaluation("one-shot", {"folds": {"fold 0": [], "fold 1": []}}, {}, {"image": results})
    folder = _kept(evaluation, tmp_path)
    drawn, units = draw_number(folder, ("image", "mean of folds", "miou_0.24"), 30)
    parts = [
        resample_number(results.counts.select(chosen), [str(n // 2) for n in chosen], "miou_0.24", 30)
        for chosen in (range(0, 8, 2), range(1, 8, 2))
    ]
    assert units == 8 and drawn == pytest.approx(100 * np.mean(parts, axis=0))


@pytest.mark.parametrize("subset, chosen", [("all", range(8)), ("fold 1", range(1, 8, 2))])
def test_subsets_are_drawn_by_their_images(tmp_path, subset, chosen):
    results = _results()
    folder = _kept(Evaluation("generalized", {}, {}, {"text": results}), tmp_path)
    drawn, units = draw_number(folder, ("text", subset, "ap"), 30)
    expected = resample_number(results.counts.select([*chosen]), [str(n // 2) for n in chosen], "ap", 30)
    assert units == 4 and drawn == pytest.approx(100 * expected)
