"""A look at a data set before anything is trained on it: what `clipseg-hf inspect` prints and draws."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import datasets
import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from clipseg_hf._counted import counted
from clipseg_hf.data.inspection_sheet import Tile, draw_sheet
from clipseg_hf.data.rows.flaws import EXAMPLES_KEPT, BuildSummary
from clipseg_hf.data.rows.row_builder import splits_named
from clipseg_hf.data.rows.row_images import decode_image, undecoded
from clipseg_hf.data.rows.rows import only_columns
from clipseg_hf.data.sampling.phrase_index import PhraseIndex
from clipseg_hf.data.sources.loading import open_segmentation_data

_THUMB = (64, 64)  # a JPEG is decoded whole at an eighth of its size much faster, and is seen to be broken all the same
_SMALL = 0.01  # of the image's area; less is hard to see at 352 x 352


@dataclass
class SplitInspection:
    """What a split holds.

    Attributes:
        images, phrases: How many.
        different_phrases: How many that differ.
        supported: The share of phrases that another image of the split shows too, so that it can serve as an example.
        common: The most common phrases, each with the number of images that show it.
        phrases_per_image: The median and the largest.
        heights, widths: The smallest, median and largest, in pixels.
        areas: The 10th, 50th and 90th percentile of the masks' share of the image.
        small: The share of masks that cover less than 1 % of the image.
        empty: How many masks are empty.
        repeated: How many rows show a picture that an earlier row shows, too.
        broken: Images that cannot be decoded, or are of another size than their masks.
    """

    images: int
    phrases: int
    different_phrases: int
    supported: float
    common: list[tuple[str, int]]
    phrases_per_image: tuple[int, int]
    heights: tuple[int, int, int]
    widths: tuple[int, int, int]
    areas: tuple[float, float, float]
    small: float
    empty: int
    repeated: int = 0
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        smallest, median, largest = (f"{w:,} x {h:,}" for w, h in zip(self.widths, self.heights, strict=True))
        low, middle, high = (f"{area:.1%}" for area in self.areas)
        lines = [
            f"{counted(self.images, 'image')}, {counted(self.phrases, 'phrase')}, {self.different_phrases:,} different",
            f"phrases per image     {self.phrases_per_image[0]} (median), up to {self.phrases_per_image[1]}",
            f"with another example  {self.supported:.0%} of the phrases are shown by another image, too",
            f"width x height        {median} (median), {smallest} to {largest} pixels",
            f"area of the masks     {middle} of the image (median), {low} to {high} for eight in ten",
            f"                      {self.small:.0%} below 1 %, {self.empty:,} empty",
            f"most common           {', '.join(f'{phrase} ({count:,})' for phrase, count in self.common)}",
        ]
        if self.broken:
            examples = ", ".join(self.broken[:EXAMPLES_KEPT]) + (", ..." if len(self.broken) > EXAMPLES_KEPT else "")
            lines.append(f"broken images         {len(self.broken):,}: {examples}")
        return "\n".join(lines)


@dataclass
class Inspection:
    """What a data set holds.

    Attributes:
        kind: Its layout, one of `sources.KINDS`.
        splits: By name.
        summary: What the reader left out.
        sheet: Where the contact sheet is, if one was drawn.
    """

    kind: str
    splits: dict[str, SplitInspection]
    summary: BuildSummary
    sheet: Path | None = None

    @property
    def hints(self) -> list[str]:
        """What a user who wants to train should know."""
        hints = []
        if "train" in self.splits and "val" not in self.splits:
            hints.append("There is no validation split: set validation_fraction to train with one.")
        for name, split in self.splits.items():
            if split.supported < 0.5:
                hints.append(
                    f"{name}: {1 - split.supported:.0%} of the phrases are on one image alone; "
                    "for these, training has text prompts only."
                )
            if split.small > 0.5:
                hints.append(f"{name}: most masks are small; crops help (crop=True), and so does a larger image_size.")
            if split.repeated:
                hints.append(
                    f"{name}: {split.repeated:,} of {split.images:,} rows show the picture of an earlier row. "
                    "They stay together where a share is set aside, and are no examples for each other."
                )
            if split.broken:
                hints.append(f"{name}: training leaves broken images out and counts them; with strict=True it stops.")
        return hints

    def __str__(self) -> str:
        parts = [f"{self.kind} data: {self.summary}"]
        parts += [f"{name}\n" + _indent(str(split)) for name, split in self.splits.items()]
        parts += [f"note: {hint}" for hint in self.hints]
        if self.sheet is not None:
            parts.append(f"{self.sheet} shows some of it.")
        return "\n\n".join(parts)


def inspect_data(
    path_or_name: str | os.PathLike | datasets.Dataset | datasets.DatasetDict,
    sheet: str | os.PathLike | None = None,
    *,
    split: str | None = None,
    check_images: bool = True,
    tiles: int = 24,
    seed: int = 0,
    num_proc: int | None = None,
    **options,
) -> Inspection:
    """Read a data set as training would, count what is in it, and draw a sheet of its pictures with their masks.

    Args:
        path_or_name, split, num_proc, options: As for `load_segmentation_dataset`.
        sheet: Where to write the contact sheet (.png, .jpg); None for none.
        check_images: Decode every image, which finds those that are cut off.
        tiles: How many pictures the sheet shows.
        seed: Of the choice of these pictures.

    Raises:
        FileNotFoundError, TypeError, ValueError: as `load_segmentation_dataset`; also where no rows are left, or the
            sheet's name does not end as a picture's does.
    """
    if sheet is not None and Image.registered_extensions().get(Path(sheet).suffix.lower()) not in Image.SAVE:
        raise ValueError(
            f"{sheet} is no name for a sheet: give it the ending of a picture, such as {sheet}.png or .jpg."
        )
    builder = open_segmentation_data(path_or_name, only_splits=splits_named(split), **options)
    builder.warns = False  # the summary is part of the inspection
    builder.download_and_prepare(num_proc=num_proc)
    names = [name for name, info in builder.info.splits.items() if info.num_examples]
    if not names:
        raise builder.nothing_left(list(builder.info.splits))
    data = {name: undecoded(builder.as_dataset(name)) for name in names}
    inspection = Inspection(
        builder.config.name,
        {name: inspect_rows(rows, check_images=check_images) for name, rows in data.items()},
        builder.summary,
    )
    if sheet is not None:
        inspection.sheet = Path(sheet)
        inspection.sheet.parent.mkdir(parents=True, exist_ok=True)
        title = Path(path_or_name).name if isinstance(path_or_name, (str, os.PathLike)) else inspection.kind
        phrases = sum(split.phrases for split in inspection.splits.values())
        draw_rows(data, title or str(path_or_name), phrases, tiles, seed).save(inspection.sheet)
    return inspection


def draw_rows(data: Mapping[str, Sequence], title: str, phrases: int, tiles: int = 24, seed: int = 0) -> Image.Image:
    """Draw a contact sheet of rows of all splits.

    Args:
        data: The rows of each split, see `rows.py`, their images undecoded.
        title: What stands above.
        phrases: How many they have.
        tiles: How many rows are shown.
        seed: Of the choice of these.
    """
    counts = ", ".join(f"{name} {len(rows):,}" for name, rows in data.items())
    subtitle = f"{counted(phrases, 'phrase')} on {counted(sum(map(len, data.values())), 'image')} ({counts})"
    return draw_sheet(_choose_tiles(data, tiles, seed), title, subtitle)


def inspect_rows(rows, check_images: bool = True) -> SplitInspection:
    """Count what rows hold.

    Args:
        rows: See `rows.py`.
        check_images: Decode every image.

    Raises:
        ValueError: there are no phrases.
    """
    from pycocotools import mask as coco

    index = PhraseIndex(rows)
    if not len(index):
        raise ValueError(f"There is not one phrase in {counted(len(rows), 'row')}.")
    places = {phrase: {int(index.pictures[row]) for row, _ in index[phrase]} for phrase in index}
    shared = sum(len(index[phrase]) for phrase in index if len(places[phrase]) > 1)
    common = Counter({phrase: len(found) for phrase, found in places.items()}).most_common(8)
    sizes, areas = [], []
    for row in only_columns(rows, "height", "width", "phrases"):
        sizes.append((row["height"], row["width"]))
        for entry in row["phrases"]:
            runs = {"size": entry["mask"]["size"], "counts": entry["mask"]["counts"].encode()}
            areas.append(float(coco.area(runs)) / (row["height"] * row["width"]))
    heights, widths = np.array(sizes).T
    return SplitInspection(
        images=len(rows),
        phrases=len(areas),
        different_phrases=len(index),
        supported=shared / len(areas),
        common=common,
        phrases_per_image=(int(np.median(index.counts)), int(index.counts.max())),
        heights=_spread(heights, (0, 50, 100)),
        widths=_spread(widths, (0, 50, 100)),
        areas=tuple(float(value) for value in np.percentile(areas, (10, 50, 90))),
        small=float(np.mean(np.array(areas) < _SMALL)),
        empty=int(np.sum(np.array(areas) == 0)),
        repeated=int(np.sum(index.pictures != np.arange(len(rows)))),
        broken=list(find_broken(rows).values()) if check_images else [],
    )


def find_broken(rows) -> dict[int, str]:
    """Which rows have an image that cannot be decoded, or is of another size than its masks: number -> why."""
    rows = only_columns(undecoded(rows), "image", "image_id", "height", "width")
    shown = tqdm(rows, desc="Decoding images", leave=False, disable=None)
    reasons = ((number, row["image_id"], _break_of(row)) for number, row in enumerate(shown))
    return {number: f"{image_id} ({reason})" for number, image_id, reason in reasons if reason is not None}


def _break_of(row: dict) -> str | None:
    """Why a row's image cannot be used, None if it can."""
    try:
        _, size = decode_image(row["image"], at_least=_THUMB)
    except (OSError, ValueError, TypeError) as error:
        return str(error).rstrip(".")
    if size != (row["height"], row["width"]):
        return f"{size[1]} x {size[0]}, its masks {row['width']} x {row['height']}"
    return None


def _choose_tiles(data: Mapping[str, Sequence], count: int, seed: int) -> list[Tile]:
    """Rows drawn from all splits by their size, at least one of each, without broken ones."""
    generator = np.random.default_rng(seed)
    total = sum(map(len, data.values()))
    tiles = []
    for name, rows in data.items():
        whole = (rows[number] for number in generator.permutation(len(rows)).tolist())
        whole = (row for row in whole if _break_of(row) is None)
        for row in islice(whole, max(1, round(count * len(rows) / total))):
            tiles.append(Tile(row, f"{name} · {row['image_id']} · {row['width']} x {row['height']}"))
    return tiles[:count]


def _spread(values: np.ndarray, percentiles: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(value) for value in np.percentile(values, percentiles))


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
