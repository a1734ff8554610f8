import pytest

from clipseg_hf.data.vocabulary.concepts import (
    GENERALISED_PROMPT_WORDS,
    PASCAL_CLASSES,
    WordMatcher,
    concept_classes,
    concept_words,
)
from clipseg_hf.data.vocabulary.wordnet import WordNetNouns, find_wordnet


def test_groups_of_classes_are_the_papers():
    assert concept_classes("pascal") == tuple(PASCAL_CLASSES) and len(PASCAL_CLASSES) == 20
    assert concept_classes("unseen-2") == ("cow", "motorbike")
    assert concept_classes("unseen-4") == ("cow", "motorbike", "aeroplane", "sofa")
    assert concept_classes("unseen-10")[4:] == ("cat", "tv", "train", "bottle", "chair", "potted plant")
    assert concept_classes("pascal5i-fold0") == ("aeroplane", "bicycle", "bird", "boat", "bottle")
    assert concept_classes("pascal5i-fold3") == ("potted plant", "sheep", "sofa", "train", "tv")


def test_an_unknown_concept_is_named_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"Unknown concept 'unseen-3': expected pascal, .*aeroplane.*furniture"):
        concept_words("unseen-3")


@pytest.mark.parametrize(
    ("concept", "phrase", "found"),
    [
        ("cat", "two small cats", "cat"),  # a plural
        ("cat", "sleeping tabby", "tabby"),  # a hyponym
        ("cat", "cattle on a hill", None),  # no part of a word
        ("cow", "black oxen", "oxen"),
        ("cow", "calves", None),  # as in WordNet: a calf is young, not below cattle
        ("person", "walking men", "man"),  # irregular
        ("person", "children on grass", "child"),
        ("person", "king", None),  # the original's list for person, not WordNet's
        ("chair", "white deck chairs", "deck chair"),
        ("potted plant", "Potted-Plants in a row", "potted plant"),  # an expression, with case, hyphen and plural
        ("potted plant", "potted green plant", None),  # its words must stand together
        ("tv", "old T.V.", "tv"),
        ("tv", "flat screen television", "television"),
        ("bus", "buses", "bus"),
        ("horse", "girl on horse", "horse"),  # anywhere in the phrase
        ("bird", "geese", "goose"),
        ("bottle", "glass", None),
    ],
)
def test_phrases_that_name_a_class_are_found(concept, phrase, found):
    assert WordMatcher(concept_words(concept)).find(phrase) == found


def test_words_without_lemmas_are_found_only_as_they_stand():
    matcher = WordMatcher(GENERALISED_PROMPT_WORDS, lemmatise=False)

    assert matcher.find("man sitting on bench") == "sitting"
    assert matcher.find("front wheels") == "wheels"
    assert matcher.find("sitter") is None
    assert WordMatcher(["wheel"], lemmatise=False).find("wheels") is None


def test_a_word_without_letters_is_refused():
    with pytest.raises(ValueError, match="'--' has no letters"):
        WordMatcher(["--"])


# A dictionary of three nouns in WordNet's format: animal > cat > tabby cat, and oxen -> ox.
@pytest.fixture
def small_wordnet(tmp_path):
    entries = ["03 n 02 animal 0 beast 0 001 ~ {1} n 0000 | a creature\n"]
    entries.append("03 n 01 cat 0 002 @ {0} n 0000 ~ {2} n 0000 | purrs\n")
    entries.append("03 n 01 tabby_cat 0 001 @ {1} n 0000 | striped\n")
    lengths = [len(entry.format(*["0" * 8] * 3)) + 9 for entry in entries]
    offsets = [f"{offset:08d}" for offset in (0, lengths[0], lengths[0] + lengths[1])]
    data = "".join(f"{offset} {entry}".format(*offsets) for offset, entry in zip(offsets, entries, strict=True))
    (tmp_path / "data.noun").write_text(data)
    index = "  1 The licence.  \n"
    for lemma, offset in (("animal", 0), ("beast", 0), ("cat", 1), ("tabby_cat", 2)):
        index += f"{lemma} n 1 1 ~ 1 1 {offsets[offset]}  \n"
    (tmp_path / "index.noun").write_text(index)
    (tmp_path / "noun.exc").write_text("oxen ox\n")
    return tmp_path


def test_wordnet_gives_synonyms_and_all_that_is_below(small_wordnet):
    nouns = WordNetNouns(small_wordnet)

    assert nouns.words_below("animal.n.01") == ["animal", "beast", "cat", "tabby cat"]
    assert nouns.words_below("cat.n.01") == ["cat", "tabby cat"]
    assert nouns.irregular == {"oxen": ["ox"]}
    assert nouns.license == "The licence.\n"


def test_other_synsets_are_looked_up_where_a_wordnet_is_installed(small_wordnet, monkeypatch):
    monkeypatch.setenv("WNSEARCHDIR", str(small_wordnet))

    assert concept_words("animal.n.01") == ("animal", "beast", "cat", "tabby cat")
    with pytest.raises(ValueError, match=r"WordNet has 1 senses of the noun 'cat'; 'cat\.n\.02' is not one"):
        concept_words("cat.n.02")
    with pytest.raises(ValueError, match=r"A noun's synset is named like 'dog\.n\.01', got '\.n\.01'"):
        concept_words(".n.01")


def test_without_a_wordnet_a_synset_says_how_to_get_one_and_the_classes_need_none(monkeypatch):
    monkeypatch.setattr("clipseg_hf.data.vocabulary.wordnet.find_wordnet", lambda: None)

    with pytest.raises(FileNotFoundError, match=r"'furniture\.n\.01' is looked up in WordNet, and none is installed"):
        concept_words("furniture.n.01")
    assert "cat" in concept_words("cat")


@pytest.mark.skipif(find_wordnet() is None, reason="compares the committed words with an installed WordNet")
def test_the_committed_words_are_wordnets():
    nouns = WordNetNouns(find_wordnet())

    for name, synset in PASCAL_CLASSES.items():
        if name != "person":
            assert set(concept_words(name)) == {name, *nouns.words_below(synset)}, name
