"""Recognises a data set's layout and loads it."""

import inspect
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets

from clipseg_hf.data.phrasecut.phrasecut_files import PhraseCutFiles
from clipseg_hf.data.rows.row_builder import RowBuilder, load_rows, splits_named
from clipseg_hf.data.rows.row_source import RowSource, shorten
from clipseg_hf.data.sources.annotation_tools.cvat_masks import CvatMaskFiles, is_cvat_masks
from clipseg_hf.data.sources.annotation_tools.cvat_xml import CvatXmlFiles, is_cvat_xml
from clipseg_hf.data.sources.annotation_tools.fiftyone import FiftyOneFiles, is_fiftyone
from clipseg_hf.data.sources.annotation_tools.label_studio import LabelStudioFiles, is_label_studio
from clipseg_hf.data.sources.annotation_tools.labelme import LabelMeFiles, is_labelme
from clipseg_hf.data.sources.annotation_tools.yolo import YoloFiles, is_yolo
from clipseg_hf.data.sources.binary_masks import BinaryMaskFiles
from clipseg_hf.data.sources.coco import CocoFiles, is_coco
from clipseg_hf.data.sources.columns import ColumnData, is_saved_dataset
from clipseg_hf.data.sources.index_masks import IndexMaskFiles
from clipseg_hf.data.sources.metadata import METADATA_FILES, MetadataFiles
from clipseg_hf.data.sources.referring.reasonseg import ReasonSegFiles, is_reasonseg
from clipseg_hf.data.sources.referring.refcoco import RefCocoFiles, is_refcoco
from clipseg_hf.data.sources.splits import split_of_folder
from clipseg_hf.data.sources.voc import VocFiles, find_voc
from clipseg_hf.data.vocabulary.filters import PhraseFilter

KINDS: dict[str, type[RowSource]] = {
    "phrasecut": PhraseCutFiles,
    "coco": CocoFiles,
    "voc": VocFiles,
    "imagefolder": MetadataFiles,
    "index_masks": IndexMaskFiles,
    "binary_masks": BinaryMaskFiles,
    "yolo": YoloFiles,
    "labelme": LabelMeFiles,
    "label_studio": LabelStudioFiles,
    "cvat_masks": CvatMaskFiles,
    "cvat_xml": CvatXmlFiles,
    "fiftyone": FiftyOneFiles,
    "refcoco": RefCocoFiles,
    "reasonseg": ReasonSegFiles,
    "columns": ColumnData,
}
"""The layouts that are known, and what reads each."""

_EXPECTED = {
    "phrasecut": "image_data_split3000.json, refer_<split>.json and images/ (or a .zip or .tar of them), from "
    "https://github.com/ChenyunWu/PhraseCutDataset",
    "coco": "a JSON file in COCO's format (annotations/instances_<split>.json) and images",
    "voc": "VOCdevkit/VOC2012, from http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
    "imagefolder": "metadata.jsonl with file_name, phrase and mask_file_name",
    "index_masks": "images/<name>.jpg, masks/<name>.png and classes.txt",
    "binary_masks": "images/<name>.jpg and masks/<phrase>/<name>.png",
    "yolo": "data.yaml with names, images/<name>.jpg and labels/<name>.txt",
    "labelme": "<name>.json of LabelMe beside <name>.jpg",
    "label_studio": "Label Studio's export as JSON and its images",
    "cvat_masks": "CVAT's labelmap.txt, SegmentationClass/<name>.png and JPEGImages/<name>.jpg",
    "cvat_xml": "CVAT's annotations.xml and images",
    "fiftyone": "samples.json of FiftyOne's export and data/<name>.jpg",
    "refcoco": "refs(unc).json (not .p), instances.json and COCO's images, of RefCOCO, RefCOCO+ or RefCOCOg",
    "reasonseg": "<name>.json with text and shapes beside <name>.jpg",
    "columns": "a data set saved by save_to_disk, Parquet files, or its name on the Hub, owner/name",
}

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w-]*/[A-Za-z0-9][\w-]*")


