"""Which value of an index mask means what."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from clipseg_hf._text_files import parse_json, read_text, short_repr
from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.rows import make_phrase
from clipseg_hf.processing.masks.rle import encode_rle

CLASS_FILES = ("classes.json", "classes.txt", "class_names.txt", "labels.json", "labels.txt", "label_colors.txt")
CLASS_FILES += ("labelmap.txt", "class_dict.csv", "id2label.json")

LEFT_OUT = ("background", "void", "unlabeled", "unlabelled", "ignore", "ignored", "other")
"""Names of classes that are nothing to ask for."""

NOT_COUNTED = ("void", "ignore", "ignored")
"""Those of them that say of a pixel that it does not count: it is not even background."""

_COLOR_FIRST = re.compile(r"(\d{1,9})[\s,]+(\d{1,9})[\s,]+(\d{1,9})[\s,]+(\D.*)")  # CamVid: "64 128 64  Animal"
_COLOR_LAST = re.compile(r"([^:]+):\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*(\d{1,9}).*")  # CVAT: "animal:64,128,64::"
_COLOR_BEHIND = re.compile(
    r"(.*[^\d\s,;])[\s,;]+(\d{1,9})[\s,;]+(\d{1,9})[\s,;]+(\d{1,9})"
)  # "animal 64 128 64", "animal,64,128,64"
_HEADER = re.compile(r"\W*\w*(name|label|class)\w*\W+r(ed)?\W+g(reen)?\W+b(lue)?\W*", re.IGNORECASE)
_LONGEST_LINE = 1000  # so that no pattern takes long
_INDEX = re.compile(r"(\d{1,9})[\s:,]+(\D.*)")  # "7: road"


@dataclass(frozen=True)
class ClassTable:
    """What the values of an index mask mean.

    Attributes:
        names: By value (or `color_value`), the class.
        ignored: Values that mean "not labelled": their pixels belong to no phrase, and count for none.
        left_out: Names of classes that are not made into phrases.
        colored: The classes are told by colours.
    """

    names: Mapping[int, str]
    ignored: frozenset[int] = frozenset()
    left_out: Sequence[str] = LEFT_OUT
    colored: bool = False

    @property
    def colors(self) -> Literal["kept", "shown"]:
        """How `load_map` is to read its masks."""
        return "shown" if self.colored else "kept"

    def phrases(self, mask: np.ndarray, image_id: str, where: str, summary: BuildSummary) -> list[dict] | None:
        """Make an entry of a row's `phrases` for each class that a mask shows; None, and a note in the summary, where
        it holds a value that is no class.

        Args:
            mask: (height, width) integers or (height, width, 3) colours, see `load_map`.
            image_id: The row's, from which the phrases' ids are made.
            where: How a user would look for the mask.
        """
        in_color = mask.ndim == 3
        if in_color and not self.colored and (mask == mask[..., :1]).all():  # indices that were saved as a grey RGB
            mask, in_color = mask[..., 0], False
        if in_color:
            mask = color_value(np.moveaxis(mask.astype(np.int32), -1, 0))
        names = self.names if in_color == self.colored else {}
        values, counts = np.unique(mask, return_counts=True)
        unknown = {
            value: count
            for value, count in zip(values.tolist(), counts.tolist(), strict=True)
            if value not in names and value not in self.ignored
        }
        if unknown:
            summary.note("unknown_label", f"{where}: {_describe(unknown, in_color)}")
            return None
        called = {value: names.get(value, "").casefold() for value in values.tolist()}
        left_out = {value for value, name in called.items() if value in self.ignored or name in self.left_out}
        uncounted = [value for value in left_out if value in self.ignored or called[value] in NOT_COUNTED]
        ignore = encode_rle(np.isin(mask, uncounted)) if uncounted else None
        return [
            make_phrase(names[value], encode_rle(mask == value), phrase_id=f"{image_id}__{value}", ignore=ignore)
            for value in called
            if value not in left_out
        ]


def make_class_table(
    classes: Sequence[str] | Mapping | str | Path,
    ignore_index: int | Sequence[int] | None = None,
    ignore_color: Sequence[int] | None = None,
    left_out: Sequence[str] = LEFT_OUT,
) -> ClassTable:
    """Make the table of a data set's classes.

    Args:
        classes: The names in order of their index; or {index: name}, {name: index}, {name: (r, g, b)}; or a file that
            holds one of these: JSON, or text with a name per line ("road", "7: road", "128 64 128 road", or the
            colour last).
        ignore_index: The value or values of pixels that are not labelled, and do not count.
        ignore_color: The colour of such pixels.
        left_out: Classes that are not made into phrases.

    Raises:
        ValueError: the classes are none of these.
    """
    source = ""
    if isinstance(classes, (str, Path)):
        source, classes = f"{classes}: ", _read_classes(Path(classes))
    if isinstance(classes, Mapping):
        pairs = [(name, value) if _is_value(value) else (value, name) for name, value in classes.items()]
    elif isinstance(classes, Iterable):
        pairs = [(name, value) for value, name in enumerate(classes)]
    else:
        pairs = [(classes, None)]
    wrong = [pair for pair in pairs if not isinstance(pair[0], str) or not _is_value(pair[1])]
    if wrong or not pairs:
        found = f"{short_repr(wrong[0][0])} with {short_repr(wrong[0][1])}" if wrong else "none"
        raise ValueError(
            f"{source}classes are names in order, {{index: name}}, {{name: index}} or {{name: (r, g, b)}}; got {found}."
        )
    ignored = [] if ignore_index is None else [ignore_index] if isinstance(ignore_index, int) else list(ignore_index)
    if ignore_color is not None:
        ignored.append(color_value(map(int, ignore_color)))
    names = {_value(value): clean_name(name) for name, value in pairs}
    colored = any(not isinstance(value, (int, str)) for _, value in pairs)
    return ClassTable(names, frozenset(ignored), tuple(left_out), colored)


def color_value(color):
    """The number that stands for a colour: three numbers, or three arrays."""
    red, green, blue = color
    return (red << 16) | (green << 8) | blue


def clean_name(name: str) -> str:
    """A class's name as one would say it: "dining_table" -> "dining table", LVIS' "bow_(weapon)" -> "bow"."""
    return " ".join(re.sub(r"\([^()]*\)", " ", name).replace("_", " ").split())


def _read_classes(path: Path):
    text = read_text(path)
    if path.suffix == ".json":
        return parse_json(text, path)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if (longest := max(map(len, lines), default=0)) > _LONGEST_LINE:
        raise ValueError(f"{path} has a line of {longest:,} characters, expected one class on each.")
    if lines and _HEADER.fullmatch(lines[0]):
        del lines[0]
    for pattern in (_COLOR_FIRST, _COLOR_LAST, _COLOR_BEHIND, _INDEX):
        is_name_first = pattern in (_COLOR_LAST, _COLOR_BEHIND)
        matches = [pattern.fullmatch(line) for line in lines]
        if any(matches) and not all(matches) and pattern is not _INDEX:
            raise ValueError(
                f"{path}: {lines[matches.index(None)]!r} has no colour where others have one; give each class one, as "
                f"{lines[[*map(bool, matches)].index(True)]!r} does, or none."
            )
        if lines and all(matches):
            groups = [m.groups() for m in matches]
            split = [(g[0], g[1:]) if is_name_first else (g[-1], g[:-1]) for g in groups]
            return {name: [int(v) for v in value] if len(value) > 1 else int(value[0]) for name, value in split}
    return lines


def _describe(unknown: Mapping[int, int], in_color: bool) -> str:
    """Values that are no classes, with the number of their pixels."""
    said = {value: f"{value >> 16}, {value >> 8 & 255}, {value & 255}" if in_color else value for value in unknown}
    texts = [f"{said[value]} ({count} pixels)" for value, count in unknown.items()]
    more = f" and {len(texts) - 5} more" if len(texts) > 5 else ""
    if not in_color:
        return f"value {', '.join(texts[:5])}{more}"
    line = next(iter(said.values())).replace(",", "")
    return f'colour {"; ".join(texts[:5])}{more}; a line "{line} NAME" for each in classes.txt names them'


def _is_value(value) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) == 3 and all(isinstance(part, int) for part in value)
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, str) and value.isdecimal() and len(value) < 10
    )


def _value(value) -> int:
    return color_value(map(int, value)) if isinstance(value, (list, tuple)) else int(value)
