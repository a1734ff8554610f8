"""One-shot episodes: who may be drawn, numbers by hand, means over classes and folds, published lists."""

import json

import numpy as np
import pytest

from clipseg_hf.evaluation import (
    COCO_FOLDS,
    PASCAL_FOLDS,
    Episode,
    OneShotSettings,
    draw_episodes,
    evaluate_one_shot,
    find_classes,
    read_episodes,
    summarize_one_shot,
)
from clipseg_hf.processing import encode_rle

FOLDS = {"fold 0": ["red"], "fold 1": ["blue", "green"]}


def test_folds_are_those_of_the_literature():
    assert PASCAL_FOLDS["fold 0"] == ("aeroplane", "bicycle", "bird", "boat", "bottle")
    assert PASCAL_FOLDS["fold 3"][-1] == "tv"
    assert COCO_FOLDS["fold 0"][:3] == ("person", "airplane", "boat")  # 0, 4, 8
    assert COCO_FOLDS["fold 3"][-1] == "toothbrush"  # 79
    assert sum(len(classes) for classes in COCO_FOLDS.values()) == 80


def test_classes_are_bare_names(color_rows):
    color_rows[0]["phrases"][0]["phrase"] = "small red"  # says more than its name
    color_rows[2]["phrases"][0]["phrase"] = "Blues"
    color_rows[2]["phrases"][0]["name"] = "blues"
    assert find_classes(color_rows, ["red", "blue"]) == {"red": [(1, 0)], "blue": [(0, 1), (2, 0), (3, 0)]}


def test_a_class_with_a_mask_for_each_thing_is_on_an_image_once(color_rows):
    color_rows[0]["phrases"] += color_rows[0]["phrases"]
    assert find_classes(color_rows, ["red", "blue"]) == {"red": [(0, 0), (1, 0)], "blue": [(0, 1), (2, 0), (3, 0)]}


def test_episodes_pair_different_images(color_rows):
    places = find_classes(color_rows, ["red", "blue", "green"])
    episodes = draw_episodes(places, FOLDS, 50)
    assert len(episodes) == 100
    assert {episode.name for episode in episodes[:50]} == {"red"}
    assert {episode.name for episode in episodes[50:]} == {"blue"}  # green is on one image alone
    assert all(episode.query[0] != episode.support[0] for episode in episodes)
    assert len({(episode.query, episode.support) for episode in episodes[50:]}) == 6  # all pairs of three
    assert draw_episodes(places, FOLDS, 50) == episodes != draw_episodes(places, FOLDS, 50, seed=1)
    with pytest.raises(ValueError, match=r"No class of fold 9 \(green\) is on two images"):
        draw_episodes(places, {"fold 9": ["green"]}, 5)


def test_numbers_by_hand(color_model, color_processor, color_rows, tmp_path):
    # red on b by a: IoU 1/2; blue on d by a: 1/4, on a by c: 1
    episodes = [("b", "a", "red"), ("d", "a", "blue"), ("a", "c", "blue")]
    path = tmp_path / "episodes.json"
    path.write_text(json.dumps([{"query": q, "support": s, "class": c} for q, s, c in episodes]))
    listed = read_episodes(path, color_rows, FOLDS)
    results = evaluate_one_shot(color_model, color_processor, color_rows, FOLDS, episodes=listed)
    for kind in ("image", "text"):
        assert results[kind].counts.per_sample(0.5).tolist() == [1 / 2, 1 / 4, 1]
        summary = summarize_one_shot(results)[kind]
        assert summary["fold 0"]["miou_0.24"] == 1 / 2
        # blue's pixels are summed over its episodes: columns 4 + 4 right of 16 + 4
        assert summary["fold 1"]["miou_0.24"] == pytest.approx(8 / 20)
        assert summary["mean of folds"]["miou_0.24"] == pytest.approx((1 / 2 + 8 / 20) / 2)
        assert summary["fold 0"]["iou_bin_0.5"] == pytest.approx((4 / 8 + 8 / 12) / 2)
        assert (summary["mean of folds"]["samples"], summary["mean of folds"]["classes"]) == (3, 2)


def test_a_copy_of_a_picture_is_no_example_for_it(tiny_model, tiny_processor, color_rows):
    rows = [*color_rows, {**color_rows[0], "image_id": "copy"}]
    results = evaluate_one_shot(tiny_model, tiny_processor, rows, {"fold": ["red"]}, OneShotSettings(episodes=30))
    assert {(s["row"], s["example"][0]) for s in results["image"].samples} == {(0, 1), (1, 0)}


