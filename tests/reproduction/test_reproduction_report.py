"""Which orders the tables see, and how they say it."""

import numpy as np

from clipseg_hf.reproduction.differences import Number
from clipseg_hf.reproduction.reproduction_report import compare_rows, table_text


def _table(*rows: tuple[str, float | None, Number | None]) -> tuple[dict, list[list[Number | None]]]:
    lines = [
        {
            "title": title,
            "published": [published],
            "measured": [here and here.mean],
            "by_seed": [here and list(here.by_seed)],
        }
        for title, published, here in rows
    ]
    return {"title": "T", "columns": ["mIoU"], "reference": 0, "rows": lines}, [[here] for _, _, here in rows]


def _compared(*rows: tuple[str, float | None, Number | None]) -> dict:
    table, numbers = _table(*rows)
    return table | compare_rows(table, numbers)


def test_marks_say_on_which_side_of_the_reference_a_row_is():
    found = _compared(
        ("ours", 40, Number((60,))),
        ("worse", 30, Number((50,))),
        ("better", 50, Number((55,))),
        ("unpublished", None, Number((70,))),
        ("nothing to ask", 20, None),
    )
    assert found["marks"] == [[None], ["✓"], ["✗"], [None], [None]]
    # ours > worse agrees, better > ours does not, better > worse does; of none the chance is known
    assert found["order"] == [[2, 3, 0, 0]]


def test_a_difference_by_chance_is_no_order():
    found = _compared(
        ("ours", 40, Number((60.0, 61.0, 62.0))),
        ("as good", 30, Number((61.0, 59.0, 62.0))),
        ("worse", 30, Number((20.0, 21.0, 22.5))),
        ("wrongly worse", 50, Number((20.0, 21.0, 22.5))),
    )
    assert found["marks"] == [[None], ["≈"], ["✓"], ["✗"]]
    assert found["differences"][0] == [None]
    difference, low, high = found["differences"][2][0]
    assert -45 < low < difference < high < -35
    # as published stand ours > as good, ours > worse and no pair with the last; clear are all but the first
    agreeing, pairs, clearly, clear = found["order"][0]
    assert (agreeing, pairs, clearly, clear) == (2, 5, 1, 3)


def test_images_count_as_well_as_seeds():
    draws = np.random.default_rng(0).normal(0, 4, 1000)
    close = (
        ("ours", 40, Number((60.0, 60.1, 60.2), np.full(1000, 60.1), 50)),
        (
            "worse",
            30,
            Number((57.0, 57.1, 57.2), 57.1 + draws, 50),
        ),
    )
    assert _compared(*close)["marks"] == [[None], ["≈"]]


def test_a_table_in_words():
    one = _compared(
        ("ours", 40, Number((60,))), ("worse", 30, Number((50,))), ("unpublished", None, Number((70,))), ("no", 1, None)
    )
    assert table_text(one).splitlines()[2:] == [
        "| ours | 40.0 | 60.0 |",
        "| worse | 30.0 | 50.0 ✓ |",
        "| unpublished | – | 70.0 |",
        "| no | 1.0 | – |",
    ]
    several = _compared(("ours", 40, Number((60.0, 61.0, 62.0))), ("worse", 30, Number((20.0, 21.0, 22.5))))
    assert table_text(several).splitlines()[2:] == ["| ours | 40.0 | 61.0 ± 1.0 |", "| worse | 30.0 | 21.2 ± 1.3 ✓ |"]