def load_segmentation_dataset(
    path_or_name: str | os.PathLike | datasets.Dataset | datasets.DatasetDict,
    split: str | None = None,
    *,
    kind: str | None = None,
    streaming: bool = False,
    num_proc: int | None = None,
    without_concepts: Sequence[str] = (),
    without_words: Sequence[str] = (),
    min_area: float = 0.0,
    strict: bool = False,
    cache_dir: str | os.PathLike | None = None,
    **options,
) -> datasets.Dataset | datasets.DatasetDict | datasets.IterableDataset | datasets.IterableDatasetDict:
    """Load images with phrases and masks from files of many layouts, or from a data set of the Hub.

        rows = load_segmentation_dataset("my_pictures", split="train")

    Args:
        path_or_name: A folder or file, a name on the Hub, or a data set.
        split: "train", "val", "test", "train[:100]" ...; None for all.
        kind: The layout, one of `KINDS`, where it should not be recognised.
        streaming: Make the rows while iterating, without a cache.
        num_proc: How many processes build.
        without_concepts, without_words, min_area: Phrases to leave out, see `filters.PhraseFilter`.
        strict: Stop at the first flaw of the files, instead of leaving out and counting.
        cache_dir: The root of the cache; `datasets`' own by default.
        options: What the kind's reader takes: `images`, `masks`, `classes`, `ignore_index`, `phrase_column` ...

    Returns:
        Rows with `rows.ROW_FEATURES`.

    Raises:
        FileNotFoundError: the layout is not known; lists what was found and what would be.
        TypeError: an option is not one of the kind.
        ValueError: there is no such kind or split, or an option has a value that it cannot have.
    """
    builder = open_segmentation_data(
        path_or_name,
        kind=kind,
        only_splits=splits_named(split),
        without_concepts=without_concepts,
        without_words=without_words,
        min_area=min_area,
        strict=strict,
        cache_dir=cache_dir,
        **options,
    )
    return load_rows(builder, split, streaming, num_proc)


def open_segmentation_data(
    path_or_name: str | os.PathLike | datasets.Dataset | datasets.DatasetDict,
    *,
    kind: str | None = None,
    only_splits: Sequence[str] = (),
    without_concepts: Sequence[str] = (),
    without_words: Sequence[str] = (),
    min_area: float = 0.0,
    strict: bool = False,
    cache_dir: str | os.PathLike | None = None,
    **options,
) -> RowBuilder:
    """The builder of what `load_segmentation_dataset` loads; its `summary` says what was left out."""
    kind = recognise(path_or_name) if kind is None else kind
    if kind not in KINDS:
        raise ValueError(f"kind is one of {', '.join(KINDS)}; got {kind!r}.")
    cache_dir = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser()
    options["unpack_dir"] = cache_dir / "clipseg_hf_unpacked"
    if kind == "columns":
        options["only_splits"] = only_splits
    return RowBuilder(
        _make_source(kind, path_or_name, options),
        kind,
        phrase_filter=PhraseFilter(without_concepts, without_words, min_area),
        strict=strict,
        only_splits=tuple(only_splits),
        cache_dir=cache_dir,
    )


def recognise(path_or_name: str | os.PathLike | datasets.Dataset | datasets.DatasetDict) -> str:
    """Which of `KINDS` a data set is.

    What is neither a file nor a folder is taken for a name on the Hub where it reads `owner/name` and there is no
    folder `owner`; any other name, with kind="columns" alone.

    Raises:
        FileNotFoundError: none; lists what was found and what is known.
    """
    if isinstance(path_or_name, (datasets.Dataset, datasets.DatasetDict)):
        return "columns"
    path = Path(path_or_name).expanduser()
    if path.is_file():
        return _recognise_file(path)
    if not path.is_dir():
        if isinstance(path_or_name, str) and is_hub_name(path_or_name):
            return "columns"
        raise FileNotFoundError(f"{path} does not exist. Expected one of\n{_expected()}")
    names = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
    for kind, is_it in _SIGNS.items():
        if is_it(path):
            return kind
    if next(path.rglob("*.parquet"), None):
        return "columns"
    raise FileNotFoundError(
        f"{path} has no layout that is known. Found: {shorten(names)}. Expected one of\n{_expected()}\n"
        "If it is one of these with other names, say which with kind=, and the names with its options."
    )


