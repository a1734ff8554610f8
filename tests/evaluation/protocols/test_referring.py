"""Referring expressions: numbers by hand in the world of colours, and what may never be asked."""

import copy
import dataclasses

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from clipseg_hf.data.rows.rows import ROW_FEATURES
from clipseg_hf.data.sampling.phrase_index import PhraseIndex
from clipseg_hf.evaluation import ReferringSettings, SegmentationCounts, evaluate_referring, summarize
from clipseg_hf.evaluation.protocols.prompted_model import PromptedModel, resize_masks
from clipseg_hf.processing import decode_rle, encode_rle
from clipseg_hf.processing.masks.guided_filter import GuidedFilter

# Phrases in order: a red 1, a blue 1, b red 1/2, c blue 1, c green 1, d blue 1/4; "green" is on one picture alone.


def test_text_prompts_by_hand(color_model, color_processor, color_rows):
    results = evaluate_referring(color_model, color_processor, color_rows, ReferringSettings(prompts=("text",)))
    assert results["text"].counts.per_sample(0.5).tolist() == [1, 1, 1 / 2, 1, 1, 1 / 4]
    numbers = summarize(results)["text"]["all"]
    assert numbers["samples"] == 6
    assert numbers["miou_0.5"] == pytest.approx((4 + 1 / 2 + 1 / 4) / 6)
    # columns: 5 x 4 right (a, a, b, c, c), 4 of d's 16 right; 4 too many on b; 12 missing on d
    assert numbers["iou_fg_0.5"] == pytest.approx(24 / (24 + 4 + 12))
    assert numbers["phrasecut_0.5"]["mean_iou"] == pytest.approx((4 + 1 / 2 + 1 / 4) / 6)
    assert numbers["phrasecut_0.5"]["accuracy_0.5"] == pytest.approx(4 / 6)  # 1/2 is not above 0.5


def test_a_phrase_with_a_mask_for_each_thing_is_asked_once_for_all_of_them(color_model, color_processor, make_row):
    left, middle, right = slice(0, 4), slice(6, 10), slice(12, 16)
    rows = [
        make_row(name, {"red": left, other: middle}, {"red": left, other: middle, "Red": right})
        for name, other in (("a", "blue"), ("b", "green"))
    ]
    for row in rows:
        pixels = np.array(row["image"])
        pixels[:, right] = pixels[:, left]
        row["image"] = Image.fromarray(pixels)
    results = evaluate_referring(
        color_model, color_processor, rows, subsets=lambda row, entry: [f"{len(entry['boxes'])} boxes"]
    )
    assert results["text"].samples[0]["subsets"] == ["2 boxes", "shared"]
    for kind in ("text", "image", "mix"):
        assert [sample["phrase"][0] for sample in results[kind].samples] == ([*"rbrg"] if kind == "text" else [*"rr"])
        assert set(results[kind].counts.per_sample(0.5).tolist()) == {1}  # of each half alone it would be 1/2


def test_presence_by_hand(color_model, color_processor, color_rows):
    numbers = summarize(evaluate_referring(color_model, color_processor, color_rows))["text"]["all"]["presence"]
    # Every absent colour is really absent, and the model marks nothing of it.
    assert numbers == {
        "present": 6,
        "absent": 4,
        "auroc": 1,
        "false_area_0.3": 0,
        "false_masks_0.3": 0,
        "false_area_0.5": 0,
        "false_masks_0.5": 0,
    }


def test_what_does_not_count(color_model, color_processor, color_rows, ignore):
    ignore(color_rows[1], slice(4, 8), 0)  # the model marks twice too much there
    ignore(color_rows[3], slice(0, 4), 0)  # where the mask is, it counts: blue on d stays at a quarter
    settings = ReferringSettings(prompts=("text",), boundary_thresholds=(0.5,))
    result = evaluate_referring(color_model, color_processor, color_rows, settings)["text"]
    for counts in (result.counts, result.image_counts):
        assert counts.per_sample(0.5).tolist() == [1, 1, 1, 1, 1, 1 / 4]
    assert result.boundary.select([2]).compute() == {"boundary_iou_0.5": 1}


def test_a_crowd_alone_is_present_but_has_no_mask_to_be_found(color_model, color_processor, color_rows, ignore):
    red = ignore(color_rows[1], slice(0, 8), 0)["phrases"][0]
    red["mask"] = encode_rle(np.zeros((8, 16), dtype=bool))
    result = evaluate_referring(color_model, color_processor, color_rows, ReferringSettings(prompts=("text",)))["text"]
    assert ("b", "red") not in [(sample["image_id"], sample["phrase"]) for sample in result.samples]
    assert len(result.samples) == 5 and result.presence.compute()["present"] == 6


def test_absent_things_are_not_looked_for_where_nothing_counts(color_model, color_processor, make_row, ignore):
    pictures = [make_row("a", {"red": slice(0, 8)}, {"blue": slice(8, 12)})]  # what is red was not labelled
    pictures.append(make_row("b", {"red": slice(0, 8), "green": slice(12, 16)}, {"red": slice(0, 8)}))
    settings = ReferringSettings(prompts=("text",))
    for area in (1 / 2, 0):  # of a, of which red is asked; b is asked for blue
        result = evaluate_referring(color_model, color_processor, pictures, settings)["text"]
        assert result.presence.compute()["false_area_0.5"] == area / 2
        ignore(pictures[0], slice(0, 8), 0)


