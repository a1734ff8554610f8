"""The paper's tables (arXiv 2112.10003): which variants they compare, by what, and what was published.

A table is a list of rows; a row names the trained variant, the benchmark and where in its summary the numbers are. So
the same tables stand for the real data and for the emoji world, where the data and the held-out classes differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clipseg_hf.data.vocabulary.concepts import GENERALISED_PROMPT_WORDS
from clipseg_hf.evaluation.metrics.prompt_results import ALL
from clipseg_hf.evaluation.protocols.one_shot import MEAN
from clipseg_hf.evaluation.protocols.visual_prompt_study import VISUAL_PROMPTS
from clipseg_hf.evaluation.protocols.zero_shot import WITHOUT_BACKGROUND


@dataclass(frozen=True)
class Variant:
    """A training: what it is called in the paper, and what it changes in the recipe of PC+."""

    title: str
    changes: Mapping = field(default_factory=dict)


PC_PLUS = "pc-plus"
ABLATIONS: dict[str, Variant] = {
    PC_PLUS: Variant("CLIPSeg (PC+)"),
    "no-clip-pretraining": Variant("no CLIP pre-training", {"pretrained_clip": False, "learning_rate": 3e-4}),
    "no-negatives": Variant("no negatives", {"negative_probability": 0.0}),
    "half-negatives": Variant("50 % negatives", {"negative_probability": 0.5}),
    "no-visual": Variant("no visual", {"mix": "text"}),
    "no-interpolation": Variant("no interpolation", {"mix": "image", "support_probability": 0.5}),
    "rd16": Variant("D = 16", {"reduce_dim": 16}),
    "layer-3": Variant("only layer 3", {"extract_layers": (3,)}),
    "highlight-mask": Variant("highlight mask", {"visual_prompt": {"crop": False}}),
}
"""Those of the ablation table, in its order; three of them the paper trained without giving numbers."""

VARIANTS: dict[str, Variant] = {
    **ABLATIONS,
    "pc": Variant("CLIPSeg (PC)", {"mix": "text", "negative_probability": 0.0}),
    **{f"unseen-{n}": Variant(f"CLIPSeg (PC+), unseen-{n}", {"without_concepts": (f"unseen-{n}",)}) for n in (4, 10)},
    **{
        f"pascal5i-fold{n}": Variant(f"CLIPSeg (PC+), fold {n}", {"without_concepts": (f"pascal5i-fold{n}",)})
        for n in range(4)
    },
    **{
        f"pc-pascal5i-fold{n}": Variant(
            f"CLIPSeg (PC), fold {n}",
            {"mix": "text", "negative_probability": 0.0, "without_concepts": (f"pascal5i-fold{n}",)},
        )
        for n in range(4)
    },
    "without-words": Variant("CLIPSeg (PC+), no prompt words", {"without_words": GENERALISED_PROMPT_WORDS}),
}

Place = tuple[str, str, str]
"""Where a number is in an `Evaluation.summary`: group (kind of prompt, say), subset, metric."""


@dataclass(frozen=True)
class Measurement:
    """A variant, evaluated: name of the variant, of the benchmark, and options of `BenchmarkOptions` as pairs."""

    variant: str
    benchmark: str
    options: tuple[tuple[str, object], ...] = ()

    @property
    def name(self) -> str:
        """Names a folder."""
        return "-".join([self.variant, self.benchmark, *(str(value).strip("(),") for _, value in self.options)])


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        title: as in the paper.
        measurements: whose numbers are averaged (folds, which are trained one by one).
        places: of each column's number.
        published: the same on the real data, in percent; None where there is none.
    """

    title: str
    measurements: tuple[Measurement, ...]
    places: tuple[Place, ...]
    published: tuple[float | None, ...]


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Attributes:
        name: for the command line and files.
        title: for people.
        columns: what the numbers are.
        rows: lines.
        reference: the line that the others are compared with.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    reference: int = 0

    @property
    def measurements(self) -> list[Measurement]:
        """What the table needs, each once."""
        return list(dict.fromkeys(measurement for row in self.rows for measurement in row.measurements))

    @property
    def variants(self) -> list[str]:
        """What has to be trained, each once."""
        return list(dict.fromkeys(measurement.variant for measurement in self.measurements))


WORLD_NAMES = ("emoji", "phrasecut")
TABLE_NAMES = ("referring", "zero-shot", "one-shot", "generalized", "ablation", "sampling", "visual-prompts")


def paper_tables(world: str) -> dict[str, Table]:
    """The tables for "phrasecut" (the real data) or "emoji", where unseen classes are those that no phrase of the
    training names, so that one training serves all tables.

    Raises:
        ValueError: there is no such world.
    """
    if world not in WORLD_NAMES:
        raise ValueError(f"The tables are made on {' or '.join(WORLD_NAMES)}, got {world!r}.")
    real = world == "phrasecut"
    unpublished = [name for name in ABLATIONS if name not in ABLATION_NUMBERS]
    tables = [
        _referring(),
        _zero_shot(real),
        _one_shot(real),
        _generalized("without-words" if real else PC_PLUS),
        _ablation("ablation", "Ablation", [*ABLATION_NUMBERS]),
        _ablation("sampling", "Sampling, for which the paper gives no numbers", [PC_PLUS, *unpublished]),
        _visual_prompts(),
    ]
    return {table.name: table for table in tables}