def is_hub_name(name: str) -> bool:
    """Whether a name reads `owner/name` and there is no folder `owner`."""
    return bool(_HUB_NAME.fullmatch(name)) and not Path(name).expanduser().parent.exists()


def _recognise_file(path: Path) -> str:
    if path.suffix == ".json":
        return "label_studio" if is_label_studio(path) else "coco"
    return {".yaml": "yolo", ".yml": "yolo", ".xml": "cvat_xml", ".parquet": "columns"}.get(path.suffix, "phrasecut")


def _expected() -> str:
    return "\n".join(f"  {kind}: {layout}" for kind, layout in _EXPECTED.items())


def _is_phrasecut(path: Path) -> bool:
    return any(path.glob("refer_*.json")) or any(path.glob("*/refer_*.json"))


def _is_imagefolder(path: Path) -> bool:
    return any(any(path.glob(name)) or any(path.glob(f"*/{name}")) for name in METADATA_FILES)


def _is_coco(path: Path) -> bool:
    return any(is_coco(file) for pattern in ("*.json", "*/*.json") for file in path.glob(pattern) if file.is_file())


def _has_masks(path: Path) -> bool:
    return (path / "images").is_dir() and (path / "masks").is_dir()


def _is_binary_masks(path: Path) -> bool:
    """Whether the folders in masks/ are phrases: none of them is in images/, nor called like a split."""
    if not _has_masks(path):
        return False
    folders = {entry.name for entry in (path / "masks").iterdir() if entry.is_dir()}
    if folders and all(split_of_folder(folder) for folder in folders):
        folders = {entry.name for folder in folders for entry in (path / "masks" / folder).iterdir() if entry.is_dir()}
        images = {entry.name for entry in (path / "images").glob("*/*") if entry.is_dir()}
    else:
        images = {entry.name for entry in (path / "images").iterdir() if entry.is_dir()}
    return bool(folders - images)


def _is_label_studio(path: Path) -> bool:
    return any(is_label_studio(file) for file in sorted(path.glob("*.json"))[:5])


_SIGNS = {
    "cvat_masks": is_cvat_masks,  # before VOC, whose folders it has
    "voc": lambda path: find_voc(path) is not None,
    "phrasecut": _is_phrasecut,
    "columns": is_saved_dataset,
    "refcoco": is_refcoco,
    "fiftyone": is_fiftyone,
    "imagefolder": _is_imagefolder,
    "yolo": is_yolo,
    "label_studio": _is_label_studio,
    "reasonseg": is_reasonseg,
    "labelme": is_labelme,
    "cvat_xml": is_cvat_xml,
    "binary_masks": _is_binary_masks,
    "index_masks": _has_masks,
    "coco": _is_coco,
}


def _make_source(kind: str, data: Any, options: dict[str, Any]) -> RowSource:
    reader = KINDS[kind]
    known = list(inspect.signature(reader).parameters)[1:]  # without the data itself
    unknown = [option for option in options if option not in known]
    if unknown:
        known = [option for option in known if option not in ("unpack_dir", "only_splits")]
        raise TypeError(f"{kind} data has no option {', '.join(unknown)}; it has {', '.join(known)}.")
    source = reader(data, **options)
    if isinstance(data, (str, os.PathLike)):
        source.where = str(data)
    return source