def test_an_ignored_part_of_another_size_is_named(color_model, color_processor, color_rows):
    color_rows[0]["phrases"][0]["ignore"] = encode_rle(np.ones((8, 15), dtype=bool))
    with pytest.raises(ValueError, match=r"the masks \(and ignore\) of 'red' differ in size"):
        evaluate_referring(color_model, color_processor, color_rows)


def test_image_and_mixed_prompts_ask_only_what_another_image_shows(color_model, color_processor, color_rows):
    results = evaluate_referring(color_model, color_processor, color_rows)
    asked = [(sample["image_id"], sample["phrase"]) for sample in results["image"].samples]
    assert asked == [("a", "red"), ("a", "blue"), ("b", "red"), ("c", "blue"), ("d", "blue")]
    assert results["image"].counts.per_sample(0.5).tolist() == [1, 1, 1 / 2, 1, 1 / 4]
    assert results["mix"].counts.per_sample(0.5).tolist() == [1, 1, 1 / 2, 1, 1 / 4]
    shared = summarize(results)["text"]["shared"]
    assert shared["samples"] == 5 and shared["miou_0.5"] == pytest.approx((3 + 1 / 2 + 1 / 4) / 5)


def test_the_query_is_never_its_own_example(color_model, color_processor, color_rows, monkeypatch):
    drawn = []

    def draw(self, phrase, row, generator):
        place = original(self, phrase, row, generator)
        drawn.append((phrase, row, place))
        return place

    original = PhraseIndex.draw_support
    monkeypatch.setattr(PhraseIndex, "draw_support", draw)
    for seed in range(5):
        evaluate_referring(color_model, color_processor, color_rows, ReferringSettings(seed=seed))
    for phrase, row, place in drawn:
        if place is not None:
            assert place[0] != row and color_rows[place[0]]["phrases"][place[1]]["phrase"] == phrase


def test_each_image_is_encoded_once(color_model, color_processor, color_rows):
    evaluate_referring(color_model, color_processor, color_rows, ReferringSettings(batch_size=3))
    assert color_model.images_encoded == len(color_rows)


def test_subsets_by_concept(color_model, color_processor, color_rows):
    results = evaluate_referring(
        color_model,
        color_processor,
        color_rows,
        subsets=lambda row, phrase: ["unseen" if phrase["name"] == "blue" else "seen", f"width {row['width']}"],
    )
    numbers = summarize(results)["text"]
    assert set(numbers) == {"all", "seen", "unseen", "shared", "width 16"}
    assert numbers["unseen"]["miou_0.5"] == pytest.approx((1 + 1 + 1 / 4) / 3)
    assert numbers["seen"]["miou_0.5"] == pytest.approx((1 + 1 / 2 + 1) / 3)
    absent = [numbers[name]["presence"]["absent"] for name in ("all", "seen", "unseen")]
    assert absent[0] == absent[1] + absent[2] == 4


def test_absent_phrases_are_counted_where_they_are_marked(color_model, color_processor, color_rows, monkeypatch):
    monkeypatch.setattr(PhraseIndex, "draw_negative", lambda self, row, generator, without=(): "red")
    results = evaluate_referring(color_model, color_processor, color_rows[:2], ReferringSettings(prompts=("text",)))
    presence = summarize(results)["text"]["all"]["presence"]
    assert presence["false_area_0.5"] == pytest.approx((1 / 4 + 1 / 2) / 2)  # 4 and 8 of 16 columns
    assert (presence["false_masks_0.5"], presence["auroc"]) == (1, 0.5)


@pytest.mark.parametrize("processes", [2, 3])
def test_any_number_of_processes_gives_exactly_the_same_numbers(tiny_model, tiny_processor, color_rows, processes):
    settings = ReferringSettings(batch_size=1)
    whole = evaluate_referring(tiny_model, tiny_processor, color_rows, settings)
    merged = evaluate_referring(tiny_model, tiny_processor, color_rows, settings, shard=(processes - 1, processes))
    for rank in range(processes - 1):
        part = evaluate_referring(tiny_model, tiny_processor, color_rows, settings, shard=(rank, processes))
        for kind, result in part.items():
            merged[kind].merge(result)
    assert summarize(merged) == summarize(whole)
    assert merged["text"].in_order().samples == whole["text"].samples


