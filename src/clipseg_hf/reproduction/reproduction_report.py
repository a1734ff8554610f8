"""A reproduction as files: tables beside the published numbers, whether the orders agree, and plots."""

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from clipseg_hf._counted import counted
from clipseg_hf.evaluation.reports.report import to_json
from clipseg_hf.reproduction.differences import Interval, Number, difference_of
from clipseg_hf.reproduction.paper_tables import TABLE_NAMES

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


def compare_rows(table: Mapping, numbers: Sequence[Sequence[Number | None]]) -> dict:
    """Does a table order its rows as the paper does, and is what it says more than luck?

    Args:
        table: `rows` with `title` and `published` (None where there is no number), `columns`, and `reference`.
        numbers: what was measured: of each row and column.

    Returns:
        `differences`: of each row and column the difference to the reference with the ends of its 95 % interval
        (`difference_of`), None for the reference itself and where there is no number; `marks`: "✓" where the row is on
        the same side of the reference as in the paper, "✗" where it is on the other, "≈" where the interval holds 0,
        None where nothing was published; and `order`: for each column, of the pairs of rows with a published number
        how many stand in the paper's order and how many there are, then both of those whose interval leaves 0 out.
    """
    rows, reference = table["rows"], table["reference"]
    columns = range(len(table["columns"]))
    published = [row["published"] for row in rows]

    def compared(first: int, second: int, column: int) -> tuple[Interval | None, str | None]:
        ours, theirs = numbers[first][column], numbers[second][column]
        if ours is None or theirs is None:
            return None, None
        interval = difference_of(ours, theirs)
        before, after = published[first][column], published[second][column]
        if before is None or after is None or before == after:
            return interval, None
        same = (after > before) == (theirs.mean > ours.mean) and theirs.mean != ours.mean
        return interval, SAME if same else OTHER

    differences: list[list] = []
    marks: list[list[str | None]] = []
    for number in range(len(rows)):
        line = [compared(reference, number, column) if number != reference else (None, None) for column in columns]
        differences.append([interval and list(interval) for interval, _ in line])
        marks.append([mark and (UNCERTAIN if interval and not interval.is_clear else mark) for interval, mark in line])
    order = []
    for column in columns:
        pairs = [compared(first, second, column) for first, second in combinations(range(len(rows)), 2)]
        told = [(interval, mark) for interval, mark in pairs if mark]
        clear = [mark for interval, mark in told if interval and interval.is_clear]
        order.append([[mark for _, mark in told].count(SAME), len(told), clear.count(SAME), len(clear)])
    return {"differences": differences, "marks": marks, "order": order}


def write_reproduction(results: Mapping, folder: Path) -> list[Path]:
    """Write README.md, results.json and a plot for each table; results as `reproduce` makes them."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "results.json", folder / "README.md"]
    written[0].write_text(to_json(results), encoding="utf-8")
    parts = [_introduction(results)]
    for name, table in results["tables"].items():
        picture = _plot(table, folder / f"{name}.png", results["world"])
        sections = [f"## {table['title']}", table_text(table).rstrip(), *_differences(table), _order_text(table)]
        parts.append("\n\n".join(filter(None, [*sections, f"![]({picture.name})"])) + "\n")
        written.append(picture)
    written[1].write_text("\n".join(parts), encoding="utf-8")
    return written


def _introduction(results: Mapping) -> str:
    provenance, recipe = results["provenance"], results["recipe"]
    seconds, seeds = results["training_seconds"], results["seeds"]
    trained = f"{len(seconds) * len(seeds)} trainings of {recipe['max_steps']} steps"
    trained += f", {counted(round(sum(sum(each) for each in seconds.values()) / 60), 'minute')} in all"
    luck = (
        f"The mean over the seeds {', '.join(map(str, seeds))} of the training, with their standard deviation"
        if len(seeds) > 1
        else "One training each, so the luck of a seed is in every number"
    )
    threads = (
        f", {results['threads']} thread{'s' * (results['threads'] > 1)}"
        if provenance["device"].startswith("cpu")
        else ""
    )
    quick = "\n**A quick run: the numbers mean nothing.**\n" if results["quick"] else ""
    options = [" --quick"] * results["quick"] + [f" --seeds {','.join(map(str, seeds))}"] * (seeds != [0])
    if len(results["tables"]) < len(TABLE_NAMES):
        options.append(f" --only {','.join(results['tables'])}")
    command = f"clipseg-hf reproduce {results['world']}{''.join(options)}"
    return f"""# The paper's tables on {WORLDS[results["world"]]}
{quick}
Made by `{command}`:
{trained}, on {provenance["device"]}{threads},
torch {provenance["versions"]["torch"]}, precision {provenance["mixed_precision"]}. {luck}.

