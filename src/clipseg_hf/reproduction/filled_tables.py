"""The paper's tables filled with what was measured, from one home of models and reports for each seed."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clipseg_hf.reproduction.differences import Number, mean_number
from clipseg_hf.reproduction.kept_counts import draw_number
from clipseg_hf.reproduction.paper_tables import Measurement, Place, Row, Table
from clipseg_hf.reproduction.reproduction_report import compare_rows


def report_folder(home: Path, measurement: Measurement) -> Path:
    """Where a measurement's report is, with its counts."""
    return home / "reports" / measurement.name


def fill_table(homes: Sequence[Path], table: Table) -> dict:
    """A table with its numbers of all seeds, in percent."""
    numbers = [[_row_number(homes, row, place) for place in row.places] for row in table.rows]
    rows = [
        {
            "title": row.title,
            "published": list(row.published),
            "measured": [number and number.mean for number in line],
            "by_seed": [number and list(number.by_seed) for number in line],
        }
        for row, line in zip(table.rows, numbers, strict=True)
    ]
    filled = {"title": table.title, "columns": list(table.columns), "reference": table.reference, "rows": rows}
    return filled | compare_rows(filled, numbers)


def _row_number(homes: Sequence[Path], row: Row, place: Place) -> Number | None:
    """A row's number, None where the world has nothing to ask."""
    numbers = [_number([report_folder(home, measurement) for home in homes], place) for measurement in row.measurements]
    known = [number for number in numbers if number is not None]
    return mean_number(known) if len(known) == len(numbers) else None


def _number(reports: Sequence[Path], place: Place) -> Number | None:
    """A number of a measurement, from one report for each seed."""
    group, subset, metric = place
    values = []
    for report in reports:
        results = json.loads((report / "report.json").read_text(encoding="utf-8"))["results"]
        values.append(results.get(group, {}).get(subset, {}).get(metric))
    if None in values:
        return None
    draws, units = zip(*(draw_number(report, place) for report in reports), strict=True)
    return Number(tuple(100 * value for value in values), np.mean(draws, axis=0), units[0])
