"""The folder of a published data set: every file that goes up is written here, and looked at before it does."""

from dataclasses import replace
from os import PathLike
from pathlib import Path

import datasets
import pyarrow.parquet

from clipseg_hf._output_files import new_folder
from clipseg_hf.data.inspection import draw_rows
from clipseg_hf.data.parquet_files import save_parquet
from clipseg_hf.data.phrasecut.publishing import PHRASECUT_LICENSE
from clipseg_hf.data.rows.row_images import undecoded
from clipseg_hf.hub.cards.data_card import SHEET, DataCard
from clipseg_hf.hub.portable import file_names, refuse_private
from clipseg_hf.hub.rows.checking import check_reading
from clipseg_hf.hub.rows.counting import SplitFacts, count_rows, count_samples
from clipseg_hf.hub.rows.reading import LICENSE, PublishedRows
from clipseg_hf.hub.rows.release import DataRelease


def stage_dataset(rows: PublishedRows, release: DataRelease, folder: str | PathLike) -> list[str]:
    """Write all that a published data set consists of, read it back and compare it row by row.

    Args:
        rows: what is published.
        release: how.
        folder: a new or empty one.

    Returns:
        The names of the files.

    Raises:
        FileExistsError: the folder holds something, or is a file.
        FileNotFoundError: an image that the rows point to is gone.
        ValueError: what is read back differs, a file names a folder of this machine, or there is not one phrase.
    """
    with new_folder(Path(folder)) as folder:
        count = count_samples if rows.are_samples else count_rows
        facts = {name: count(split) for name, split in rows.splits.items()}
        files = save_parquet(datasets.DatasetDict(rows.splits), folder)
        license_text = PHRASECUT_LICENSE if rows.are_phrasecut else rows.license_text
        if license_text:
            (folder / LICENSE).write_text(license_text, encoding="utf-8")
        card = DataCard(
            release, rows, {name: _with_sizes(name, one, files) for name, one in facts.items()}, license_text
        )
        _draw_sheet(rows, facts, card.title, folder / SHEET)
        card.render().save(folder / "README.md")
        check_reading(folder, rows.splits)
        refuse_private(folder, *([rows.place if rows.place.is_dir() else rows.place.parent] if rows.place else []))
        return file_names(folder)


def _with_sizes(split: str, facts: SplitFacts, files: list[Path]) -> SplitFacts:
    own = [path for path in files if path.name.startswith(f"{split}-")]
    metadata = [pyarrow.parquet.read_metadata(path) for path in own]
    size = sum(one.row_group(number).total_byte_size for one in metadata for number in range(one.num_row_groups))
    return replace(facts, size=size, stored=sum(path.stat().st_size for path in own))


def _draw_sheet(rows: PublishedRows, facts: dict[str, SplitFacts], title: str, path: Path) -> None:
    shown = {name: undecoded(split) for name, split in rows.splits.items()}
    if rows.are_samples:
        shown = {name: _SamplesAsRows(split) for name, split in shown.items()}
    phrases = sum(one.phrases for one in facts.values())
    draw_rows(shown, title, phrases).convert("RGB").save(path, quality=90)


class _SamplesAsRows:
    """PhraseCut+ as rows of one phrase."""

    def __init__(self, samples: datasets.Dataset):
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> dict:
        sample = self.samples[number]
        return {**sample, "phrases": [{"phrase": sample["prompt"], "mask": sample["mask"]}]}