def test_what_does_not_count(color_model, color_processor, color_rows, ignore):
    ignore(color_rows[1], slice(4, 8), 0)  # where the model marks too much
    ignore(color_rows[3], slice(4, 16), 0)
    color_rows[3]["phrases"][0]["mask"] = color_rows[0]["phrases"][0]["mask"]  # blue on d is where the model finds it
    episodes = [Episode("fold 0", "red", (1, 0), (0, 0)), Episode("fold 1", "blue", (3, 0), (0, 1))]
    results = evaluate_one_shot(color_model, color_processor, color_rows, FOLDS, episodes=episodes)
    for result in results.values():
        assert result.counts.per_sample(0.5).tolist() == result.image_counts.per_sample(0.5).tolist() == [1, 1]


def test_a_class_that_only_a_crowd_shows_is_neither_asked_nor_shown(color_rows, ignore):
    empty = {"size": [8, 16], "counts": encode_rle(np.zeros((8, 16), dtype=bool))["counts"]}
    ignore(color_rows[0], slice(0, 4), 0)["phrases"][0]["mask"] = empty
    assert find_classes(color_rows, ["red"]) == {"red": [(1, 0)]}


def test_shares_and_settings(tiny_model, tiny_processor, color_rows):
    settings = OneShotSettings(episodes=5, batch_size=2, prompts=("image", "text", "mix"))
    whole = evaluate_one_shot(tiny_model, tiny_processor, color_rows, FOLDS, settings)
    shares = [
        evaluate_one_shot(tiny_model, tiny_processor, color_rows, FOLDS, settings, shard=(rank, 2)) for rank in range(2)
    ]
    for kind, result in shares[0].items():
        result.merge(shares[1][kind])
    assert summarize_one_shot(shares[0]) == summarize_one_shot(whole)
    assert len(whole["mix"].samples) == 10


def test_lists_in_json_and_in_lines(make_row, tmp_path):
    bar = {"aeroplane": slice(0, 4)}
    rows = [make_row(name, {}, bar) for name in ("2007_000001", "2007_000002", "7")]
    folds = {"fold 0": ["aeroplane"]}
    episode = Episode("fold 0", "aeroplane", (0, 0), (1, 0))
    json_list, lines = tmp_path / "episodes.json", tmp_path / "episodes.txt"
    json_list.write_text('[{"query": "2007_000001", "support": "2007_000002", "class": "aeroplane"}]')
    assert read_episodes(json_list, rows, folds) == [episode]
    lines.write_text("JPEGImages/2007_000001.jpg 2007_000002 1\n\n2007_000001 2007_000002 aeroplane\n")
    assert read_episodes(lines, rows, folds) == [episode, episode]
    lines.write_text("2007_000001 val2014/COCO_val2014_000000000007.jpg aeroplane\n")
    assert read_episodes(lines, rows, folds)[0].support == (2, 0)
    lines.write_text("2007_000001 2007_000002\n")
    with pytest.raises(ValueError, match=r"Episode 0 .* is \['2007_000001', '2007_000002'\], expected a query"):
        read_episodes(lines, rows, folds)
    lines.write_text("2007_000001 2007_000002 21\n")
    with pytest.raises(ValueError, match=r"Episode 0 .* asks for '21'"):
        read_episodes(lines, rows, folds)
    json_list.write_text('[{"query": "2007_000001"}]')
    with pytest.raises(ValueError, match=r"is no list of .*KeyError\('support'\)"):
        read_episodes(json_list, rows, folds)
    json_list.write_text('[{"query": ')
    with pytest.raises(ValueError, match=r"episodes\.json is not valid JSON, column 12: Expecting value"):
        read_episodes(json_list, rows, folds)
    with pytest.raises(FileNotFoundError, match=r"There is no list of episodes .*none\.txt"):
        read_episodes(tmp_path / "none.txt", rows, folds)


def test_a_foreign_list_is_named(color_rows, tmp_path):
    path = tmp_path / "episodes.json"
    path.write_text('[{"query": "b", "support": "nowhere", "class": "red"}]')
    with pytest.raises(ValueError, match="asks for 'red' on image 'b' by 'nowhere', but the data has not both"):
        read_episodes(path, color_rows, FOLDS)
    with pytest.raises(ValueError, match="episodes and batch_size are at least 1, got 0 and 4"):
        OneShotSettings(episodes=0)
    with pytest.raises(ValueError, match=r"image_prompt_weight is in \[0, 1\], got -1"):
        OneShotSettings(image_prompt_weight=-1)
