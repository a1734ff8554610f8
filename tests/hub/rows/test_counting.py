"""Numbers on a card that a person can count."""

import datasets

from clipseg_hf.data import ROW_FEATURES, load_phrasecut_plus, make_phrase
from clipseg_hf.hub.rows.counting import count_rows, count_samples
from data.conftest import build_row


def test_rows():
    red = ("red square", "square", "red", (5, 5, 25, 25))
    rows = [build_row(0, [red, ("blue square", "square", "blue", (30, 5, 50, 25))]), build_row(1, [red])]
    same = rows[1]["phrases"][0]["mask"]
    rows[1]["phrases"].append(make_phrase("the only square", same, phrase_id="1__1"))
    facts = count_rows(datasets.Dataset.from_list(rows, features=ROW_FEATURES))
    assert (facts.rows, facts.images, facts.phrases, facts.different_phrases, facts.masks) == (2, 2, 4, 3, 3)
    assert facts.details.startswith("2 images, 4 phrases, 3 different\n")


def test_samples(phrasecut):
    samples = load_phrasecut_plus(phrasecut, "train", config_name="plus")
    facts = count_samples(samples)
    negatives, supported = sum(samples["negative"]), sum(name is not None for name in samples["support_image_id"])
    assert (facts.rows, facts.images, facts.phrases, facts.masks) == (6, 3, 6, 6 - negatives)
    assert facts.details.endswith(f" whose phrase is not true of the image, {supported} with a support")
    assert facts.fingerprint != count_samples(samples.select(range(5))).fingerprint
