"""The card of a data set, as a whole."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard

from clipseg_hf.data import ROW_FEATURES, BuildSummary
from clipseg_hf.data.phrasecut.phrasecut_files import PhraseCutFiles
from clipseg_hf.data.phrasecut.phrasecut_samples import SAMPLE_FEATURES
from clipseg_hf.hub.cards.data_card import DataCard
from clipseg_hf.hub.rows.counting import SplitFacts
from clipseg_hf.hub.rows.reading import PublishedRows
from clipseg_hf.hub.rows.release import DataRelease

EXPECTED = Path(__file__).parent / "data_card_expected.md"


@pytest.fixture
def card() -> DataCard:
    flaws, filtered = Counter(missing_image=1204, empty_mask=2), Counter({"phrase names dog": 7})
    summary = BuildSummary(flaws=flaws, filtered=filtered, examples={"missing_image": ["/home/somebody/a.jpg"]})
    release = DataRelease(
        "me/bolts", "cc-by-4.0", "CC0-1.0, mine", title="Rusty bolts", languages=("en", "de"),
        description="Bolts of a bridge, each marked by two people.", sources=("Me: *Bolts*, 2026",),
    )  # fmt: skip
    facts = SplitFacts(12_000, 11_990, 30_000, 52, 29_000, "0123456789abcdef", "12,000 images, ...", 10**9, 9 * 10**8)
    splits = {"train": facts, "val": replace(facts, rows=10, fingerprint="fedcba9876543210", size=10, stored=9)}
    rows = PublishedRows({}, ROW_FEATURES, "Images with a mask for each phrase.", summary, broken=3)
    return DataCard(release, rows, splits, "Take them.\n")


def test_the_card_as_a_whole(card):
    assert str(card.render()) == EXPECTED.read_text(encoding="utf-8")


def test_others_can_read_it(card, tmp_path):
    card.render().save(tmp_path / "README.md")
    data = DatasetCard.load(tmp_path / "README.md").data
    assert (data.license, data.language, data.size_categories) == ("cc-by-4.0", ["en", "de"], ["10K<n<100K"])
    assert data.to_dict()["configs"][0]["data_files"][1] == {"split": "val", "path": "data/val-*"}
    assert [split["num_examples"] for split in data.to_dict()["dataset_info"]["splits"]] == [12_000, 10]


def test_a_card_with_nothing_to_tell(card):
    bare = replace(card, release=DataRelease("me/bolts", "mit", "mit"), license_text=None)
    text = str(replace(bare, rows=PublishedRows({}, ROW_FEATURES, "")).render())
    assert "# bolts\n\nImages with phrases and masks of what they name.\n" in text
    assert "What was left out as these rows were made was not noted." in text
    assert "## Sources" not in text and "LICENSE.txt" not in text and "None" not in text and "language" not in text
    clean = replace(bare, rows=PublishedRows({}, ROW_FEATURES, "", BuildSummary()))
    assert "\nNothing: the files that these rows were made from have no flaw" in str(clean.render())


def test_the_card_of_phrasecut_plus(card):
    release = DataRelease("me/plus", "cc-by-4.0", "each by its owner's terms")
    rows = PublishedRows({}, SAMPLE_FEATURES, PhraseCutFiles.description)
    text = str(replace(card, release=release, rows=rows).render())
    assert "# PhraseCut+\n" in text and "Lüddecke, Ecker: *Image Segmentation" in text and "- en\n" in text
    assert "| `support_mask` | what the phrase names there |" in text and 'row["prompt"]' in text
    assert "load_segmentation_dataset" not in text and "changes with any value of a row" in text
