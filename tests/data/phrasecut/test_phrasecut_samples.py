import numpy as np
import pytest

from clipseg_hf.data import load_phrasecut_plus
from clipseg_hf.data.vocabulary.phrases import PREFIXES
from clipseg_hf.processing.masks.rle import decode_rle


@pytest.fixture
def big(layout):
    """Sixty images of the same few things, so that shares can be counted."""
    template = layout.tasks["train"]
    for image_id in range(10, 70):
        layout.sizes[image_id] = (40, 60)
        # Every image shows two of four things.
        for number, task in enumerate((template[image_id % 2 * 2], template[4 + image_id % 2])):
            phrase = f"thing {(image_id + number) % 4}"
            structure = {"name": phrase}
            layout.tasks["train"].append(
                {
                    **task,
                    "image_id": image_id,
                    "task_id": f"{image_id}__{number}",
                    "phrase": phrase,
                    "phrase_structure": structure,
                }
            )
    return layout.write()


def plus(root, tmp_path, **options):
    return load_phrasecut_plus(root, "train", config_name="plus", cache_dir=tmp_path / "cache", **options)


def words(samples):
    columns = ["phrase_id", "prompt", "negative", "support_phrase_id"]
    return [tuple(row.values()) for row in samples.select_columns(columns)]


def test_each_phrase_of_each_image_is_one_sample(phrasecut_dir, tmp_path):
    samples = plus(phrasecut_dir, tmp_path)

    assert samples["phrase_id"][:] == ["1__0", "1__1", "2__0", "2__1", "3__0", "3__1"]
    for row in samples:
        assert row["prompt"] in [prefix.replace("{}", row["phrase"]) for prefix in PREFIXES]
        assert row["image"].size == (row["width"], row["height"])


def test_a_support_is_another_image_of_the_same_phrase_with_its_mask(big, tmp_path):
    images = load_phrasecut_plus(big, "train", cache_dir=tmp_path / "cache")
    entries = {entry["phrase_id"]: (row, entry) for row in images for entry in row["phrases"]}
    samples = plus(big, tmp_path).filter(lambda phrase_id: phrase_id is not None, input_columns="support_phrase_id")
    supported = list(samples)

    assert len(supported) > 100
    for row in supported:
        image, entry = entries[row["support_phrase_id"]]
        assert entry["phrase"] == row["phrase"] and row["support_mask"] == entry["mask"]
        assert row["support_image_id"] == image["image_id"] != row["image_id"]
    row, (image, _) = supported[0], entries[supported[0]["support_phrase_id"]]
    assert (np.asarray(row["support_image"]) == np.asarray(image["image"])).all()


def test_one_in_five_is_a_negative_and_not_true_of_its_image(big, tmp_path):
    images = load_phrasecut_plus(big, "train", cache_dir=tmp_path / "cache")
    own = {row["image_id"]: {entry["phrase"] for entry in row["phrases"]} for row in images}
    samples = plus(big, tmp_path)

    assert 0.1 < np.mean(samples["negative"]) < 0.3
    for row in samples.remove_columns(["image", "support_image"]):
        assert (row["phrase"] in own[row["image_id"]]) != row["negative"]
        assert decode_rle(row["mask"]).any() != row["negative"]


def test_the_seed_fixes_the_samples_whatever_builds_them(big, tmp_path, monkeypatch):
    first = words(plus(big, tmp_path / "1"))
    monkeypatch.setattr("clipseg_hf.data.rows.row_source.IMAGES_PER_SHARD", 9)

    assert words(plus(big, tmp_path / "2", num_proc=2)) == first
    streamed = plus(big, tmp_path / "3", streaming=True)
    assert [(row["phrase_id"], row["prompt"]) for row in streamed] == [row[:2] for row in first]
    assert words(plus(big, tmp_path / "1", seed=1)) != first
    assert words(plus(big, tmp_path / "1")) == first


def test_a_phrase_that_is_entered_twice_is_asked_once_for_all_of_it(layout, tmp_path):
    layout.tasks["train"] = [
        {**layout.tasks["train"][0], "Polygons": [[[[0, 0], [4, 0], [4, 4], [0, 4]]]]},
        {**layout.tasks["train"][0], "Polygons": [[[[9, 9], [11, 9], [11, 11], [9, 11]]]], "task_id": "1__9"},
    ]
    layout.tasks["train"][1]["phrase"] = "Red  Box"

    [row] = plus(layout.write(), tmp_path)

    assert decode_rle(row["mask"]).sum() == 25 + 9 and row["phrase_id"] == "1__0"


def test_filters_apply_to_samples_supports_and_negatives(big, tmp_path):
    samples = plus(big, tmp_path, without_words=("thing", "tree"))

    assert set(samples["phrase"]) == {"red box", "small cow on box"}
