"""A reproduction as files: tables beside the published numbers, whether the orders agree, and plots."""

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from clipseg_hf.evaluation import compare
from clipseg_hf.evaluation.reports.report import to_json

SAME, OTHER, UNCERTAIN = "✓", "✗", "≈"
WORLDS = {"emoji": "the emoji world", "phrasecut": "PhraseCut, Pascal VOC and LVIS"}
NOTES = {
    "emoji": """
The emoji world is not the real one: cut-out drawings on plain backgrounds, a CLIP of 3.5 million parameters with six
layers that has seen every emoji. The decoder reads its layers 1, 3 and 5, and "only layer 3" is layer 1. Unseen are 79
emoji that no training phrase names; one training serves all tables. So the sizes of the numbers say nothing about
photographs; what can be compared is which variant is better than which.
""",
    "phrasecut": "",
}
HERE, PAPER, WRONG = "#2563eb", "#9ca3af", "#dc2626"


def compare_rows(table: Mapping, places: Sequence[Sequence[tuple]], samples: Mapping[str, Sequence[dict]]) -> dict:
    """Does a table order its rows as the paper does?

    Args:
        table: `rows` with `title`, `published` and `measured` (None where there is no number), and `reference`.
        places: of each row's numbers: (kind of prompt, subset, metric).
        samples: title -> lines of samples.jsonl, for those rows whose samples can be compared one by one.

    Returns:
        `marks`, for each row and column: "✓" where the row is on the same side of the reference as in the paper, "✗"
        where it is on the other, "≈" where the difference here is within the 95 % interval of a paired bootstrap over
        images (for mIoU), None where there is nothing to compare; and `order`: for each column, how many of the pairs
        of rows with a published number stand in the paper's order, and how many pairs there are.
    """
    rows, reference = table["rows"], table["rows"][table["reference"]]
    marks, columns = [], range(len(table["columns"]))
    for row, row_places in zip(rows, places, strict=True):
        line = []
        for column in columns:
            same = _same_order(row, reference, column) if row is not reference else None
            pair = samples.get(reference["title"]), samples.get(row["title"])
            if same is not None and _is_within_chance(pair, row_places[column], places[table["reference"]][column]):
                line.append(UNCERTAIN)
            else:
                line.append(None if same is None else SAME if same else OTHER)
        marks.append(line)
    order = []
    for column in columns:
        agreeing = [_same_order(first, second, column) for first, second in combinations(rows, 2)]
        order.append([agreeing.count(True), len(agreeing) - agreeing.count(None)])
    return {"marks": marks, "order": order}


def _same_order(first: Mapping, second: Mapping, column: int) -> bool | None:
    """Whether two rows differ in the direction that was published; None where a number lacks or there is a tie."""
    numbers = [row[kind][column] for kind in ("published", "measured") for row in (first, second)]
    if None in numbers or numbers[0] == numbers[1]:
        return None
    return (numbers[0] > numbers[1]) == (numbers[2] > numbers[3]) and numbers[2] != numbers[3]


def _is_within_chance(pair: Sequence[Sequence[dict] | None], place: tuple, reference_place: tuple) -> bool:
    kind, subset, metric = place
    name, _, threshold = metric.rpartition("_")
    if None in pair or name != "miou" or place != reference_place or pair[0] is pair[1]:
        return False
    chosen = None if subset == "all" else subset
    difference = compare(*pair, prompt=kind, threshold=float(threshold), metric=name, subset=chosen)
    return difference.low <= 0 <= difference.high


