import datasets
import numpy as np
import pyarrow.parquet
import pytest
from huggingface_hub import DatasetCard

from clipseg_hf.data import load_phrasecut_plus
from clipseg_hf.data.phrasecut.publishing import PHRASECUT_LICENSE, phrasecut_card, push_phrasecut_to_hub, save_parquet


@pytest.fixture
def rows(phrasecut_dir, tmp_path):
    return load_phrasecut_plus(phrasecut_dir, cache_dir=tmp_path / "cache")


@pytest.fixture
def samples(phrasecut_dir, tmp_path):
    return load_phrasecut_plus(phrasecut_dir, "train", config_name="plus", cache_dir=tmp_path / "cache")


def values(dataset):
    """Rows as plain values, images as pixels."""

    def plain(value):
        return np.asarray(value).tolist() if hasattr(value, "getpixel") else value

    return [{key: plain(value) for key, value in row.items()} for row in dataset]


def test_parquet_holds_the_images_and_reads_back_equal_also_streaming(rows, tmp_path):
    save_parquet(rows, tmp_path / "out")
    expected = {split: values(rows[split]) for split in rows}
    for row in rows["train"].cast_column("image", datasets.Image(decode=False)):
        assert row["image"]["bytes"] is None  # the build's own rows only point to the files

    read = datasets.load_dataset(str(tmp_path / "out"), cache_dir=tmp_path / "read")
    assert {split: values(read[split]) for split in read} == expected
    assert read["train"].features == rows["train"].features
    bytes_ = read["train"].cast_column("image", datasets.Image(decode=False))[0]["image"]["bytes"]
    assert bytes_[:2] == b"\xff\xd8"  # the JPEG file itself, not coded anew

    streamed = datasets.load_dataset(str(tmp_path / "out"), split="train", streaming=True)
    assert values(streamed) == expected["train"]


def test_samples_read_back_equal_with_and_without_supports(samples, tmp_path):
    save_parquet(samples, tmp_path / "out")

    read = datasets.load_dataset(str(tmp_path / "out"), split="train", streaming=True)

    assert values(read) == values(samples)
    assert {row["support_image"] is None for row in samples} == {True, False}


def test_large_data_is_divided_among_files(rows, tmp_path, monkeypatch):
    monkeypatch.setattr("clipseg_hf.data.parquet_files._ROWS_AT_ONCE", 1)

    files = save_parquet(rows["train"], tmp_path / "out", bytes_per_file=1)

    assert [file.name for file in files] == [f"train-0000{i}-of-00003.parquet" for i in range(3)]
    assert [pyarrow.parquet.read_metadata(file).num_rows for file in files] == [1, 1, 1]


def test_rows_are_not_written_between_others(rows, tmp_path):
    save_parquet(rows["train"], tmp_path / "out")

    with pytest.raises(FileExistsError, match=r"train-00000-of-00001\.parquet is there already: choose another"):
        save_parquet(rows["val"], tmp_path / "out")


def test_the_card_says_what_is_in_it_how_it_was_made_and_whose_it_is(rows, samples, tmp_path):
    save_parquet(rows, tmp_path / "out", card=phrasecut_card(rows, "someone/phrasecut"), license_text=PHRASECUT_LICENSE)
    card = DatasetCard.load(tmp_path / "out" / "README.md")

    assert card.data.license == "cc-by-4.0" and card.data.task_categories == ["image-segmentation"]
    assert 'load_dataset("someone/phrasecut", "images", split="train", streaming=True)' in card.text
    assert "| train | 3 |" in card.text and "5 rows with 8 phrases" in card.text
    assert "| `support_image` |" not in card.text
    assert "Flickr" in (tmp_path / "out" / "LICENSE.txt").read_text()
    plus = phrasecut_card(samples, "someone/phrasecut", "plus")
    assert "# PhraseCut+" in plus and "| `support_image` | another picture" in plus


class HubOfOne:
    """Remembers what it is told."""

    def __init__(self):
        self.calls, self.files = [], {}

    def create_repo(self, repo_id, **options):
        self.calls.append(("create", repo_id, options["repo_type"], options["private"]))
        return f"https://huggingface.co/datasets/{repo_id}"

    def file_exists(self, repo_id, name, repo_type):
        return name in self.files

    def create_commit(self, repo_id, operations, **options):
        self.calls.append(("commit", sorted(operation.path_in_repo for operation in operations)))
        self.files |= {operation.path_in_repo: operation.path_or_fileobj for operation in operations}


def test_publishing_puts_card_and_licence_first_and_keeps_them(rows, samples, monkeypatch):
    hub = HubOfOne()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda token: hub)
    for kind in (datasets.Dataset, datasets.DatasetDict):
        monkeypatch.setattr(
            kind,
            "push_to_hub",
            lambda self, repo_id, config_name, set_default, **_: hub.calls.append(("push", config_name, set_default)),
        )

    url = push_phrasecut_to_hub(rows, "someone/phrasecut", private=True)
    push_phrasecut_to_hub(samples, "someone/phrasecut", "plus", private=True)

    create = ("create", "someone/phrasecut", "dataset", True)
    assert url == "https://huggingface.co/datasets/someone/phrasecut"
    assert hub.calls == [
        create,
        ("commit", ["LICENSE.txt", "README.md"]),
        ("push", "images", True),
        create,
        ("push", "plus", False),
    ]
    assert b"Creative Commons Attribution 4.0" in hub.files["LICENSE.txt"]