def _referring() -> Table:
    paths = tuple(("text", ALL, metric) for metric in ("miou_0.3", "iou_fg_0.3", "ap"))
    published = {PC_PLUS: (43.4, 54.7, 76.7), "pc": (46.1, 56.2, 78.2)}
    rows = [
        Row(VARIANTS[name].title, (Measurement(name, "referring"),), paths, numbers)
        for name, numbers in published.items()
    ]
    return Table("referring", "Referring expressions, by text", ("mIoU", "IoU FG", "AP"), tuple(rows))


def _zero_shot(real: bool) -> Table:
    rows = []
    for unseen, published in ((10, (35.7, 43.1)), (4, (20.8, 47.3))) if real else ((10, (35.7, 43.1)),):
        options = (("unseen", unseen),) if real else ()
        measurement = Measurement(f"unseen-{unseen}" if real else PC_PLUS, "zero-shot", options)
        split = f"unseen-{unseen}, " if real else ""
        rows += [
            Row(f"{split}{name} classes", (measurement,), ((WITHOUT_BACKGROUND, name, "miou"),), (number,))
            for name, number in zip(("seen", "unseen"), published, strict=True)
        ]
    title = "Zero-shot" if real else "Zero-shot, ten seen and ten unseen classes at a time"
    return Table("zero-shot", title, ("mIoU",), tuple(rows))


def _one_shot(real: bool) -> Table:
    def measurements(prefix: str) -> tuple[Measurement, ...]:
        if real:
            return tuple(Measurement(f"{prefix}pascal5i-fold{n}", "one-shot", (("folds", (n,)),)) for n in range(4))
        return (Measurement("pc" if prefix else PC_PLUS, "one-shot"),)

    def paths(kind: str, threshold: float) -> tuple[Place, ...]:
        return tuple((kind, MEAN, metric) for metric in (f"miou_{threshold:g}", f"iou_bin_{threshold:g}", "ap"))

    rows = (
        Row("CLIPSeg (PC+), example", measurements(""), paths("image", 0.24), (59.5, 75.0, 82.3)),
        Row("CLIPSeg (PC), example", measurements("pc-"), paths("image", 0.28), (52.3, 69.5, 72.4)),
        Row("CLIPSeg (PC+), text", measurements(""), paths("text", 0.24), (72.4, 83.1, 93.5)),
    )
    return Table("one-shot", "One-shot, classes never trained on", ("mIoU", "IoU bin", "AP"), rows)


def _generalized(variant: str) -> Table:
    published = {"affordances": (36.9, 50.5), "attributes": (26.6, 43.0), "parts": (25.7, 29.0)}
    rows = tuple(
        Row(
            group,
            (Measurement(variant, "generalized"),),
            (("text", group, "miou_0.3"), ("text", group, "ap")),
            numbers,
        )
        for group, numbers in published.items()
    )
    return Table("generalized", "Generalised prompts, by text", ("mIoU", "AP"), rows)


ABLATION_NUMBERS: dict[str, tuple[float | None, ...]] = {
    PC_PLUS: (43.6, 76.7, 25.4, 55.6),
    "no-clip-pretraining": (13.1, 12.6, 12.7, None),
    "no-visual": (46.4, 77.8, 14.4, 31.0),
    "rd16": (37.4, 71.5, 24.7, 51.2),
    "layer-3": (31.9, 64.9, 21.5, 48.6),
    "highlight-mask": (43.4, 75.4, 23.3, 43.8),
}
"""mIoU and AP by text, mIoU and AP by example, as published."""


def _ablation(name: str, title: str, variants: Sequence[str]) -> Table:
    paths = tuple((kind, ALL, metric) for kind in ("text", "image") for metric in ("miou_0.3", "ap"))
    rows = tuple(
        Row(
            VARIANTS[variant].title,
            (Measurement(variant, "referring"),),
            paths,
            ABLATION_NUMBERS.get(variant, (None,) * 4),
        )
        for variant in variants
    )
    return Table(name, title, ("text mIoU", "text AP", "example mIoU", "example AP"), rows)


def _visual_prompts() -> Table:
    rows = tuple(
        Row(name, (Measurement(PC_PLUS, "visual-prompts"),), ((name, ALL, "gain"),), (100 * gain,))
        for name, (_, gain) in VISUAL_PROMPTS.items()
    )
    title = "Visual prompts, gain in the probability of the true name"
    return Table("visual-prompts", title, ("gain",), rows, reference=len(rows) - 1)


def check_names(names: Sequence[str]) -> list[str]:
    """Names of tables in the paper's order, each once; all where none is given.

    Raises:
        ValueError: there is no such table.
    """
    unknown = [name for name in names if name not in TABLE_NAMES]
    if unknown:
        raise ValueError(f"There is no table {', '.join(unknown)}; there are {', '.join(TABLE_NAMES)}.")
    return [name for name in TABLE_NAMES if not names or name in names]
