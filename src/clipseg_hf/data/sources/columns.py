"""A data set of the Hub, of a disk or in memory, with columns that its user names."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import datasets

from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.frames import Frame
from clipseg_hf.data.rows.pictures import number_pictures
from clipseg_hf.data.rows.row_images import undecoded
from clipseg_hf.data.rows.row_source import RowSource, check_image, in_shards
from clipseg_hf.data.rows.rows import ROW_FEATURES, make_phrase, make_row
from clipseg_hf.data.sources.annotation_tools.shapes import Shape, make_phrases
from clipseg_hf.data.sources.classes import LEFT_OUT, clean_name, make_class_table
from clipseg_hf.data.sources.coco_annotations import read_segmentation
from clipseg_hf.data.sources.mask_files import check_binary_mask, check_map

Data = datasets.Dataset | datasets.DatasetDict | str | os.PathLike


class ColumnData(RowSource):
    """A data set of which some columns are images, masks and phrases.

    Either each of its rows is an image with a binary mask and a phrase (or equally many of both, in lists), or, with
    `classes`, an image with an index mask, or, with `objects_column`, an image with objects, which have a category and
    a segmentation as COCO's annotations. Rows with the same picture are made into one.

    Args:
        data: A `datasets.Dataset` or `DatasetDict`, a folder where one was saved, a Parquet file or a folder of
            them, or a name on the Hub.
        image_column, mask_column: The columns of images and masks.
        phrase_column: The column of phrases.
        objects_column: The column of objects: a list of them, or a list for each of their fields.
        category_field, segmentation_field: Their fields. A category is a text, a `ClassLabel`, or a number that
            `classes` names.
        classes: What the values of index masks mean, see `classes.make_class_table`.
        ignore_index, ignore_color, leave_out: See `index_masks.IndexMaskFiles`.
        only_splits: Load no more than these; all where empty.
        load_options: Further arguments of `datasets.load_dataset` (`name`, `revision`, ...).
        unpack_dir: Not used: there are no files.

    Raises:
        ValueError: a column is not there; says which there are.
    """

    name = "columns"
    description = "Rows of a data set with other columns."

    def __init__(
        self,
        data: Data,
        *,
        image_column: str = "image",
        mask_column: str = "mask",
        phrase_column: str | None = None,
        objects_column: str | None = None,
        category_field: str = "category",
        segmentation_field: str = "segmentation",
        classes: Sequence[str] | Mapping | str | None = None,
        ignore_index: int | Sequence[int] | None = None,
        ignore_color: Sequence[int] | None = None,
        leave_out: Sequence[str] = LEFT_OUT,
        only_splits: Sequence[str] = (),
        load_options: Mapping[str, Any] | None = None,
        unpack_dir: str | os.PathLike | None = None,
    ):
        self._data = {
            split: undecoded(rows) for split, rows in load_data(data, only_splits, load_options or {}).items()
        }
        self.columns = (image_column, mask_column, phrase_column)
        self.table = None if classes is None else make_class_table(classes, ignore_index, ignore_color, leave_out)
        there = next(iter(self._data.values())).column_names
        self.objects = None if objects_column is None else (objects_column, category_field, segmentation_field)
        chosen = (phrase_column, classes, objects_column)
        self._has_rows = set(ROW_FEATURES) <= set(there) and chosen == (None, None, None)
        if not self._has_rows:
            self._check_columns(there)

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self._data)

    def fingerprint(self) -> str:
        data = [f"{split} {rows._fingerprint}" for split, rows in self._data.items()]
        return digest(self.name, repr(self.columns), repr(self.objects), repr(self.table), *data)

    def shards(self, split: str, summary: BuildSummary) -> list[list[list[int]]]:
        """The numbers of rows, those with one picture together."""
        rows = self._data[split]
        pictures = range(len(rows)) if self._has_rows else number_pictures(rows, self.columns[0]).tolist()
        groups: dict[int, list[int]] = {}
        for number, picture in enumerate(pictures):
            groups.setdefault(picture, []).append(number)
        return in_shards(list(groups.values()))

    def rows(self, split: str, shard: list[list[int]], summary: BuildSummary) -> Iterator[dict]:
        rows = self._data[split]
        for numbers in shard:
            if not self._has_rows:
                made = [self._make_row(rows[number], f"{split}-{number}", summary) for number in numbers]
                made = [row for row in made if row is not None]
                if made:
                    yield {**made[0], "phrases": [entry for row in made for entry in row["phrases"]]}
                continue
            [number] = numbers
            row = {name: rows[number][name] for name in ROW_FEATURES}
            if row["phrases"]:
                yield row
            else:
                summary.note("no_annotation", f"row {split}-{number}")

    def _make_row(self, values: dict, image_id: str, summary: BuildSummary) -> dict | None:
        image_column, mask_column, phrase_column = self.columns
        where = f"row {image_id}"
        image = values[image_column]
        if image is None:
            summary.note("missing_image", where)
            return None
        frame = check_image(image, where, summary)
        if frame is None:
            return None
        if self.objects is not None:
            things = _listed(values[self.objects[0]])
            if not things:
                summary.note("no_annotation", where)
                return None
            return make_row(image, image_id, frame.size, self._read_objects(things, image_id, where, frame, summary))
        masks = values[mask_column] if isinstance(values[mask_column], list) else [values[mask_column]]
        if not masks:
            summary.note("no_annotation", where)
            return None
        if None in masks:
            summary.note("missing_mask", where)
            return None
        if self.table is not None:
            noted = summary.flaws.total()
            phrases = self._read_index_masks(masks, image_id, where, frame, summary)
            if not phrases and summary.flaws.total() == noted:
                summary.note("no_annotation", f"{where} (nothing but what is left out)")
                return None
        else:
            texts = values[phrase_column] if isinstance(values[phrase_column], list) else [values[phrase_column]]
            phrases = _read_binary_masks(masks, texts, image_id, where, frame, summary)
        return make_row(image, image_id, frame.size, phrases)

    def _read_index_masks(
        self, masks: list, image_id: str, where: str, frame: Frame, summary: BuildSummary
    ) -> list[dict]:
        phrases = []
        for coded in masks:
            if (mask := check_map(coded, where, "image", frame, summary, self.table.colors)) is not None:
                phrases += self.table.phrases(mask, image_id, where, summary) or []
        return phrases

    def _read_objects(
        self, things: list[dict], image_id: str, where: str, frame: Frame, summary: BuildSummary
    ) -> list[dict]:
        _, category_field, segmentation_field = self.objects
        shapes = []
        for number, thing in enumerate(things):
            place = f"object {number} of {where}"
            label = self._categories.get(thing.get(category_field), thing.get(category_field))
            if not isinstance(label, str):
                summary.note("malformed_entry", f"{place} ({category_field} is {label}, which has no name)")
            elif mask := read_segmentation(thing.get(segmentation_field), *frame.size, place, summary):
                shapes.append(Shape(clean_name(label), mask))
        return make_phrases(shapes, image_id, where, frame.size, summary)

    @cached_property
    def _categories(self) -> Mapping[int, str]:
        """The names of numbers: the `classes` that were given, else those of the column."""
        if self.table is not None:
            return self.table.names
        column, category_field, _ = self.objects
        feature = next(iter(self._data.values())).features[column]
        fields = getattr(feature, "feature", feature)  # of a list of objects, or a list for each field
        feature = fields.get(category_field) if isinstance(fields, Mapping) else None
        feature = getattr(feature, "feature", feature)
        return dict(enumerate(feature.names)) if isinstance(feature, datasets.ClassLabel) else {}

    def _check_columns(self, there: list[str]) -> None:
        image_column, mask_column, phrase_column = self.columns
        if self.objects is not None:
            wanted = {"image_column": image_column, "objects_column": self.objects[0]}
        else:
            wanted = {"image_column": image_column, "mask_column": mask_column, "phrase_column": phrase_column}
        missing = {option: column for option, column in wanted.items() if column is not None and column not in there}
        if missing:
            wrong = ", ".join(f"{option}={column!r}" for option, column in missing.items())
            raise ValueError(f"There is no column for {wrong}. The data set has: {', '.join(there)}.")
        if phrase_column is None and self.table is None and self.objects is None:
            raise ValueError(
                "What do the masks show? Name the column of phrases with phrase_column=, the classes of index masks "
                "with classes=[...], or the column of objects with objects_column=. "
                f"The data set has: {', '.join(there)}."
            )


def load_data(
    data: Data, only_splits: Sequence[str] = (), load_options: Mapping[str, Any] | None = None
) -> dict[str, datasets.Dataset]:
    """The splits of a data set, of a folder where one was saved, of a Parquet file, or of one on the Hub."""
    if isinstance(data, (str, os.PathLike)):
        path, options = str(data), dict(load_options or {})
        if path.endswith(".parquet"):
            path, options["data_files"] = "parquet", path
        if is_saved_dataset(path):
            data = datasets.load_from_disk(path)
        elif only_splits:
            return {split: datasets.load_dataset(path, split=split, **options) for split in only_splits}
        else:
            data = datasets.load_dataset(path, **options)
    if isinstance(data, datasets.Dataset):
        data = {str(data.split or "train"): data}
    return dict(data)


def is_saved_dataset(path: str | os.PathLike) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return any(os.path.isfile(os.path.join(path, name)) for name in ("state.json", "dataset_dict.json"))


def _listed(objects: list[dict] | Mapping[str, list] | None) -> list[dict]:
    """Objects as a list of them, where they may be a list for each field."""
    if isinstance(objects, Mapping):
        return [dict(zip(objects, one, strict=True)) for one in zip(*objects.values(), strict=False)]
    return list(objects or ())


def _read_binary_masks(
    masks: list, texts: list, image_id: str, where: str, frame: Frame, summary: BuildSummary
) -> list[dict]:
    if len(masks) != len(texts):
        summary.note("malformed_entry", f"{where} ({len(masks)} masks, {len(texts)} phrases)")
        return []
    phrases = []
    for number, (coded, text) in enumerate(zip(masks, texts, strict=True)):
        phrase = " ".join(str(text or "").split())
        if not phrase:
            summary.note("empty_phrase", where)
            continue
        mask = check_binary_mask(coded, f"mask {number} of {where}", "image", frame, summary)
        if mask is not None:
            phrases.append(make_phrase(phrase, mask, phrase_id=f"{image_id}__{number}"))
    return phrases