"Paper" is what was published on the real data, in percent; "here" is this run. {SAME} on the same side of the first row
(of the last one, for visual prompts) as in the paper; {OTHER} on the other side; {UNCERTAIN} here too close to tell:
the 95 % interval of the difference holds 0. It accounts for {_accounted(len(seeds))}.
Of twenty differences that are none, one would still be clear. Rows without a published number have no mark.
{NOTES[results["world"]]}"""


def _accounted(seeds: int) -> str:
    images = """what was measured on
(a bootstrap over images, objects or, for zero-shot, classes; paired where they are the same)"""
    return f"the luck of the seeds and for {images}" if seeds > 1 else f"{images}, not for\nthe luck of a seed"


def table_text(table: Mapping) -> str:
    """A table in Markdown."""
    header = ["", *(f"{column}, {which}" for column in table["columns"] for which in ("paper", "here"))]
    lines = [header, ["---", *["---:"] * (len(header) - 1)]]
    for row, marks in zip(table["rows"], table["marks"], strict=True):
        cells = [row["title"]]
        for published, by_seed, mark in zip(row["published"], row["by_seed"], marks, strict=True):
            cells += [_number(published), " ".join(filter(None, [mean_text(by_seed), mark]))]
        lines.append(cells)
    return _markdown(lines)


def _differences(table: Mapping) -> list[str]:
    """The differences to the reference with their intervals: a sentence, and a table in Markdown."""
    reference, columns = table["rows"][table["reference"]]["title"], table["columns"]
    lines = [["", *columns], ["---", *[":---:"] * len(columns)]]
    for row, differences in zip(table["rows"], table["differences"], strict=True):
        if any(differences):
            lines.append([row["title"], *(_interval(difference) for difference in differences)])
    return [f"Difference to {reference}, with its 95 % interval:", _markdown(lines).rstrip()] if len(lines) > 2 else []


def _interval(difference: Sequence[float] | None) -> str:
    return "–" if difference is None else "{:+.1f} ({:+.1f} … {:+.1f})".format(*difference)


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def mean_text(by_seed: Sequence[float] | None) -> str:
    """The mean over seeds, with their standard deviation where they differ."""
    if by_seed is None or len(set(by_seed)) == 1:  # one seed, or nothing that was trained
        return _number(by_seed and by_seed[0])
    number = Number(tuple(by_seed))
    return f"{number.mean:.1f} ± {number.spread:.1f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _order_text(table: Mapping) -> str:
    counted = []
    for column, (agreeing, pairs, clearly_agreeing, clear) in zip(table["columns"], table["order"], strict=True):
        if pairs:
            of_clear = f"{clearly_agreeing} of the {clear} that are clear" if clear else "none is clear"
            counted.append(f"{column} {agreeing} of {pairs} ({of_clear})")
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
                each = row["by_seed"][number] if len(set(row["by_seed"][number])) > 1 else []
                axes.scatter(each, [place] * len(each), marker="|", s=60, color=color, alpha=0.7, zorder=4)
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
    ]
    if any(len(set(by_seed or ())) > 1 for row in rows for by_seed in row["by_seed"]):
        handles.append(panels[0].scatter([], [], marker="|", s=60, color=HERE, alpha=0.7, label="each seed"))
    if any(OTHER in marks for marks in table["marks"]):
        handles.append(panels[0].scatter([], [], s=34, color=WRONG, label="here, not in the paper's order"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8)
    figure.savefig(path)
    return path


def read_results(folder: str | Path) -> dict:
    """The results.json of a reproduction."""
    return json.loads((Path(folder) / "results.json").read_text(encoding="utf-8"))
