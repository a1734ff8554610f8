"""Reports: what is in them, that others can read them, and that their pictures show what they should."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard_data import model_index_to_eval_results
from PIL import Image

from clipseg_hf.evaluation import (
    ConceptSubsets,
    Evaluation,
    ReferringSettings,
    build_report,
    evaluate_referring,
    fingerprint_rows,
    markdown_table,
    model_index,
    read_samples,
    summarize,
    write_report,
)
from clipseg_hf.evaluation.reports.error_sheet import pick_samples


@pytest.fixture
def evaluation(color_model, color_processor, color_rows):
    settings = ReferringSettings()
    subsets = ConceptSubsets({"unseen": ["blue"]})
    results = evaluate_referring(color_model, color_processor, color_rows, settings, subsets=subsets)
    return Evaluation("referring", asdict(settings), summarize(results), results, color_rows)


def test_the_table_by_hand():
    summary = {"text": {"all": {"samples": 6, "miou_0.5": 0.79167, "presence": {"auroc": 1.0}, "ap": float("nan")}}}
    assert markdown_table(summary) == (
        "| prompt | subset | samples | mIoU @0.5 | presence AUROC |\n"
        "| --- | --- | ---: | ---: | ---: |\n"
        "| text | all | 6 | 79.2 | 100.0 |\n"
    )


def test_the_report_holds_model_data_versions_and_thresholds(evaluation, color_rows):
    fingerprint = fingerprint_rows(color_rows)
    report = build_report(evaluation, model="us/model", data="colors", fingerprint=fingerprint, thresholds=(0.5,))
    assert report["model"] == "us/model" and report["data"] == {"name": "colors", "fingerprint": fingerprint}
    assert report["versions"]["torch"] and report["thresholds"] == [0.5]
    assert report["settings"]["seed"] == 0
    assert report["results"]["text"]["unseen"]["miou_0.5"] == pytest.approx((1 + 1 + 1 / 4) / 3)
    assert report["curves"]["text"]["miou"][24] == report["results"]["text"]["all"]["miou_0.5"]


def test_the_fingerprint_follows_phrases_and_masks(color_rows):
    before = fingerprint_rows(color_rows)
    assert fingerprint_rows(color_rows) == before
    color_rows[0]["phrases"][0]["phrase"] = "crimson"
    assert fingerprint_rows(color_rows) != before


def test_files(evaluation, color_model, color_processor, color_rows, tmp_path):
    segmenter = color_model, color_processor
    written = write_report(evaluation, tmp_path / "out", model="m", data="colors", segmenter=segmenter)
    sheets = {"samples_text", "samples_image", "samples_mix"}
    assert set(written) == {"report", "table", "model_index", "samples", "curves", *sheets}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in written.values())
    report = json.loads(written["report"].read_text())
    assert report["results"]["text"]["all"]["samples"] == 6
    assert report["data"]["fingerprint"] == fingerprint_rows(color_rows)
    assert "| text | all | 6 |" in written["table"].read_text()
    for name in ("curves", "samples_text", "samples_image"):
        assert np.asarray(Image.open(written[name]).convert("L")).std() > 5  # not blank
    by_text, by_image = (Image.open(written[name]).size for name in ("samples_text", "samples_image"))
    assert by_image[0] > by_text[0] * 3 / 4 and by_image[1] == by_text[1]  # three columns, with examples
    samples = read_samples(tmp_path / "out")
    assert (samples[2]["image_id"], samples[2]["intersection_0.5"], samples[2]["union_0.5"]) == ("b", 32, 64)


def test_what_was_not_counted_is_null(evaluation, tmp_path):
    evaluation.summary["text"]["all"]["ap"] = float("nan")
    written = write_report(evaluation, tmp_path, model="m", data="d")
    assert json.loads(written["report"].read_text())["results"]["text"]["all"]["ap"] is None


def test_the_model_index_of_a_report_goes_on_the_card(evaluation, tmp_path):
    folder = tmp_path / "runs" / "tiny" / "final"
    evaluation.settings["split"] = "val"
    written = write_report(evaluation, tmp_path / "out", model=str(folder), data=str(tmp_path / "colors"))
    name, results = model_index_to_eval_results(yaml.safe_load(written["model_index"].read_text())["model-index"])
    assert name == "tiny/final"
    assert {(result.dataset_name, result.dataset_split) for result in results} == {("colors", "val")}
    values = {result.metric_name: result.metric_value for result in results}
    assert values["mIoU @0.5 (text prompts, unseen)"] == pytest.approx(0.75)
    assert not any("published" in name for name in values)


def test_protocols_without_samples_have_bars_instead_of_curves(tmp_path):
    ious = {"cat": 0.5, "dog": 0.25, "cow": float("nan")}
    zero_shot = {
        "without background": {
            "all": {"miou": 0.375, "per_class": ious},
            "seen": {"miou": 0.5},
            "unseen": {"miou": 0.25},
        }
    }
    gains = {"plain image": {"all": {"samples": 3, "probability": 0.3}}}
    gains["crop"] = {"all": {"samples": 3, "probability": 0.5, "gain": 0.2, "error": 0.01, "published": 0.136}}
    for n, (summary, picture, settings) in enumerate(
        ((zero_shot, "classes", {"unseen": ["dog"]}), (gains, "gains", {}))
    ):
        written = write_report(Evaluation("b", settings, summary), tmp_path / str(n), model="m", data="d")
        assert set(written) - {"model_index"} == {"report", "table", picture}
        assert ("model_index" in written) == (picture == "classes")  # what CLIP sees is not the decoder's merit
        assert np.asarray(Image.open(written[picture]).convert("L")).std() > 5
    index = model_index(Evaluation("zero-shot", {}, zero_shot), model="m", data="d")
    names = {metric["name"]: metric["value"] for metric in index[0]["results"][0]["metrics"]}
    assert names == {
        "mIoU (without background)": 0.375,
        "mIoU (without background, seen)": 0.5,
        "mIoU (without background, unseen)": 0.25,
    }
    folds = {"image": {"fold 0": {"miou_0.5": 0.25}, "mean of folds": {"miou_0.5": 0.5}}}
    (metric,) = model_index(Evaluation("one-shot", {}, folds), model="m", data="d")[0]["results"][0]["metrics"]
    assert (metric["name"], metric["value"]) == ("mIoU @0.5 (image prompts)", 0.5)


def test_the_hub_understands_the_model_index(evaluation):
    block = model_index(evaluation, model="us/model", data="Colors", data_id="us/colors", split="val")
    name, results = model_index_to_eval_results(block)
    assert name == "us/model"
    assert {result.dataset_type for result in results} == {"us/colors"}
    values = {result.metric_name: result.metric_value for result in results}
    assert values["mIoU @0.5 (text prompts)"] == pytest.approx(0.7917)
    card = ModelCard.from_template(
        ModelCardData(model_name=name, eval_results=results), template_str="---\n{{ card_data }}\n---\n"
    )
    assert "presence AUROC (text prompts)" in str(card)


def test_best_median_and_worst_samples(evaluation):
    picked = pick_samples(evaluation.results["text"], 0.5, each=2)  # IoUs: a 1, a 1, b 1/2, c 1, c 1, d 1/4
    assert picked["best"] == [(0, 1.0), (3, 1.0)]  # of different images
    assert picked["worst"] == [(5, 0.25), (2, 0.5)]
    assert [iou for _, iou in picked["median"]] == [1, 1]


def test_missing_samples_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"samples\.jsonl is missing: it is written by an evaluation"):
        read_samples(tmp_path)


def test_a_report_replaces_another_whole(evaluation, color_model, color_processor, color_rows, tmp_path):
    """What an earlier one had beside it, samples of another kind, say, is not this one's; other files stay."""
    (tmp_path / "mine.txt").touch()
    write_report(evaluation, tmp_path, model="m", data="d", segmenter=(color_model, color_processor))
    assert (tmp_path / "samples.jsonl").exists() and (tmp_path / "samples_text.png").exists()
    bare = Evaluation("zero-shot", {}, {}, {}, None)
    written = write_report(bare, tmp_path, model="m", data="d")
    assert set(tmp_path.iterdir()) == {*written.values(), tmp_path / "mine.txt"}
