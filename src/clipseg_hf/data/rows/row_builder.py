"""Builds a data set of rows from a source: cached, in parallel, streamed, and with an account of what was left out."""

import logging
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
from datasets.exceptions import DatasetGenerationError

from clipseg_hf._text_files import short_repr
from clipseg_hf._version import __version__
from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.row_source import SPLIT_NAME, RowSource
from clipseg_hf.data.vocabulary.filters import PhraseFilter

logger = logging.getLogger(__name__)

_SUMMARY = "build_summary.json"
_SUMMARY_PART = "build_summary.{split}.{part}.json"


@dataclass
class RowConfig(datasets.BuilderConfig):
    """What a data set of rows is made of.

    Attributes:
        source: What the rows are read from.
        phrase_filter: Which phrases are left out.
        strict: Stop at the first flaw of the files, instead of leaving out and counting.
        only_splits: Build no more than these; all where empty.
    """

    version: str = "1.0.0"
    source: RowSource | None = None
    phrase_filter: PhraseFilter = field(default_factory=PhraseFilter)
    strict: bool = False
    only_splits: tuple[str, ...] = ()


class RowBuilder(datasets.GeneratorBasedBuilder):
    """Builds the rows of a source with `datasets`.

    Builds are kept in a cache under the source's fingerprint: a changed file or option, another version of this package
    or other fields of the rows are built anew. A build is written apart and put in its place when it is finished, so
    that an interrupted one is never taken for whole.

    Args:
        source: What the rows are read from.
        config_name: What the configuration is called.
        cache_dir: The cache's root; `datasets`' own by default.
        phrase_filter, strict, only_splits: See `RowConfig`.
    """

    BUILDER_CONFIG_CLASS = RowConfig
    warns = True
    """Whether a build with flaws ends with a warning; off where the summary is reported in another way."""

    def __init__(
        self,
        source: RowSource,
        config_name: str,
        *,
        cache_dir: str | Path | None = None,
        phrase_filter: PhraseFilter | None = None,
        strict: bool = False,
        only_splits: tuple[str, ...] = (),
    ):
        if wrong := [split for split in source.splits if not SPLIT_NAME.fullmatch(split)]:
            raise ValueError(
                f"{source.where} has a split that is called {short_repr(wrong[0])}, but names of splits are letters, "
                "digits, _ and single dots. Rename it."
            )
        unknown = sorted(set(only_splits) - set(source.splits))
        if unknown:
            raise ValueError(f"There is no split {', '.join(unknown)}; there are {', '.join(source.splits)}.")
        phrase_filter = phrase_filter or PhraseFilter()
        options = digest(__version__, repr(source.features), repr(phrase_filter), str(strict), *only_splits)
        super().__init__(
            cache_dir=None if cache_dir is None else str(cache_dir),
            dataset_name=source.name,
            config_name=config_name,
            config_id=f"{config_name}-{options}",
            hash=source.fingerprint(),
            source=source,
            phrase_filter=phrase_filter,
            strict=strict,
            only_splits=tuple(only_splits),
        )

    @property
    def summary(self) -> BuildSummary:
        """What the build made, mended and left out.

        Raises:
            FileNotFoundError: nothing has been built yet.
        """
        path = Path(self._output_dir) / _SUMMARY
        if not path.exists():
            raise FileNotFoundError(f"{path} is not there: call download_and_prepare() first.")
        return BuildSummary.load(path)

    def nothing_left(self, splits: Sequence[str]) -> ValueError:
        """The error for splits that have no rows."""
        where = f"{', '.join(splits)} of {self.config.source.where}"
        return ValueError(f"Nothing is left of {where} to make rows of. {self.summary}")

    def _info(self) -> datasets.DatasetInfo:
        source = self.config.source
        return datasets.DatasetInfo(description=source.description, features=source.features)

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        # A streamed data set is never finished, so it leaves no summary behind.
        is_streamed = isinstance(dl_manager, datasets.StreamingDownloadManager)
        summary_dir = None if is_streamed else self._output_dir
        generators = []
        for split in self.config.only_splits or self.config.source.splits:
            with self._summarise(summary_dir, split, "files") as summary:
                shards = list(enumerate(self.config.source.shards(split, summary)))
            kwargs = {"split": split, "shards": shards, "summary_dir": summary_dir}
            generators.append(datasets.SplitGenerator(name=split, gen_kwargs=kwargs))
        return generators

    def _generate_examples(
        self, split: str, shards: list[tuple[int, Any]], summary_dir: str | None
    ) -> Iterator[tuple[str, dict]]:
        if not shards:
            return
        with self._summarise(summary_dir, split, f"rows.{shards[0][0]}") as summary:
            for number, shard in shards:
                for place, row in enumerate(self.config.source.rows(split, shard, summary)):
                    if "phrases" not in row or self._choose_phrases(row, summary):
                        summary.rows += 1
                        summary.phrases += len(row.get("phrases", [None]))
                        yield f"{number}_{place}", {name: _without_path(value) for name, value in row.items()}

    def _choose_phrases(self, row: dict, summary: BuildSummary) -> bool:
        """Take out of a row the phrases that are filtered; False where none is left."""
        kept = []
        for entry in row["phrases"]:
            reason = self.config.phrase_filter.reason(entry)
            if reason is None:
                kept.append(entry)
            else:
                summary.filtered[f"phrase {reason}"] += 1
        row["phrases"] = kept
        if not kept:
            summary.filtered["image has no phrase left"] += 1
        return bool(kept)

    @contextmanager
    def _summarise(self, directory: str | None, split: str, part: str) -> Iterator[BuildSummary]:
        """Count in one process; the parts are put together when the build is finished."""
        summary = BuildSummary(strict=self.config.strict)
        yield summary
        if directory is not None:
            summary.save(Path(directory) / _SUMMARY_PART.format(split=split, part=part))
        elif summary.flaws:
            logger.warning("%s, as far as it was streamed: %s", split, summary)

    def _download_and_prepare(self, dl_manager, verification_mode, **kwargs) -> None:
        for left_over in Path(self._output_dir).iterdir():  # by a build that was killed
            left_over.unlink() if left_over.is_file() else shutil.rmtree(left_over)
        super()._download_and_prepare(dl_manager, verification_mode, **kwargs)
        summary = BuildSummary()
        for part in sorted(Path(self._output_dir).glob(_SUMMARY_PART.format(split="*", part="*"))):
            summary.add(BuildSummary.load(part))
            part.unlink()
        summary.save(Path(self._output_dir) / _SUMMARY)
        self.info.description = f"{self.config.source.description}\n\n{summary}"
        logger.log(logging.WARNING if summary.flaws and self.warns else logging.INFO, "%s", summary)

    def _prepare_split_single(self, *args, **kwargs) -> Iterator:
        try:
            yield from super()._prepare_split_single(*args, **kwargs)
        except DatasetGenerationError as error:  # says no more than that something went wrong
            if error.__cause__ is None:
                raise
            raise error.__cause__ from None


