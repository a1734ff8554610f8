import numpy as np
import pytest

from clipseg_hf.data.rows.rows import make_phrase
from clipseg_hf.data.vocabulary.filters import PhraseFilter
from clipseg_hf.processing.masks.rle import encode_rle


def entry(phrase, area=0.5):
    mask = np.zeros((10, 10), dtype=bool)
    mask.reshape(-1)[: round(100 * area)] = True
    return make_phrase(phrase, encode_rle(mask), phrase_id="1")


def test_each_filter_says_why():
    phrase_filter = PhraseFilter(("unseen-4",), ["riding", "traffic light"], min_area=0.05)

    assert phrase_filter.reason(entry("brown heifers")) == "names unseen-4"
    assert phrase_filter.reason(entry("man riding bicycle")) == "holds the word 'riding'"
    assert phrase_filter.reason(entry("red traffic light")) == "holds the word 'traffic light'"
    assert phrase_filter.reason(entry("tree", area=0.04)) == "covers less than 0.05 of the image"
    assert phrase_filter.reason(entry("tree", area=0.05)) is None


def test_by_default_everything_stays():
    assert PhraseFilter().reason(entry("cow", area=0)) is None


def test_wrong_options_are_named_at_once():
    with pytest.raises(TypeError, match=r"without_concepts takes several, got the text 'pascal'.*\('pascal',\)"):
        PhraseFilter(without_concepts="pascal")
    with pytest.raises(ValueError, match="Unknown concept 'pascall'"):
        PhraseFilter(without_concepts=("pascall",))
    with pytest.raises(ValueError, match=r"min_area is a share of the image's area, in \[0, 1\), got 100"):
        PhraseFilter(min_area=100)
