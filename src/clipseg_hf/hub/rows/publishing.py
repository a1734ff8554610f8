"""A data set on the Hub, with a card: what `clipseg-hf publish-data` does."""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from clipseg_hf._counted import counted
from clipseg_hf.hub.cards.data_card import SHEET
from clipseg_hf.hub.rows.reading import LICENSE, Data, read_rows
from clipseg_hf.hub.rows.release import DataRelease
from clipseg_hf.hub.rows.staging import stage_dataset
from clipseg_hf.hub.uploading import Upload, check_hub, open_place, upload_folder

# What an earlier publication may have left, and this one has not: its rows would be read together with these.
REPLACED = ("*.parquet", SHEET, LICENSE, "dataset_infos.json")


def publish_dataset(
    data: Data,
    repo_id: str,
    *,
    license: str,
    image_license: str,
    title: str | None = None,
    description: str | None = None,
    languages: Sequence[str] = (),
    sources: Sequence[str] = (),
    split: str | None = None,
    plus: bool = False,
    private: bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    dry_run_to: str | PathLike | None = None,
    num_proc: int | None = None,
    echo: Callable[[str], None] = print,
    **options: Any,
) -> Upload | None:
    """Publish rows by one commit: Parquet files that hold the images, a card, a contact sheet, the licence.

    `datasets.load_dataset(repo_id, split="train", streaming=True)` reads them, and so does everything here that reads
    data. What is written is read back and compared row by row before it goes up, and what arrived is compared by the
    Hub's hashes. The images go up as the files that they are, with what their cameras wrote into them. The token is the
    one that huggingface_hub finds.

    Args:
        data: what `load_segmentation_dataset` reads or gave, or what `load_phrasecut_plus` gave.
        repo_id: "account/name"; made if need be. What it held of Parquet files is replaced.
        license: of the phrases and masks, by the Hub's identifier.
        image_license: of the pictures, in words or by an identifier.
        title, description, languages, sources: see `DataRelease`.
        split: "train", "val", ...; None for all.
        plus: draw PhraseCut+ itself from PhraseCut's files, one row for each sample.
        private: make the repository so that nobody else sees it.
        revision: a branch, made if need be; None: the main one.
        create_pr: offer it as a pull request.
        dry_run_to: a new folder: write what would go up into it, and upload nothing. No network is needed.
        num_proc: how many processes read.
        echo: takes each line of the report.
        options: for the reader, see `load_segmentation_dataset`; with `plus`, those of `PhraseCutPlus`.

    Returns:
        what was published; None for a dry run.

    Raises:
        PublishedMeanwhile: somebody else has published there since the upload began.
        ValueError, OSError, TypeError, HfHubHTTPError: see `read_rows`, `stage_dataset`, `open_place` and
            `upload_folder`.
    """
    release = DataRelease(repo_id, license, image_license, title, description, tuple(languages), tuple(sources))
    if dry_run_to is None:
        check_hub(repo_id)
    rows = read_rows(data, split=split, plus=plus, num_proc=num_proc, **options)
    if dry_run_to is not None:
        names = stage_dataset(rows, release, dry_run_to)
        echo(f"{counted(len(names), 'file')} would go up to datasets/{repo_id}: {', '.join(names)}.")
        return None
    place = open_place(repo_id, repo_type="dataset", private=private, revision=revision, create_pr=create_pr)
    with TemporaryDirectory() as folder:
        stage_dataset(rows, release, folder)
        upload = upload_folder(Path(folder), place, "Publish the data set", REPLACED)
    echo(f"{counted(len(upload.files), 'file')} are at {upload.url} (commit {upload.commit[:7]}).")
    return upload
