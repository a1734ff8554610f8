"""The card of a checkpoint, as a whole."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from clipseg_hf.hub.cards.measured import Report
from clipseg_hf.hub.cards.model_card import CheckpointCard
from clipseg_hf.hub.origins import Base, Origin, Release
from clipseg_hf.hub.samples import Sample

from hub.conftest import LICENSES, write_report  # isort: skip

EXPECTED = Path(__file__).parent / "model_card_expected.md"


@pytest.fixture
def card(trained, tmp_path) -> CheckpointCard:
    reports, before = ([Report.read(write_report(tmp_path / n, v))] for n, v in (("after", 0.7), ("before", 0.4)))
    release = Release(
        "me/bolts", **LICENSES, prompts=("rusty bolt",), samples=("a.jpg",), datasets=("me/bolts-data",),
        limits="Bolts under paint are missed.",
    )  # fmt: skip
    return CheckpointCard(
        release=release,
        origin=Origin.read(trained),
        base=Base("CIDAS/clipseg-rd64-refined", "0" * 40, on_hub=True),
        prompts=("rusty bolt", "weld seam"),
        samples=[Sample("samples/1.jpg", "samples/1_found.jpg", ("rusty bolt",), ("rusty bolt  score 0.94",))],
        reports=reports,
        before=before,
        thresholds={"text": 0.48, "presence": 0.9},
        image_prompt_weight=0.5,
        parameters=150_747_746,
        trained=1_127_009,
        size=(352, 352),
        graphs="",
        files=("config.json", "custom_pipeline.py", "handler.py"),
    )


def test_the_card_as_a_whole(card):
    assert str(card.render()) == EXPECTED.read_text(encoding="utf-8")


def test_others_can_read_it(card, tmp_path):
    card.render().save(tmp_path / "README.md")
    data = ModelCard.load(tmp_path / "README.md").data
    assert (data.license, data.library_name, data.pipeline_tag) == ("apache-2.0", "transformers", "image-segmentation")
    assert (data.base_model, data.base_model_relation) == ("CIDAS/clipseg-rd64-refined", "finetune")
    assert data.datasets == ["me/bolts-data"] and data.model_name == "bolts"
    assert [result.metric_value for result in data.eval_results] == [0.7, 0.9]
    assert data.widget[0]["src"] == "https://huggingface.co/me/bolts/resolve/main/samples/1.jpg"


def test_a_card_with_nothing_to_tell(card):
    bare = replace(card, origin=Origin(), base=None, reports=[], before=[], thresholds={}, prompts=(), files=())
    text = str(replace(bare, release=Release("me/bolts", **LICENSES)).render())
    assert "Nobody measured this model by a protocol before it was published.\n" in text
    assert "None were found on data: clipseg-hf takes 0.3" in text and "| from | not noted |" in text
    assert "pipeline(" not in text and "ENDPOINT" not in text and "None" not in text.replace("None were", "")
    assert "model-index" not in yaml.safe_load(text.split("---")[1])


def test_the_card_of_a_decoder(card):
    release = replace(card.release, decoder_only=True)
    rendered = replace(card, release=release).render()
    assert rendered.data.library_name == "clipseg-hf" and rendered.data.base_model_relation == "adapter"
    assert "The decoder of a CLIPSeg: 1,127,009 parameters" in rendered.text
    assert "transformers' own CLIPSeg needs the whole model" in rendered.text and "pipeline(" not in rendered.text


def test_other_trainings_that_are_part_of_it_are_told(card):
    origin = replace(card.origin, others={"recipe-2.yaml": {"seed": 1}, "provenance-2.json": {}})
    told = "Other trainings are part of it, whose files are `recipe-2.yaml`, `provenance-2.json`."
    assert told in replace(card, origin=origin).render().text and told not in card.render().text


def test_the_weight_of_an_example_is_told_where_it_is_not_one_half(card):
    text = replace(card, image_prompt_weight=0.3).render().text
    told = (
        "such a prompt |\n| presence | 0.9: a thing counts as there at all |\n\n"
        "Where a prompt is a text and an example image together, and does not say otherwise, the example has a share "
        "of\n0.3 (`image_prompt_weight`).\n\n## Training\n"
    )
    assert told in text and "has a share" not in card.render().text
    assert "pictures of your kind.\n\nWhere" in replace(card, image_prompt_weight=0.3, thresholds={}).render().text


def test_what_stock_does_not_know_is_told(card):
    assert "By transformers alone:" in card.render().text
    text = replace(card, beside=["prompt attention", "refiner"]).render().text
    assert (
        "By transformers alone, which leaves away the prompt attention and the refiner, so that masks are worse" in text
    )
    fields = ["conditional_layers=[0, 1]", "prompt_tokens={'text': 3, 'image': 4}"]
    text = replace(card, release=replace(card.release, decoder_only=True), unknown_to_stock=fields).render().text
    told = "CLIPSeg cannot run this decoder, which has `conditional_layers=[0, 1]` and `prompt_tokens="
    assert told in text and "needs the whole model" not in text and "transformers import" not in text
