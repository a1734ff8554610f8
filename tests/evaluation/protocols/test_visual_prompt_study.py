"""The visual-prompt study: probabilities by hand, who is looked at, and all of the paper's ways on a real model."""

import math

import pytest

from clipseg_hf.evaluation import VISUAL_PROMPTS, VisualPromptStudySettings, study_visual_prompts
from clipseg_hf.evaluation.protocols.visual_prompt_study import PLAIN, StudyResult
from clipseg_hf.processing import VisualPromptSettings


@pytest.fixture
def three_colors(make_row):
    """Two pictures with three things each, one with two."""
    bars = {"red": slice(0, 4), "green": slice(6, 10), "blue": slice(12, 16)}
    two = {"red": slice(0, 4), "green": slice(6, 10)}
    return [make_row("a", bars, bars), make_row("b", two, two), make_row("c", bars, bars)]


def test_numbers_by_hand(color_model, color_processor, three_colors):
    variants = {"dimmed": VisualPromptSettings(), "as it is": PLAIN}
    result = study_visual_prompts(color_model, color_processor, three_colors, variants=variants)
    # The plain picture is as much of each colour: 1/3. Dimmed, it is one colour alone: cosines 1, 0, 0 at scale 1.
    alone = math.e / (math.e + 2)
    assert result.plain == pytest.approx([1 / 3, 1 / 3])
    assert result.prompted["dimmed"] == pytest.approx([alone, alone])
    summary = result.summary()
    assert summary["dimmed"]["all"]["gain"] == pytest.approx(alone - 1 / 3)
    assert summary["as it is"]["all"] == {"samples": 2, "probability": pytest.approx(1 / 3), "gain": 0, "error": 0}
    assert summary["plain image"]["all"]["samples"] == 2  # the picture with two names is left out


def test_small_objects_are_left_out(color_model, color_processor, three_colors):
    with pytest.raises(ValueError, match="3 different names and an object of at least 30% of its area"):
        study_visual_prompts(
            color_model, color_processor, three_colors, VisualPromptStudySettings(min_area=0.3), variants={}
        )


def test_shares_are_one(color_model, color_processor, three_colors):
    settings, variants = VisualPromptStudySettings(batch_size=1), {"dimmed": VisualPromptSettings()}
    whole, first, second = (
        study_visual_prompts(color_model, color_processor, three_colors, settings, variants=variants, shard=shard)
        for shard in ((0, 1), (0, 2), (1, 2))
    )
    assert first.merge(second).summary() == whole.summary()


def test_the_paper_s_ways_on_a_real_model(tiny_model, tiny_processor, three_colors):
    settings = VisualPromptStudySettings(samples=1)
    summary = study_visual_prompts(tiny_model, tiny_processor, three_colors, settings).summary()
    assert list(summary) == ["plain image", *VISUAL_PROMPTS] and len(VISUAL_PROMPTS) == 15
    assert summary["crop, blur, background 10 %"]["all"]["published"] == 0.235
    gains = [numbers["all"]["gain"] for name, numbers in summary.items() if name != "plain image"]
    assert len(set(gains)) > 10  # each is made in its own way
    assert StudyResult().plain == []