def test_masks_follow_edges_where_that_is_wished_and_presence_stays(tiny_model, tiny_processor, color_rows):
    plain, guided = (
        evaluate_referring(tiny_model, tiny_processor, color_rows, ReferringSettings(guided_filter=chosen))
        for chosen in (False, True)
    )
    for kind in ("text", "image", "mix"):
        ours, theirs = (results[kind].summary((0.5,))["all"]["presence"]["auroc"] for results in (plain, guided))
        assert ours == theirs
    prompted = PromptedModel(tiny_model, tiny_processor, guided_filter=GuidedFilter())
    images = [np.asarray(color_rows[0]["image"].convert("RGB"))]
    logits = torch.linspace(-3, 3, 32 * 32).view(1, 32, 32)
    expected = GuidedFilter().apply(logits.numpy(), Image.fromarray(images[0]))
    np.testing.assert_array_equal(prompted.at_edges(logits, [0], images), expected)
    assert PromptedModel(tiny_model, tiny_processor).at_edges(logits, [0], images) is logits
    areas = [results["text"].counts.per_sample(0.5) for results in (plain, guided)]
    assert not np.array_equal(*areas)


def test_the_mode_of_the_model_is_kept(color_model, color_processor, color_rows):
    evaluate_referring(color_model.train(), color_processor, color_rows)
    assert color_model.training and not any(color_model.modes)


def test_templates_are_averaged(color_model, color_processor, color_rows):
    settings = ReferringSettings(prompts=("text",), templates=("a photo of a {}.", "{}"))
    results = evaluate_referring(color_model, color_processor, color_rows, settings)
    assert results["text"].counts.per_sample(0.5).tolist() == [1, 1, 1 / 2, 1, 1, 1 / 4]


def test_what_cannot_be_asked_is_named(color_model, color_processor, color_rows):
    with pytest.raises(ValueError, match="no rows to evaluate on"):
        evaluate_referring(color_model, color_processor, [])
    with pytest.raises(ValueError, match="Nothing could be asked by image: no phrase of the 1 rows occurs on two"):
        evaluate_referring(color_model, color_processor, color_rows[:1], ReferringSettings(prompts=("image",)))
    wrong = dict(color_rows[0], image=color_rows[0]["image"].resize((20, 8)))
    with pytest.raises(ValueError, match=r"mask of 'red' is 8 x 16, its image 'a' 8 x 20 \(height x width\)"):
        evaluate_referring(color_model, color_processor, [wrong, color_rows[1]], ReferringSettings(batch_size=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": ("words",)}, "some of text, image, mix"),
        ({"prompts": "text"}, "some of text, image, mix"),
        ({"image_prompt_weight": 2}, r"in \[0, 1\], got 2"),
        ({"batch_size": 0}, "batch_size at least 1, got 1 and 0"),
    ],
)
def test_wrong_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(ReferringSettings(), **change)


def test_mixtures_are_asked_with_the_weight_of_the_checkpoint_where_none_is_given(
    tiny_model, tiny_processor, color_rows
):
    def counts(model, weight=None):
        settings = ReferringSettings(prompts=("mix",), image_prompt_weight=weight, boundary_thresholds=())
        found = evaluate_referring(model, tiny_processor, color_rows, settings)["mix"]
        return found.counts.counts()["tp"].tolist()

    own = copy.deepcopy(tiny_model)
    own.config.image_prompt_weight = 0.0
    assert counts(tiny_model) == counts(tiny_model, 0.5) == counts(own, 0.5)
    assert counts(own) == counts(tiny_model, 0.0) != counts(tiny_model)


def test_a_template_needs_a_place_for_the_phrase(color_model, color_processor, color_rows):
    with pytest.raises(ValueError, match="sentences with one"):
        evaluate_referring(color_model, color_processor, color_rows, ReferringSettings(templates=("a photo",)))


def test_a_dataset_gives_what_its_rows_give(color_model, color_processor, color_rows):
    dataset = datasets.Dataset.from_list(color_rows, features=ROW_FEATURES)
    assert summarize(evaluate_referring(color_model, color_processor, dataset)) == summarize(
        evaluate_referring(color_model, color_processor, color_rows)
    )


def test_a_real_model_gives_what_it_gives_one_phrase_at_a_time(tiny_model, tiny_processor, color_rows):
    settings = ReferringSettings(templates=("a photo of a {}.", "one {}."), negatives_per_image=0)
    results = evaluate_referring(tiny_model, tiny_processor, color_rows, settings)
    sample = results["mix"].samples[1]
    row, example = color_rows[sample["row"]], color_rows[2]  # the other pictures with "blue" are c and d
    assert (sample["phrase"], sample["image_id"]) == ("blue", "a")
    candidates = []
    for example, number in ((color_rows[2], 0), (color_rows[3], 0)):
        inputs = tiny_processor(
            text=["blue"],
            images=row["image"],
            visual_prompt=[example["image"]],
            visual_prompt_masks=[decode_rle(example["phrases"][number]["mask"])],
            prompt_templates=["a photo of a {}.", "one {}."],
            return_tensors="pt",
        )
        with torch.no_grad():
            probabilities = tiny_model(**inputs, image_prompt_weight=0.5).logits.sigmoid()
        mask = torch.from_numpy(decode_rle(row["phrases"][1]["mask"]))[None]
        counts = SegmentationCounts()
        counts.update(probabilities, resize_masks(mask, probabilities.shape[1:]))
        candidates.append(counts.counts()["tp"][0].tolist())
    assert results["mix"].counts.counts()["tp"][1].tolist() in candidates
