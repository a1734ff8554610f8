"""Generalised prompts: a prompt's truth is the union of its categories."""

import pytest

from clipseg_hf.evaluation import (
    EMOJI_PROMPTS,
    GENERALIZED_PROMPTS,
    GeneralizedSettings,
    evaluate_generalized,
    summarize,
)

# A prompt asks the model for its first word, here a colour.
PROMPTS = {"warm": {"red things": ["red"]}, "cold": {"blue things": ["blue", "green"], "green things": ["green"]}}


def test_numbers_by_hand(color_model, color_processor, color_rows):
    results = evaluate_generalized(color_model, color_processor, color_rows, PROMPTS)
    asked = {
        (s["image_id"], s["phrase"]): iou
        for s, iou in zip(results["text"].samples, results["text"].counts.per_sample(0.5), strict=True)
    }
    assert asked == {
        ("a", "red things"): 1,
        ("b", "red things"): 1 / 2,
        ("a", "blue things"): 1,
        ("c", "blue things"): 1 / 2,  # blue is found, green is not
        ("d", "blue things"): 1 / 4,
        ("c", "green things"): 1,
    }
    summary = summarize(results)["text"]
    assert set(summary) == {"all", "warm", "cold", "red things", "blue things", "green things"}
    assert summary["warm"]["miou_0.5"] == pytest.approx(8 / 12)  # pixels of a prompt are summed
    assert summary["cold"]["miou_0.5"] == pytest.approx((12 / 28 + 1) / 2)
    assert summary["cold"]["classes"] == 2


def test_what_does_not_count_for_a_category_does_not_count_for_its_prompt(
    color_model, color_processor, color_rows, ignore
):
    ignore(color_rows[1], slice(3, 8), 0)  # the right half of the red, and a column of its mask, which counts
    ignore(color_rows[2], slice(0, 16), 0)  # all that is not blue, for blue; green counts for its own phrase
    results = evaluate_generalized(color_model, color_processor, color_rows, PROMPTS)["text"]
    asked = {(s["image_id"], s["phrase"]): n for n, s in enumerate(results.samples)}
    ious = results.counts.per_sample(0.5)
    assert ious[asked["b", "red things"]] == 1 and ious[asked["c", "blue things"]] == 1 / 2


def test_lvis_writes_names_in_its_own_way(color_model, color_processor, color_rows):
    color_rows[0]["phrases"][0]["name"] = "dark_red_(color)"
    results = evaluate_generalized(color_model, color_processor, color_rows, {"warm": {"red": ["dark red"]}})
    assert [sample["image_id"] for sample in results["text"].samples] == ["a"]


def test_images_can_be_limited(color_model, color_processor, color_rows):
    settings = GeneralizedSettings(images_per_prompt=1)
    results = evaluate_generalized(color_model, color_processor, color_rows, PROMPTS, settings)
    assert [(s["image_id"], s["phrase"]) for s in results["text"].samples] == [
        ("a", "red things"),
        ("a", "blue things"),
        ("c", "green things"),
    ]


def test_the_maps():
    assert list(GENERALIZED_PROMPTS) == ["affordances", "attributes", "parts"]
    assert "thermos bottle" in GENERALIZED_PROMPTS["affordances"]["drink from"]
    assert len(GENERALIZED_PROMPTS["parts"]["has legs"]) == 32
    assert "fondue" in EMOJI_PROMPTS["affordances"]["thing to eat"]


def test_emoji_prompts_name_emoji():
    from clipseg_hf.data.emoji_world.emoji_glyphs import load_concepts

    known = {concept.name for concept in load_concepts()}
    assert not {name for group in EMOJI_PROMPTS.values() for names in group.values() for name in names} - known


def test_rows_without_any_category_are_named(color_model, color_processor, color_rows):
    with pytest.raises(ValueError, match="None of the 4 rows shows a category of the prompts, such as airplane"):
        evaluate_generalized(color_model, color_processor, color_rows)
    with pytest.raises(ValueError, match="images_per_prompt is at least 1 or None, got 0"):
        GeneralizedSettings(images_per_prompt=0)
