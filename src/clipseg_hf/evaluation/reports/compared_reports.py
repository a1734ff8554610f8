"""Two reports side by side: what `clipseg-hf compare` prints."""

import json
from pathlib import Path

from clipseg_hf.evaluation.metrics.comparison import METRICS, Difference, compare
from clipseg_hf.evaluation.reports.report import COLUMNS, read_samples


def compare_reports(
    first: str | Path,
    second: str | Path,
    prompt: str | None = None,
    threshold: float = 0.5,
    metric: str = "miou",
    *,
    subset: str | None = None,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> str:
    """The difference between two evaluations of the same data, with its interval, as a Markdown table in percent.

    Args:
        first, second: folders that `write_report` filled.
        prompt: a kind of prompt; left out, each kind that both were asked by.
        threshold, metric, subset, resamples, confidence, seed: see `compare`.

    Raises:
        FileNotFoundError: a folder holds no samples.
        ValueError: the data differs, no kind of prompt is in both; or as `compare`.
    """
    if metric not in METRICS:
        raise ValueError(f"metric is one of {', '.join(METRICS)}, got {metric!r}.")
    folders = Path(first), Path(second)
    tables = [read_samples(folder) for folder in folders]
    _check_same_data(folders)
    kinds = [list(dict.fromkeys(line["prompt"] for line in table)) for table in tables]
    common = [kind for kind in kinds[0] if kind in kinds[1]]
    if not common:
        raise ValueError(
            f"Nothing can be compared: {first} was asked by {' and '.join(kinds[0]) or 'nothing'}, {second} by "
            f"{' and '.join(kinds[1]) or 'nothing'}."
        )
    if prompt and prompt not in common:
        asked = [name for name, there in zip(folders, kinds, strict=True) if prompt in there]
        who = f"Only {asked[0]} was" if asked else "Neither report was"
        raise ValueError(f"{who} asked by {prompt!r}; both were by {', '.join(common)}.")
    options = {"subset": subset, "resamples": resamples, "confidence": confidence, "seed": seed}
    differences = {
        kind: compare(*tables, kind, threshold, metric, **options) for kind in ([prompt] if prompt else common)
    }
    title = COLUMNS.get(f"{metric}_{threshold:g}", f"{metric} @{threshold:g}")
    lines = [
        f"{title}{f' of {subset!r}' if subset else ''}, from {first} to {second}:\n",
        f"| prompt | samples | images | first | second | difference | {100 * confidence:g} % interval | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | :---: | --- |",
        *(_line(kind, difference) for kind, difference in differences.items()),
    ]
    return "\n".join(lines)


def _line(kind: str, d: Difference) -> str:
    verdict = "second is better" if d.low > 0 else "first is better" if d.high < 0 else "may be chance"
    return (
        f"| {kind} | {d.samples} | {d.groups} | {100 * d.first:.1f} | {100 * d.second:.1f} | {100 * d.difference:+.1f} "
        f"| {100 * d.low:+.1f} ... {100 * d.high:+.1f} | {verdict} |"
    )


def _check_same_data(folders: tuple[Path, Path]) -> None:
    """Phrases may have the same names on other masks; the fingerprints tell, where both are known."""
    reports = [folder / "report.json" for folder in folders]
    if not all(report.is_file() for report in reports):
        return
    data = [json.loads(report.read_text(encoding="utf-8"))["data"] for report in reports]
    prints = [entry["fingerprint"] for entry in data]
    if None not in prints and prints[0] != prints[1]:
        raise ValueError(
            f"The reports are of different data: {folders[0]} of {data[0]['name']} ({prints[0]}), {folders[1]} of "
            f"{data[1]['name']} ({prints[1]}). Evaluate both models on the same rows."
        )
