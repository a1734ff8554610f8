"""`clipseg-hf publish-data`, without a network and over HTTP."""

import re
import shlex
from pathlib import Path

import datasets
import pytest
from huggingface_hub import DatasetCard
from typer.testing import CliRunner

from clipseg_hf.cli import app
from clipseg_hf.data import load_phrasecut_plus, load_segmentation_dataset
from clipseg_hf.evaluation.reports.report import fingerprint_rows
from clipseg_hf.hub import publish_dataset
from clipseg_hf.hub.rows.checking import row_digests
from hub.rows.conftest import LICENSES, make_pictures

OPTIONS = ("--license", "cc-by-4.0", "--image-license", "CC0-1.0, mine")
SHARD = "data/train-00000-of-00001.parquet"


def run(*arguments):
    return CliRunner().invoke(app, ["publish-data", *map(str, arguments)], prog_name="clipseg-hf")


def files_in(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def embedded(rows):
    """image_id -> the bytes of its file, as they are kept in the rows."""
    rows = rows.cast_column("image", datasets.Image(decode=False))
    return {row["image_id"]: row["image"]["bytes"] for row in rows}


def test_a_dry_run_writes_what_would_go_up(pictures, tmp_path):
    result = run(pictures, "me/bolts", *OPTIONS, "--title", "Bolts", "--dry-run", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    names = ["README.md", "contact_sheet.jpg", SHARD]
    assert result.stdout == f"3 files would go up to datasets/me/bolts: {', '.join(names)}.\n"
    assert sorted(files_in(tmp_path / "out")) == names
    card = DatasetCard.load(tmp_path / "out" / "README.md")
    assert (card.data.license, card.data.pretty_name, card.data.size_categories) == ("cc-by-4.0", "Bolts", ["n<1K"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--image-license", "x"), "Missing option '--license'"),
        (("--license", "mit"), "Missing option '--image-license'"),
        (("--license", "mit", "--image-license", " "), "image_license says under what terms the pictures are, such as"),
        (("--license", "My Own", "--image-license", "x"), "license is an identifier of the Hub's such as apache-2.0"),
        ((*OPTIONS, "--dry-run"), "--dry-run and --output OUT go together: give both, or neither."),
        (OPTIONS, "Publishing needs the network, but HF_HUB_OFFLINE is set: unset it, or look at a --dry-run."),
        ((*OPTIONS, "--dry-run", "-o", "out", "--split", "tset"), "There is no split tset; there are train."),
        (
            (*OPTIONS, "--dry-run", "-o", "out", "--plus", "--kind", "coco"),
            "plus draws PhraseCut+ from PhraseCut's files; got kind=coco. Give the folder with refer_<split>.json, or",
        ),
    ],
)
def test_what_a_user_can_mend(pictures, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = run(pictures, "me/bolts", *arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_licences_have_no_default(pictures):
    with pytest.raises(TypeError, match="missing 2 required keyword-only arguments: 'license' and 'image_license'"):
        publish_dataset(pictures, "me/bolts")


# over HTTP


def test_published_and_streamed_from_there(pictures, data_hub, tmp_path, capfd):
    """What arrives is what was sent, and the code on the card runs."""
    upload = publish_dataset(pictures, "me/bolts", **LICENSES)
    assert upload.url == f"{data_hub.url}/datasets/me/bolts" and upload.files == [
        "README.md",
        "contact_sheet.jpg",
        SHARD,
    ]
    streamed = datasets.load_dataset("me/bolts", split="train", streaming=True)
    assert list(row_digests(streamed)) == list(row_digests(load_segmentation_dataset(pictures, split="train")))
    assert embedded(streamed) == {p.stem: p.read_bytes() for p in (pictures / "images").iterdir()}
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```$", DatasetCard.load("me/bolts").text, re.MULTILINE | re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)
    assert names["mask"].sum() == 15 * 20 and len(names["rows"]) == 3
    assert f"| `{fingerprint_rows(names['rows'])}` |" in DatasetCard.load("me/bolts").text
    said = capfd.readouterr()
    assert "3 files are at" in said.out and "(60, 40) ['rusty bolt']" in said.out
    everything = b"".join(data_hub.objects.values())
    assert str(tmp_path).encode() not in everything and b"hf_secret" not in everything + (said.out + said.err).encode()


def test_the_lines_in_the_guide(pictures, data_hub, tmp_path, monkeypatch):
    monkeypatch.chdir(pictures.rename(tmp_path / "my_bolts").parent)
    guide = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\$ clipseg-hf publish-data (.*)$", guide, re.MULTILINE)
    assert [run(*shlex.split(line)).exit_code for line in lines] == [0, 0]
    assert files_in(tmp_path / "look") == data_hub.files("me/bolts", kind="datasets")


def test_what_a_dry_run_writes_is_what_goes_up(pictures, data_hub, tmp_path):
    publish_dataset(pictures, "me/bolts", **LICENSES)
    data_hub.asked.clear()
    publish_dataset(pictures, "me/bolts", **LICENSES, dry_run_to=tmp_path / "dry")
    assert not data_hub.asked
    assert files_in(tmp_path / "dry") == data_hub.files("me/bolts", kind="datasets")


def test_a_second_publication_takes_the_place_of_the_first(phrasecut, pictures, data_hub):
    publish_dataset(phrasecut, "me/data", **LICENSES)
    assert {"data/val-00000-of-00001.parquet", "LICENSE.txt"} <= data_hub.files("me/data", kind="datasets").keys()
    publish_dataset(pictures, "me/data", **LICENSES)
    assert sorted(data_hub.files("me/data", kind="datasets")) == ["README.md", "contact_sheet.jpg", SHARD]
    assert list(datasets.load_dataset("me/data", streaming=True)) == ["train"]
    assert len(data_hub.repositories["datasets", "me/data"].commits) == 3  # its first one, and one for each


def test_phrasecut_plus_with_its_sources_and_its_licence(phrasecut, data_hub):
    result = run(phrasecut, "me/plus", *OPTIONS, "--plus", "--split", "train", "--option", "seed=3", "--private")
    assert result.exit_code == 0, result.output
    assert data_hub.repositories["datasets", "me/plus"].private
    made = load_phrasecut_plus(phrasecut, "train", config_name="plus", seed=3)
    streamed = datasets.load_dataset("me/plus", split="train", streaming=True)
    assert list(row_digests(streamed)) == list(row_digests(made)) and streamed.features == made.features
    card = DatasetCard.load("me/plus")
    assert "# PhraseCut+\n" in card.text and "Krishna et al.: *Visual Genome*" in card.text
    assert card.data.language == ["en"] and "belong to those who took them" in card.text
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```$", card.text, re.MULTILINE | re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)
    assert names["mask"].shape == (40, 60)


def test_private_without_a_token_is_refused_before_anything_is_read(data_hub, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ValueError, match=r"Publishing needs a token of the Hub, and there is none: `hf auth login`"):
        publish_dataset("no such folder", "me/bolts", **LICENSES, private=True)
    assert not data_hub.asked


def test_what_is_public_is_not_taken_for_private(pictures, data_hub):
    publish_dataset(pictures, "me/bolts", **LICENSES)
    with pytest.raises(ValueError, match="me/bolts is there already, and public: what goes into it is seen by all"):
        publish_dataset(pictures, "me/bolts", **LICENSES, private=True)


def test_an_answer_that_was_lost(pictures, data_hub):
    data_hub.fail("POST", "/commit/", cut="after")
    assert publish_dataset(pictures, "me/bolts", **LICENSES).url == f"{data_hub.url}/datasets/me/bolts"


def test_nothing_is_made_there_of_data_that_cannot_be_read(data_hub, tmp_path):
    with pytest.raises(FileNotFoundError, match="has no layout that is known"):
        publish_dataset(tmp_path, "me/bolts", **LICENSES)
    assert not data_hub.repositories


def test_rows_of_the_hub_go_on(pictures, data_hub, tmp_path):
    """What was published is data as any other."""
    publish_dataset(pictures, "me/bolts", **LICENSES)
    publish_dataset("me/bolts", "me/again", **LICENSES)
    first, second = (datasets.load_dataset(name, split="train", streaming=True) for name in ("me/bolts", "me/again"))
    assert list(row_digests(first)) == list(row_digests(second)) and embedded(first) == embedded(second)
    more = make_pictures(tmp_path / "more", ("one", "two", "three", "four"))
    publish_dataset(load_segmentation_dataset(more), "me/again", **LICENSES, description="Bolts of mine.")
    assert "Bolts of mine." in data_hub.files("me/again", kind="datasets")["README.md"].decode()
    assert len(embedded(datasets.load_dataset("me/again", split="train", streaming=True))) == 4
