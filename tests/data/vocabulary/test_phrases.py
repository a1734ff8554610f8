import pytest

from clipseg_hf.data.vocabulary.phrases import PREFIXES, concept_key, phrase_key, swap_sides


def test_the_nine_templates_of_phrasecut_plus():
    assert len(set(PREFIXES)) == 9
    assert all(prefix.count("{}") == 1 for prefix in PREFIXES)
    assert {"a photo of a {}.", "{}.", "a bad photo of a {}."} < set(PREFIXES)


@pytest.mark.parametrize(
    ("phrase", "mirrored"),
    [
        ("man on the left", "man on the right"),
        ("Left dog, right of the RIGHT tree", "Right dog, left of the LEFT tree"),
        ("leftmost cup", "rightmost cup"),
        ("left-hand door", "right-hand door"),
        ("bright upright leftover", "bright upright leftover"),
    ],
)
def test_a_mirror_swaps_left_and_right_as_whole_words(phrase, mirrored):
    assert swap_sides(phrase) == mirrored
    assert swap_sides(mirrored) == phrase


def test_phrases_are_compared_without_case_and_blanks():
    assert phrase_key("  Red  Car ") == phrase_key("red car")
    assert phrase_key("red car") != phrase_key("red cars")


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("dog", "Dogs"),
        ("berry", "berries"),
        ("box", "boxes"),
        ("glass", "glasses"),
        ("bench", "benches"),
        ("tie", "ties"),
    ],
)
def test_names_are_compared_in_the_singular(one, many):
    assert concept_key(one) == concept_key(many)


@pytest.mark.parametrize("name", ["bus", "grass", "gas station", "s"])
def test_words_that_end_like_a_plural_stay_apart(name):
    assert concept_key(name) == name


def test_only_the_last_word_is_the_noun():
    assert concept_key("sports cars") == "sports car"
    assert concept_key("") == ""
