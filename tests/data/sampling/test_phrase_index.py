from collections import Counter

import datasets
import numpy as np
import pytest
import torch

from clipseg_hf.data.rows.rows import ROW_FEATURES
from clipseg_hf.data.sampling.phrase_index import PhraseIndex


def row(*entries):
    """Entries (phrase, name) of a row of 2 x 2 pixels, each with one pixel; (phrase, name, counts) for another mask."""
    phrases = [
        {"phrase": phrase, "name": name, "mask": {"size": [2, 2], "counts": counts[0] if counts else "031"}}
        for phrase, name, *counts in entries
    ]
    return {"phrases": phrases}


@pytest.fixture
def rows():
    return [
        row(("red car", "car"), ("tall tree", "tree")),
        row(("blue car", "car"), ("red car", "car")),
        row(("Red  car", "car")),
        row(),
        row(("cars", "cars"), ("dog", "dog")),
    ]


def draw(method, *args, times=2000, **kwargs):
    generator = torch.Generator().manual_seed(0)
    return Counter(method(*args, generator, **kwargs) for _ in range(times))


def test_where_a_phrase_occurs(rows):
    index = PhraseIndex(rows)
    assert index["red car"] == [(0, 0), (1, 1), (2, 0)]
    assert index["RED CAR"] == index["red car"]
    assert index["dog"] == [(4, 1)]
    assert index.phrases == list(index) == ["red car", "tall tree", "blue car", "cars", "dog"]
    assert len(index) == 5
    assert index.counts.tolist() == [2, 2, 1, 0, 2]
    assert "blue car" in index
    assert "car" not in index


def test_an_unknown_phrase_is_an_error_with_a_hint(rows):
    with pytest.raises(KeyError, match=r"No row has the phrase 'tall trees'; did you mean 'tall tree'\?"):
        PhraseIndex(rows)["tall trees"]
    with pytest.raises(KeyError, match=r"No row has the phrase 'zzz'\."):
        PhraseIndex(rows)["zzz"]


def test_what_is_true_of_an_image(rows):
    index = PhraseIndex(rows)
    assert index.is_true_of("red car", 0)
    assert index.is_true_of("blue car", 0)  # there is a car; that it is not blue, nobody says
    assert index.is_true_of("cars", 0)
    assert not index.is_true_of("dog", 0)
    assert not index.is_true_of("tall tree", 1)
    assert index.is_true_of("car", 2)  # a name that is no phrase
    assert not index.is_true_of("unicorn", 2)


def test_supports_come_from_other_images_with_equal_probability(rows):
    drawn = draw(PhraseIndex(rows).draw_support, "red car", 1)
    assert drawn.keys() == {(0, 0), (2, 0)}
    assert drawn[0, 0] == pytest.approx(1000, abs=100)


def test_no_support_where_no_other_image_has_the_phrase(rows):
    index = PhraseIndex(rows)
    generator = torch.Generator()
    assert index.draw_support("dog", 4, generator) is None
    assert index.draw_support("unicorn", 4, generator) is None
    assert index.draw_support("dog", 0, generator) == (4, 1)


def test_an_empty_mask_is_no_support(rows):
    empty = [*rows, row(("red car", "car", "4"))]  # one run of 4 pixels of background
    assert PhraseIndex(empty)["red car"][-1] == (5, 0)
    assert (5, 0) not in draw(PhraseIndex(empty).draw_support, "red car", 0)


def test_entries_of_one_phrase_are_one_example_which_is_not_empty_unless_all_are():
    index = PhraseIndex([row(("dog", "dog", "4"), ("cat", "cat"), ("Dog", "dog"), ("dog", "dog")), row(("dog", "dog"))])
    assert index.counts.tolist() == [4, 1] and index.different.tolist() == [2, 1]
    assert index.numbers(0) == [0, 1] and index.numbers(1) == [0]
    assert index["dog"] == [(0, 0), (0, 2), (0, 3), (1, 0)]
    assert draw(index.draw_support, "dog", 1, times=50).keys() == {(0, 0)}  # for all three