def write_reproduction(results: Mapping, folder: Path) -> list[Path]:
    """Write README.md, results.json and a plot for each table; results as `reproduce` makes them."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "results.json", folder / "README.md"]
    written[0].write_text(to_json(results), encoding="utf-8")
    parts = [_introduction(results)]
    for name, table in results["tables"].items():
        picture = _plot(table, folder / f"{name}.png", results["world"])
        parts.append(f"## {table['title']}\n\n{table_text(table)}\n{_order_text(table)}\n\n![]({picture.name})\n")
        written.append(picture)
    written[1].write_text("\n".join(parts), encoding="utf-8")
    return written


def _introduction(results: Mapping) -> str:
    provenance, recipe = results["provenance"], results["recipe"]
    seconds = sum(results["training_seconds"].values())
    trained = f"{len(results['training_seconds'])} trainings of {recipe['max_steps']} steps, {seconds / 60:.0f} minutes"
    threads = (
        f", {results['threads']} thread{'s' * (results['threads'] > 1)}"
        if provenance["device"].startswith("cpu")
        else ""
    )
    quick = "\n**A quick run: the numbers mean nothing.**\n" if results["quick"] else ""
    command = f"clipseg-hf reproduce {results['world']}{' --quick' if results['quick'] else ''}"
    return f"""# The paper's tables on {WORLDS[results["world"]]}
{quick}
Made by `{command}`: {trained}, on {provenance["device"]}{threads},
torch {provenance["versions"]["torch"]}, precision {provenance["mixed_precision"]}. One training each, so the luck of a
seed is in every number.

"Paper" is what was published on the real data, in percent; "here" is this run. {SAME} on the same side of the first row
(of the last one, for visual prompts) as in the paper; {OTHER} on the other side; {UNCERTAIN} here too close to tell (a
paired bootstrap over images, where samples can be paired). Rows without a published number have no mark.
{NOTES[results["world"]]}"""


def table_text(table: Mapping) -> str:
    """A table in Markdown."""
    header = ["", *(f"{column}, {which}" for column in table["columns"] for which in ("paper", "here"))]
    lines = [header, ["---", *["---:"] * (len(header) - 1)]]
    for row, marks in zip(table["rows"], table["marks"], strict=True):
        cells = [row["title"]]
        for published, measured, mark in zip(row["published"], row["measured"], marks, strict=True):
            cells += [_number(published), " ".join(filter(None, [_number(measured), mark]))]
        lines.append(cells)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _order_text(table: Mapping) -> str:
    counted = [
        f"{column} {agreeing} of {pairs}"
        for column, (agreeing, pairs) in zip(table["columns"], table["order"], strict=True)
        if pairs
    ]
    return f"Pairs of rows in the paper's order: {', '.join(counted)}." if counted else ""


def _plot(table: Mapping, path: Path, world: str) -> Path:
    """For each column: every row's published number and its number here, on one line."""
    from matplotlib.figure import Figure

    rows, columns = table["rows"], table["columns"]
    height = 1.3 + 0.32 * len(rows)
    figure = Figure(figsize=(2.6 + 2.4 * max(len(columns), 2), height), layout="constrained", dpi=130)
    panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    places = list(range(len(rows)))[::-1]
    for number, (axes, column) in enumerate(zip(panels, columns, strict=True)):
        for place, row, marks in zip(places, rows, table["marks"], strict=True):
            published, measured = row["published"][number], row["measured"][number]
            color = WRONG if marks[number] == OTHER else HERE
            if published is not None and measured is not None:
                axes.plot([published, measured], [place, place], color="#d1d5db", linewidth=1.5, zorder=1)
            if published is not None:
                axes.scatter(published, place, s=34, facecolor="white", edgecolor=PAPER, linewidth=1.6, zorder=2)
            if measured is not None:
                axes.scatter(measured, place, s=34, color=color, zorder=3)
        axes.set_title(column, fontsize=10)
        axes.set_yticks(places, [row["title"] for row in rows], fontsize=9)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.margins(x=0.12)
        axes.tick_params(axis="x", labelsize=8)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#e5e7eb", linewidth=0.8)
        axes.spines[["top", "right", "left"]].set_visible(False)
    handles = [
        panels[0].scatter([], [], s=34, facecolor="white", edgecolor=PAPER, linewidth=1.6, label="paper, real data"),
        panels[0].scatter([], [], s=34, color=HERE, label=f"here, {WORLDS[world]}"),
        panels[0].scatter([], [], s=34, color=WRONG, label="here, not in the paper's order"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    figure.savefig(path)
    return path


def read_results(folder: str | Path) -> dict:
    """The results.json of a reproduction."""
    return json.loads((Path(folder) / "results.json").read_text(encoding="utf-8"))
