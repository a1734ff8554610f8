"""PhraseCut and PhraseCut+ as data sets."""

import os
from collections.abc import Sequence
from pathlib import Path

import datasets

from clipseg_hf.data.phrasecut.phrasecut_files import PhraseCutFiles
from clipseg_hf.data.phrasecut.phrasecut_samples import PhraseCutSamples
from clipseg_hf.data.rows.row_builder import RowBuilder, RowConfig, load_rows, splits_named
from clipseg_hf.data.vocabulary.filters import PhraseFilter

_Place = str | os.PathLike


class PhraseCutPlus(RowBuilder):
    """Builds PhraseCut's official files into a data set.

    Two configurations: `images` has one row per image, with all its phrases (`rows.ROW_FEATURES`), for training, where
    supports, negatives and crops are drawn anew each time; `plus` is PhraseCut+ itself, one row per sample
    (`phrasecut_samples.SAMPLE_FEATURES`), drawn once from a seed, for evaluation, streaming and publishing.

    What is wrong with the files is left out and counted (`flaws.FLAWS` says which is treated how; `summary` has the
    counts); broken JSON stops the build, and so does any flaw with `strict`.

    Args:
        data_dir: Where `image_data_split3000.json`, `refer_<split>.json` and `images/` are: a directory, .zip or .tar.
        config_name: "images" or "plus".
        annotations_dir, images_dir: Where the annotations or images are, if not in `data_dir`; images may be in
            several places (Visual Genome's VG_100K and VG_100K_2).
        without_concepts, without_words, min_area: Phrases to leave out, see `filters.PhraseFilter`.
        strict: Stop at the first flaw.
        seed: Of the samples of `plus`.
        only_splits: Build no more than these; all where empty.
        cache_dir: The root of the cache; `datasets`' own by default.

    Raises:
        FileNotFoundError: the files are not there; says what was found and what was expected.
        ValueError: an option has a value that it cannot have, or a file is not valid JSON (says at which byte).
    """

    BUILDER_CONFIGS = [RowConfig(name="images"), RowConfig(name="plus")]  # noqa: RUF012 - as `datasets` has it

    def __init__(
        self,
        data_dir: _Place,
        config_name: str = "images",
        *,
        annotations_dir: _Place | None = None,
        images_dir: _Place | Sequence[_Place] | None = None,
        without_concepts: Sequence[str] = (),
        without_words: Sequence[str] = (),
        min_area: float = 0.0,
        strict: bool = False,
        seed: int = 0,
        only_splits: Sequence[str] = (),
        cache_dir: _Place | None = None,
    ):
        if config_name not in self.builder_configs:
            raise ValueError(f"config_name is one of {', '.join(self.builder_configs)}; got {config_name!r}.")
        cache_dir = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser()
        source = PhraseCutFiles(data_dir, annotations_dir, images_dir, unpack_dir=cache_dir / "clipseg_hf_unpacked")
        options = {
            "cache_dir": cache_dir,
            "phrase_filter": PhraseFilter(without_concepts, without_words, min_area),
            "strict": strict,
            "only_splits": tuple(only_splits),
        }
        if config_name == "plus":
            source = PhraseCutSamples(RowBuilder(source, "images", **options), seed)
        super().__init__(source, config_name, **options)


def load_phrasecut_plus(
    data_dir: _Place,
    split: str | None = None,
    streaming: bool = False,
    num_proc: int | None = None,
    *,
    config_name: str = "images",
    **options,
) -> datasets.Dataset | datasets.DatasetDict | datasets.IterableDataset | datasets.IterableDatasetDict:
    """Load PhraseCut or PhraseCut+ from its official files.

        rows = load_phrasecut_plus("VGPhraseCut_v0", split="train", without_concepts=("unseen-4",), num_proc=4)

    Only the splits that are asked for are built.

    Args:
        data_dir: See `PhraseCutPlus`.
        split: "train", "val", "test", "miniv", or what `datasets` takes ("train+val", "train[:100]"); None for all.
        streaming: Make the rows while iterating, without a cache. (`plus` builds the images' rows first: it has to
            know which phrases they share.)
        num_proc: How many processes build.
        config_name: "images" or "plus".
        options: The others of `PhraseCutPlus`.
    """
    builder = PhraseCutPlus(data_dir, config_name, only_splits=splits_named(split), **options)
    if config_name == "plus":
        builder.config.source.images.download_and_prepare(num_proc=num_proc)
    return load_rows(builder, split, streaming, num_proc)
