"""PhraseCut's evaluator and its subsets, by hand."""

import json

import numpy as np
import pytest
import torch

from clipseg_hf.data.rows.rows import make_phrase
from clipseg_hf.evaluation import ConceptSubsets, PhraseCutSubsets, SegmentationCounts, phrasecut_numbers
from clipseg_hf.processing import encode_rle


def test_the_evaluator_by_hand():
    counts = SegmentationCounts(thresholds=(0.5,))
    targets = torch.zeros(3, 1, 10)
    targets[:, :, :5] = 1
    scores = torch.zeros(3, 1, 10)
    scores[0, 0, :5] = 0.9  # IoU 1
    scores[1, 0, :4] = 0.9  # 4 / 5
    scores[2, 0, 5:] = 0.9  # 0 / 10
    counts.update(scores, targets)
    assert phrasecut_numbers(counts, 0.5) == {
        "mean_iou": pytest.approx(1.8 / 3),
        "cumulative_iou": pytest.approx(9 / 20),
        "accuracy_0.5": pytest.approx(2 / 3),
        "accuracy_0.6": pytest.approx(2 / 3),
        "accuracy_0.7": pytest.approx(2 / 3),
        "accuracy_0.8": pytest.approx(1 / 3),  # 4/5 is not above 0.8
        "accuracy_0.9": pytest.approx(1 / 3),
    }


def phrase(area=0.1, boxes=1, name="dog", attributes=(), relations=0, told_by=None):
    mask = np.zeros((10, 100), dtype=bool)
    mask.flat[: round(1000 * area)] = True
    return make_phrase(
        name,
        encode_rle(mask),
        phrase_id="1",
        name=name,
        attributes=list(attributes),
        relations=[{"predicate": "on", "object": "sofa"}] * relations,
        boxes=[[0, 0, 1, 1]] * boxes,
        told_by=told_by,
    )


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (phrase(), {"i_single", "t_obj", "s_mid", "p_name"}),
        (phrase(area=0.019, boxes=4), {"i_multi", "t_obj", "s_small", "p_name"}),
        (phrase(area=0.21, boxes=5), {"i_many", "t_obj", "s_large", "p_name"}),
        (phrase(name="street sign"), {"i_single", "t_stuff", "s_mid", "p_name"}),  # "tree" is in "street", as there
        (phrase(attributes=["big", "red"]), {"i_single", "t_obj", "s_mid", "p_att", "p_attm"}),
        (phrase(relations=1, attributes=["big"]), {"i_single", "t_obj", "s_mid", "p_att", "p_rel", "p_att_rel"}),
        (phrase(relations=2), {"i_single", "t_obj", "s_mid", "p_rel", "p_relm"}),
        (phrase(attributes=["big"], told_by="attribute"), {"i_single", "t_obj", "s_mid", "p_att", "p_att+"}),
        (phrase(relations=1, told_by="relation"), {"i_single", "t_obj", "s_mid", "p_rel", "p_rel+"}),
        (phrase(relations=1, told_by="verbose"), {"i_single", "t_obj", "s_mid", "p_rel", "p_verbose"}),
        (phrase(told_by="name"), {"i_single", "t_obj", "s_mid", "p_name"}),
    ],
)
def test_subsets_by_hand(entry, expected):
    assert set(PhraseCutSubsets()({"height": 10, "width": 100}, entry)) == expected


@pytest.mark.parametrize(
    ("rank", "expected"),
    [
        (0, {"c20", "c100", "c500"}),
        (19, {"c20", "c100", "c500"}),
        (20, {"c21-100", "c100", "c500"}),
        (100, {"c101-500", "c500"}),
        (500, {"c500+"}),
        (10_000, {"c500+"}),
    ],
)
def test_ranks_of_categories(tmp_path, rank, expected):
    counts = {"cat": [[f"thing {n}", 9] for n in range(600)], "att": [["red", 5], ["big", 4]], "rel": []}
    (tmp_path / "name_att_rel_count.json").write_text(json.dumps(counts))
    subsets = PhraseCutSubsets.from_counts(tmp_path / "name_att_rel_count.json")
    names = subsets({"height": 10, "width": 100}, phrase(name=f"thing {rank}", attributes=["odd", "big"]))
    assert {name for name in names if name.startswith("c")} == expected
    assert {name for name in names if name.startswith("a")} == {"a20", "a100", "a200"}


def test_a_foreign_file_of_counts_is_named(tmp_path):
    (tmp_path / "counts.json").write_text("[]")
    with pytest.raises(ValueError, match="should hold the lists 'cat' and 'att' of PhraseCut's counts, found list"):
        PhraseCutSubsets.from_counts(tmp_path / "counts.json")
    for text in ('{"cat": 3, "att": []}', '{"cat": [["a"]], "att": []}', '{"cat": [[["a"], 1]], "att": []}'):
        (tmp_path / "counts.json").write_text(text)
        with pytest.raises(ValueError, match=r"counts\.json: 'cat' and 'att' should be lists of \[name, count\]: "):
            PhraseCutSubsets.from_counts(tmp_path / "counts.json")
    (tmp_path / "counts.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"counts\.json is JSON that cannot be read: maximum recursion"):
        PhraseCutSubsets.from_counts(tmp_path / "counts.json")


def test_concepts_in_singular_and_plural():
    subsets = ConceptSubsets({"unseen": ["Horse", "cow"], "animals": ["horse"]}, rest="seen")
    assert subsets({}, {"name": "horses"}) == ["unseen", "animals"]
    assert subsets({}, {"name": "car"}) == ["seen"]
    assert ConceptSubsets({"unseen": ["cow"]})({}, {"name": "car"}) == []
