"""What the benchmarks share: tables go between markers of README.md, JSON lies beside it."""

import statistics
from pathlib import Path

README = Path(__file__).with_name("README.md")


def put_table(name: str, table: str, readme: Path = README) -> None:
    """Put a table between the markers `<!-- name: begin -->` and `<!-- name: end -->`."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = readme.read_text(encoding="utf-8")
    head, tail = text.index(begin) + len(begin), text.index(end)
    readme.write_text(f"{text[:head]}\n{table}\n{text[tail:]}", encoding="utf-8")


def spread(values: list[float]) -> str:
    """The mean of several seeds, and how far these lie apart; of one, what it is."""
    mean, low, high = (f"{value:.3f}" for value in (statistics.mean(values), min(values), max(values)))
    return mean if len(values) == 1 else f"{mean} ({low} to {high})"
