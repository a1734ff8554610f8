"""The card of a data set."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import DatasetInfo, SplitDict, SplitInfo
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCard, DatasetCardData

from clipseg_hf._version import __version__
from clipseg_hf.data.phrasecut.publishing import COLUMNS, SOURCES, TITLES, WHAT
from clipseg_hf.data.rows.flaws import FLAWS
from clipseg_hf.hub.rows.counting import SplitFacts
from clipseg_hf.hub.rows.reading import PublishedRows
from clipseg_hf.hub.rows.release import DataRelease

TEMPLATE = Path(__file__).parent / "templates" / "data_card.md.jinja"
SHEET = "contact_sheet.jpg"
_WHAT = "Images with phrases and masks of what they name."
_SIZES = {"n<1K": 1e3, "1K<n<10K": 1e4, "10K<n<100K": 1e5, "100K<n<1M": 1e6, "1M<n<10M": 1e7}  # the Hub's


@dataclass(frozen=True)
class DataCard:
    """What the card of a data set tells.

    Attributes:
        release: what its publisher says.
        rows: what is published.
        splits: what each split holds.
        license_text: what LICENSE.txt says.
    """

    release: DataRelease
    rows: PublishedRows
    splits: Mapping[str, SplitFacts]
    license_text: str | None = None

    @property
    def title(self) -> str:
        return self.release.title or self._of_phrasecut(TITLES) or self.release.repo_id.rpartition("/")[2]

    def render(self) -> DatasetCard:
        """The card, as it goes into README.md."""
        return DatasetCard.from_template(
            self.data,
            str(TEMPLATE),
            release=self.release,
            rows=self.rows,
            splits=self.splits,
            first=next(iter(self.splits)),
            license_text=self.license_text,
            title=self.title,
            what=self.release.description or self._of_phrasecut(WHAT) or self.rows.description or _WHAT,
            columns={name: COLUMNS[name] for name in self.rows.features},
            sources=self.release.sources + (SOURCES if self.rows.are_phrasecut else ()),
            flaws=FLAWS,
            sheet=SHEET,
            version=__version__,
        )

    @property
    def data(self) -> DatasetCardData:
        """The metadata in its head, by which `datasets` finds the splits' files and knows their columns."""
        rows = sum(facts.rows for facts in self.splits.values())
        files = [{"split": name, "path": f"data/{name}-*"} for name in self.splits]
        data = DatasetCardData(
            language=list(self.release.languages) or (["en"] if self.rows.are_phrasecut else None),
            license=self.release.license,
            task_categories=["image-segmentation"],
            pretty_name=self.title,
            size_categories=[next((name for name, limit in _SIZES.items() if rows < limit), "10M<n<100M")],
            tags=["referring-expression-segmentation", "clipseg", "clipseg-hf"],
            configs=[{"config_name": "default", "data_files": files}],
        )
        DatasetInfosDict({"default": self._info}).to_dataset_card_data(data)
        return data

    @property
    def _info(self) -> DatasetInfo:
        sizes: dict[str, Any] = {
            "download_size": sum(facts.stored for facts in self.splits.values()),
            "dataset_size": sum(facts.size for facts in self.splits.values()),
        }
        splits = SplitDict({name: SplitInfo(name, facts.size, facts.rows) for name, facts in self.splits.items()})
        return DatasetInfo(features=self.rows.features, splits=splits, **sizes)

    def _of_phrasecut(self, texts: Mapping[str, str]) -> str | None:
        return texts["plus" if self.rows.are_samples else "images"] if self.rows.are_phrasecut else None
