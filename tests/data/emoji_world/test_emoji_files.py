"""The emoji world: true masks, true phrases, the same bytes, PhraseCut's layout."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from clipseg_hf.data.emoji_world import emoji_files
from clipseg_hf.data.emoji_world.emoji_files import mask_to_polygons, scene_tasks, split_concepts, write_scenes
from clipseg_hf.data.emoji_world.emoji_glyphs import EmojiConcept, GlyphSheet, find_emoji_font, load_concepts
from clipseg_hf.data.emoji_world.emoji_scenes import Instance, Scene, describe, draw_scene
from clipseg_hf.data.phrasecut.polygons import fill_polygons

pytestmark = pytest.mark.needs_font


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_scenes(folder / "one", train=12, val=3, test=6, seed=1)
    return folder


def test_concepts_are_many_and_split():
    concepts = load_concepts()
    assert len(concepts) >= 500
    assert len({concept.name for concept in concepts}) == len(concepts)
    assert sum(not concept.seen for concept in concepts) == 79
    assert all(concept.seen for concept in split_concepts("train"))
    assert split_concepts("test") == list(concepts)


def test_concept_names_are_the_emoji_packages():
    emoji = pytest.importorskip("emoji")
    names = {}
    for sequence, entry in emoji.EMOJI_DATA.items():
        names.setdefault(sequence.replace("\ufe0f", ""), set()).add(entry["en"].strip(":").replace("_", " ").lower())
    renamed = {"globe", "traffic light"}
    for concept in load_concepts():
        assert concept.name in renamed | {name.replace("’", "'") for name in names[concept.character]}


def test_ring_becomes_two_halves():
    mask = np.ones((5, 6), bool)
    mask[2, 2:4] = False
    polygons = mask_to_polygons(mask)
    assert len(polygons) == 2
    np.testing.assert_array_equal(fill_polygons(polygons, 5, 6), mask)


def test_single_pixel_has_three_corners():
    mask = np.zeros((3, 3), bool)
    mask[1, 2] = True
    assert mask_to_polygons(mask) == [[[2, 1]] * 3]
    assert mask_to_polygons(np.zeros((3, 3), bool)) == []


@given(arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_polygons_fill_to_the_same_mask(mask):
    np.testing.assert_array_equal(fill_polygons(mask_to_polygons(mask), *mask.shape), mask)


def test_polygons_of_scenes_fill_to_the_same_masks():
    sheet = GlyphSheet()
    for number in range(6):
        scene = draw_scene(np.random.default_rng([5, number]), load_concepts(), sheet)
        tasks = {task["phrase"]: task for task in scene_tasks(scene, 1)}
        assert tasks
        for phrase in scene.phrases:
            expected = scene.mask(phrase.instances)
            polygons = [polygon for instance in tasks[phrase.phrase]["Polygons"] for polygon in instance]
            np.testing.assert_array_equal(fill_polygons(polygons, *expected.shape), expected)


def test_little_is_hidden():
    sheet = GlyphSheet()
    for number in range(20):
        scene = draw_scene(np.random.default_rng([6, number]), load_concepts(), sheet)
        for index, instance in enumerate(scene.instances):
            assert scene.mask([index]).sum() >= 0.65 * instance.area


def _scene_of(*things):
    """A scene described by (name, attributes, box), nothing painted."""
    instances = [
        Instance(EmojiConcept("x", name, True), attributes, box, box[2] * box[3]) for name, attributes, box in things
    ]
    return Scene(np.zeros((100, 100, 3), np.uint8), np.full((100, 100), -1, np.int16), instances)


def test_names_mean_all_instances_and_attributes_those_that_have_it():
    scene = _scene_of(("cat", ("small",), (0, 0, 10, 10)), ("cat", (), (0, 50, 30, 30)), ("dog", (), (0, 20, 9, 9)))
    found = {}
    for seed in range(20):
        found |= {p.phrase: p.instances for p in describe(scene, np.random.default_rng(seed))}
    assert found["cat"] == [0, 1]
    assert found["dog"] == [2]
    assert found["small cat"] == [0]


def test_relations_hold():
    scene = _scene_of(("cat", (), (0, 40, 20, 20)), ("cat", (), (80, 40, 20, 20)), ("dog", (), (40, 40, 20, 20)))
    found = {}
    for seed in range(40):
        found |= {p.phrase: p.instances for p in describe(scene, np.random.default_rng(seed)) if p.relations}
    # Two cats: one is left of the dog, one right of it, and "dog left of cat" would leave open which cat.
    assert found == {"cat left of dog": [0]}


def test_relation_that_is_not_plain_is_left_out():
    scene = _scene_of(("cat", (), (0, 0, 20, 20)), ("dog", (), (30, 30, 20, 20)))
    assert all(not p.relations for seed in range(20) for p in describe(scene, np.random.default_rng(seed)))


def test_layout_is_phrasecuts(world):
    folder = world / "one"
    pictures = json.loads((folder / "image_data_split3000.json").read_text())
    assert [picture["split"] for picture in pictures] == ["train"] * 12 + ["val"] * 3 + ["test"] * 6
    assert all((folder / "images" / f"{picture['image_id']}.jpg").is_file() for picture in pictures)
    tasks = json.loads((folder / "refer_train.json").read_text())
    assert set(tasks[0]) == {
        "task_id", "image_id", "ann_ids", "instance_boxes", "Polygons", "phrase", "phrase_structure"
    }  # fmt: skip
    assert len({task["task_id"] for task in tasks}) == len(tasks)
    counts = json.loads((folder / "name_att_rel_count.json").read_text())
    assert set(counts) == {"cat", "att", "rel"}
    assert sum(count for _, count in counts["cat"]) == len(tasks)
    assert "Open Font License" in (folder / "LICENSE.txt").read_text()
    assert json.loads((folder / "emoji_scenes.json").read_text())["versions"]["pillow"]


def test_no_training_phrase_names_an_unseen_concept(world):
    unseen = {concept.name for concept in load_concepts() if not concept.seen}
    tasks = json.loads((world / "one" / "refer_train.json").read_text())
    named = {task["phrase_structure"]["name"] for task in tasks}
    named |= {name for task in tasks for _, name in task["phrase_structure"]["relation_descriptions"]}
    assert not named & unseen


def test_same_seed_same_bytes_with_any_number_of_processes(world):
    write_scenes(world / "two", train=12, val=3, test=6, seed=1, processes=2)
    write_scenes(world / "other", train=12, val=3, test=6, seed=2)
    files = sorted(path.relative_to(world / "one") for path in (world / "one").rglob("*") if path.is_file())
    assert all((world / "one" / file).read_bytes() == (world / "two" / file).read_bytes() for file in files)
    assert (world / "one" / "refer_test.json").read_bytes() != (world / "other" / "refer_test.json").read_bytes()


def test_splits_do_not_depend_on_each_others_size(world):
    write_scenes(world / "longer", train=2, val=0, test=6, seed=1)
    short = json.loads((world / "one" / "refer_test.json").read_text())
    long = json.loads((world / "longer" / "refer_test.json").read_text())
    assert [task["Polygons"] for task in short] == [task["Polygons"] for task in long]


def test_full_folder_is_left_alone(world):
    with pytest.raises(FileExistsError, match="is not empty; name a new folder"):
        write_scenes(world / "one")


def test_scenes_that_are_interrupted_leave_nothing(tmp_path, monkeypatch):
    def drawn(job):
        if job.number:
            raise KeyboardInterrupt
        return draw(job)

    draw = emoji_files._draw
    monkeypatch.setattr(emoji_files, "_draw", drawn)
    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path / "x", train=2, val=0, test=0)
    assert not (tmp_path / "x").exists()


def test_negative_number_is_refused(tmp_path):
    with pytest.raises(ValueError, match=re.escape("cannot be negative, got {'val': -1}")):
        write_scenes(tmp_path / "x", val=-1)
    assert not (tmp_path / "x").exists()


def test_concepts_can_be_chosen(tmp_path):
    write_scenes(tmp_path / "x", train=4, val=0, test=4, concepts=["dog", "banana"])
    named = {
        split: {t["phrase_structure"]["name"] for t in json.loads((tmp_path / "x" / f"refer_{split}.json").read_text())}
        for split in ("train", "test")
    }
    assert named == {"train": {"dog"}, "test": {"dog", "banana"}}  # banana is unseen


def test_unknown_concept_is_named(tmp_path):
    with pytest.raises(ValueError, match="No concepts of the emoji world: unobtainium"):
        write_scenes(tmp_path / "x", concepts=["dog", "unobtainium"])


def test_missing_font_says_how_to_install_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="apt-get install fonts-noto-color-emoji"):
        find_emoji_font(tmp_path / "no.ttf")


def test_foreign_font_is_refused(tmp_path):
    (tmp_path / "font.ttf").write_bytes(b"no font")
    with pytest.raises(ValueError, match="cannot be used as the emoji font"):
        GlyphSheet(tmp_path / "font.ttf")


def test_character_outside_of_the_font_is_named():
    with pytest.raises(KeyError, match=re.escape("no glyph for U+E000")):
        GlyphSheet()["\ue000"]
