"""The data of a benchmark, found in a folder: what it is, which split, which classes were never trained on."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from clipseg_hf.data.emoji_world.emoji_files import RECORD_FILE
from clipseg_hf.data.emoji_world.emoji_glyphs import load_concepts
from clipseg_hf.data.rows.rows import only_columns, take
from clipseg_hf.data.sources.loading import load_segmentation_dataset, open_segmentation_data, recognise
from clipseg_hf.data.vocabulary.phrases import concept_key
from clipseg_hf.evaluation.benchmarks.label_maps import bare_name
from clipseg_hf.evaluation.benchmarks.subsets import ConceptSubsets, PhraseCutSubsets

SPLIT_ORDER = ("test", "val", "validation", "miniv", "train")  # the first that is there
_VOC = "Pascal VOC 2012 (VOCdevkit/VOC2012), at http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"
_LVIS = "LVIS v1 (lvis_v1_val.json and COCO 2017's images), at https://www.lvisdataset.org"
WHERE_TO_GET = {
    "referring": "PhraseCut (image_data_split3000.json, refer_test.json, images/), at "
    "https://github.com/ChenyunWu/PhraseCutDataset; `clipseg-hf scenes` draws an emoji world in the same layout.",
    "zero-shot": f"{_VOC}.",
    "one-shot": f"for Pascal-5i {_VOC}; for COCO-20i COCO 2014 (annotations/instances_val2014.json, val2014/), at "
    "https://cocodataset.org.",
    "generalized": f"{_LVIS}.",
    "visual-prompts": f"{_LVIS}.",
}


def is_emoji_world(data) -> bool:
    """Whether data is a folder that `write_scenes` filled."""
    return isinstance(data, (str, Path)) and (Path(data) / RECORD_FILE).is_file()


def is_kind(data, kind: str) -> bool:
    """Whether data is a folder of a layout of `clipseg_hf.data.sources.KINDS`."""
    return isinstance(data, (str, Path)) and recognise(data) == kind


def load_rows(data, benchmark: str, split: str | None = None, limit: int | None = None, **reader):
    """The rows of a split.

    Args:
        data: a folder, a name on the Hub, or rows.
        benchmark: which asks; for the error.
        split: left out, "test" where there is one, else "val", else what there is.
        limit: at most so many rows, evenly spread.
        reader: for `load_segmentation_dataset`.

    Raises:
        FileNotFoundError: the data is not there; says what was expected and where to get it.
        ValueError: a split of rows, or options for a reader of them; a limit below 1.
    """
    rows = data
    if isinstance(data, (str, Path)):
        try:
            splits = open_segmentation_data(data, **reader).config.source.splits
            split = split or next((name for name in SPLIT_ORDER if name in splits), splits[0])
            rows = load_segmentation_dataset(data, split, **reader)
        except FileNotFoundError as error:
            raise _with_where_to_get(error, benchmark) from error
    elif split is not None or reader:
        given = ", ".join([*["split"] * (split is not None), *reader])
        raise ValueError(
            f"The data is rows that were read already, so that {given} would change nothing: leave it out."
        )
    if limit is None or limit >= len(rows):
        return rows
    if limit < 1:
        raise ValueError(f"limit is at least 1 row, got {limit}.")
    return take(rows, [n * len(rows) // limit for n in range(limit)])


def require_data(data, benchmark: str) -> None:
    """A first look at the data of a benchmark, for those who have a model to load first.

    Raises:
        FileNotFoundError: as `load_rows`.
    """
    if isinstance(data, (str, Path)) and not Path(data).expanduser().exists():
        try:
            recognise(data)  # it may be a name on the Hub
        except FileNotFoundError as error:
            raise _with_where_to_get(error, benchmark) from error


def subsets_for(data):
    """What to tell apart in data: seen and unseen emoji, PhraseCut's own subsets, nothing else."""
    if is_emoji_world(data):
        return ConceptSubsets({"unseen": unseen_emoji()}, rest="seen")
    if not is_kind(data, "phrasecut"):
        return None
    counts = next(iter(sorted(Path(data).glob("**/name_att_rel_count.json"))), None) if Path(data).is_dir() else None
    return PhraseCutSubsets() if counts is None else PhraseCutSubsets.from_counts(counts)


def unseen_emoji() -> list[str]:
    """Names of the emoji that no training phrase names, in the order of the list."""
    return [concept.name for concept in load_concepts() if not concept.seen]


def bare_names(rows) -> list[str]:
    """Different bare names of the rows' phrases, in order of their first occurrence."""
    names: dict[str, str] = {}
    for entries in _phrases(rows):
        for entry in entries:
            if bare_name(entry):
                names.setdefault(bare_name(entry), entry["name"])
    return list(names.values())


def frequent_names(rows, names: Sequence[str], count: int) -> list[str]:
    """Those `count` of the names that most rows show, most frequent first; ties in the order given."""
    found = Counter(key for entries in _phrases(rows) for key in {bare_name(entry) for entry in entries})
    shown = [name for name in names if found[concept_key(name)]]
    return sorted(shown, key=lambda name: -found[concept_key(name)])[:count]


def rows_showing(rows, names: Sequence[str]):
    """The rows that show one of the names."""
    keys = {concept_key(name) for name in names}
    chosen = [n for n, entries in enumerate(_phrases(rows)) if any(bare_name(entry) in keys for entry in entries)]
    return take(rows, chosen)


def _with_where_to_get(error: FileNotFoundError, benchmark: str) -> FileNotFoundError:
    return FileNotFoundError(f"{error}\nThe benchmark {benchmark!r} is run on {WHERE_TO_GET[benchmark]}")


def _phrases(rows) -> Iterator[list[dict]]:
    """Each row's phrases, without a look at its image."""
    words = only_columns(rows, "phrases")
    return (words[n]["phrases"] for n in range(len(rows)))