def test_a_full_mask_is_a_support(rows):
    full = [*rows, row(("dog", "dog", "04"))]
    assert PhraseIndex(full).draw_support("dog", 4, torch.Generator()) == (5, 0)


def test_negatives_are_phrases_that_are_not_true(rows):
    index = PhraseIndex(rows)
    assert draw(index.draw_negative, 0, times=300).keys() == {"dog"}
    assert draw(index.draw_negative, 1, times=300).keys() == {"tall tree", "dog"}
    assert draw(index.draw_negative, 1, times=300, without=["Dog"]).keys() == {"tall tree"}


def test_negatives_are_drawn_as_often_as_they_occur():
    index = PhraseIndex([row(("a", "a")), row(("b", "b")), row(("b", "b")), row(("b", "b")), row(("c", "c"))])
    drawn = draw(index.draw_negative, 0)
    assert drawn["b"] == pytest.approx(1500, abs=100)
    assert drawn["c"] == pytest.approx(500, abs=100)


def test_a_rare_negative_is_found_among_many_true_phrases():
    rows = [row(("sky", "sky")) for _ in range(3000)] + [row(("boat", "boat"))]
    assert draw(PhraseIndex(rows).draw_negative, 5, times=20) == {"boat": 20}


def test_no_negative_where_everything_is_true(rows):
    generator = torch.Generator()
    assert PhraseIndex(rows[:1]).draw_negative(0, generator) is None
    assert PhraseIndex([row()]).draw_negative(0, generator) is None
    assert PhraseIndex(rows).draw_negative(0, generator, without=["dog"]) is None


def test_a_name_that_is_missing_is_the_phrase():
    index = PhraseIndex([row(("dog", None)), row(("dogs", "")), row(("cat", None))])
    assert index.is_true_of("dogs", 0)
    assert draw(index.draw_negative, 0, times=50).keys() == {"cat"}


def test_a_dataset_gives_the_same_index_as_its_rows_also_after_a_filter(world):
    data = datasets.Dataset.from_list(world, features=ROW_FEATURES)
    for kept in (data, data.filter(lambda ids: [i[-1] in "37" for i in ids], input_columns="image_id", batched=True)):
        one, other = PhraseIndex(kept), PhraseIndex([kept[i] for i in range(len(kept))])
        assert one.phrases == other.phrases
        assert np.array_equal(one.counts, other.counts)
        assert all(one[phrase] == other[phrase] for phrase in one)
    assert one["red square"][0][0] < len(kept)


def test_a_dataset_is_indexed_without_decoding_an_image(world):
    broken = [entry | {"image": {"bytes": b"no image", "path": None}} for entry in world]
    assert len(PhraseIndex(datasets.Dataset.from_list(broken, features=ROW_FEATURES))) == 5


def test_rows_of_one_picture_say_together_what_is_true_of_it_and_are_no_examples_for_each_other():
    things = [("cat", "cat"), ("dog", "dog"), ("dog", "dog"), ("old dog", "dog"), ("boat", "boat")]
    rows = [row(thing) | {"image": image} for thing, image in zip(things, (b"a", b"b", b"a", b"b", b"c"), strict=True)]
    index = PhraseIndex(rows)
    assert index.pictures.tolist() == [0, 1, 0, 1, 4]
    assert index.is_true_of("dog", 0) and index.is_true_of("dogs", 0) and not index.is_true_of("boat", 2)
    assert draw(index.draw_support, "dog", 0, times=50).keys() == {(1, 0)}  # row 2 is the same picture
    assert draw(index.draw_support, "cat", 2, times=5).keys() == {None}
    assert draw(index.draw_negative, 0, times=50).keys() == {"boat"}
    assert draw(index.draw_negative, 3, times=50).keys() == {"cat", "boat"}
    assert index.numbers(2) == [0] and index.counts.tolist() == [1, 1, 1, 1, 1]