def _without_path(value: Any) -> Any:
    """An image that has come as bytes has no file, though `datasets` would look for one of that name."""
    has_bytes = isinstance(value, dict) and value.get("bytes") is not None
    return {"bytes": value["bytes"], "path": None} if has_bytes else value


def load_rows(
    builder: RowBuilder, split: str | None = None, streaming: bool = False, num_proc: int | None = None
) -> "datasets.Dataset | datasets.DatasetDict | datasets.IterableDataset | datasets.IterableDatasetDict":
    """Build the rows, or take them from the cache, or stream them.

    Args:
        builder: What builds them.
        split: "train", "train+val", "train[:100]" ...; None for a dictionary of all that have rows.
        streaming: Read while iterating, without a cache.
        num_proc: How many processes build.

    Raises:
        ValueError: a split has no rows; says what was left out.
    """
    if streaming:
        return builder.as_streaming_dataset(split=split)
    builder.download_and_prepare(num_proc=num_proc)
    filled = [name for name, info in builder.info.splits.items() if info.num_examples]
    empty = [name for name in splits_named(split) or builder.info.splits if name not in filled]
    if empty and (split is not None or not filled):
        raise builder.nothing_left(empty)
    return builder.as_dataset(split=split or {name: name for name in filled})


def summary_of(splits: Mapping[str, datasets.Dataset]) -> BuildSummary | None:
    """What the builds that rows were read from left out; None where that is not known of all of them, as of rows that
    were changed since."""
    places = {Path(file["filename"]).parent / _SUMMARY for rows in splits.values() for file in rows.cache_files}
    if not places or not all(rows.cache_files for rows in splits.values()) or not all(p.is_file() for p in places):
        return None
    summary = BuildSummary()
    for place in sorted(places):
        summary.add(BuildSummary.load(place))
    return summary


def splits_named(split: str | None) -> tuple[str, ...]:
    """The names of the splits that an expression like "train[:100]+val" asks for."""
    return () if split is None else tuple(dict.fromkeys(re.findall(r"(?:^|\+)\s*([^\[+\s]+)", split)))
