"""Reports of evaluations, as cards and the Hub want them."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import yaml
from huggingface_hub import EvalResult
from huggingface_hub.repocard_data import model_index_to_eval_results

from clipseg_hf.evaluation.metrics.comparison import compare
from clipseg_hf.evaluation.metrics.prompt_results import ALL
from clipseg_hf.evaluation.protocols.one_shot import MEAN
from clipseg_hf.evaluation.reports.report import COLUMNS, flatten, markdown_table, read_samples, to_json
from clipseg_hf.hub.portable import portable

HEADLINES = ("miou_0.5", "miou", "miou_best")  # the first of these that a benchmark gives stands for it
CURVES = "curves.png"


@dataclass(frozen=True)
class Report:
    """A folder that an evaluation wrote.

    Attributes:
        folder: where it is.
        content: its report.json, without paths of this machine.
    """

    folder: Path
    content: dict

    @classmethod
    def read(cls, folder: str | PathLike) -> "Report":
        """Read it.

        Raises:
            FileNotFoundError: there is none.
        """
        path = Path(folder) / "report.json"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: a report is the folder that `clipseg-hf evaluate -o` wrote.")
        return cls(Path(folder), portable(json.loads(path.read_text(encoding="utf-8"))))

    @property
    def benchmark(self) -> str:
        return self.content["benchmark"]

    @property
    def data(self) -> str:
        return self.content["data"]["name"]

    @property
    def name(self) -> str:
        """For files."""
        words = f"{self.benchmark}-{self.data}"
        return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in words)

    @property
    def protocol(self) -> str:
        """How it was measured, in a line: all settings but those that nobody set."""
        settings = {name: value for name, value in self.content["settings"].items() if value not in (None, [], {}, "")}
        told = ", ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in settings.items())
        versions = self.content["versions"]
        return f"{told}; clipseg-hf {versions.get('clipseg-hf')}, torch {versions.get('torch')}"

    @property
    def table(self) -> str:
        """All numbers, in percent, with the number of samples."""
        return markdown_table(self.content["results"]).rstrip()

    @property
    def eval_results(self) -> list[EvalResult]:
        """For the card's model-index."""
        path = self.folder / "model_index.yaml"
        if not path.is_file():
            return []
        return model_index_to_eval_results(yaml.safe_load(path.read_text(encoding="utf-8"))["model-index"])[1]

    def headlines(self) -> dict[str, tuple[str, float, int | None]]:
        """Kind of prompt -> the name of its main number, the number in [0, 1], and of how many samples it is."""
        found = {}
        for kind, group in self.content["results"].items():
            numbers = flatten(group.get(MEAN) or group.get(ALL) or {})
            name = next((name for name in HEADLINES if isinstance(numbers.get(name), float)), None)
            if name:
                found[kind] = (name, numbers[name], numbers.get("samples"))
        return found

    def write(self, folder: Path) -> None:
        """What others may read of it: the numbers and the curves, no pictures and no phrases of the data."""
        content = {name: value for name, value in self.content.items() if name != "curves"}
        (folder / f"{self.name}.json").write_text(to_json(content), encoding="utf-8")
        if (self.folder / CURVES).is_file():
            shutil.copy(self.folder / CURVES, folder / f"{self.name}-{CURVES}")


def eval_entries(reports: Sequence[Report], dataset_id: str) -> list[dict]:
    """The content of a file in `.eval_results/`: a number for each benchmark and kind of prompt.

    The format: https://huggingface.co/docs/hub/eval-results. The Hub shows those of data sets that are benchmarks.
    """
    entries = []
    for report in reports:
        for kind, (name, value, samples) in report.headlines().items():
            notes = f"{COLUMNS[name]} in percent, {kind} prompts, {samples} samples, by clipseg-hf's {report.benchmark}"
            task = f"{report.benchmark}_{kind}".replace("-", "_").replace(" ", "_")
            dataset = {"id": dataset_id, "task_id": task}
            entries.append({"dataset": dataset, "value": round(100 * value, 2), "notes": notes})
    return entries


def before_and_after(reports: Sequence[Report], before: Sequence[Report]) -> str:
    """A table of what the training changed, with the interval of a paired bootstrap; empty where nothing was measured
    on both.

    Raises:
        ValueError: a report of before is of a benchmark or of data that no other report is of.
    """
    now = {_question(report): report for report in reports}
    lines = []
    for old in before:
        new = now.get(_question(old))
        if new is None:
            asked = ", ".join(f"{report.benchmark} on {report.data}" for report in reports) or "nothing"
            raise ValueError(
                f"{old.folder} tells of {old.benchmark} on {old.data} before the training, but what was measured "
                f"after it is {asked}: evaluate both models on the same rows."
            )
        after = new.headlines()
        for kind, (name, value, samples) in old.headlines().items():
            if kind in after:
                values = f"{100 * value:.1f} | {100 * after[kind][1]:.1f} | {100 * (after[kind][1] - value):+.1f}"
                title = f"{new.benchmark} on {new.data} | {kind} | {COLUMNS[name]}"
                lines.append(f"| {title} | {samples} | {values} | {_interval(old, new, kind, name)} |")
    if not lines:
        return ""
    head = "| measured | prompt | number | samples | before | after | change | 95 % interval |"
    return "\n".join([head, "| --- | --- | --- | ---: | ---: | ---: | ---: | :---: |", *lines])


def _question(report: Report) -> tuple[str, str]:
    data = report.content["data"]
    return report.benchmark, data["fingerprint"] or data["name"]


def _interval(old: Report, new: Report, kind: str, name: str) -> str:
    if name != HEADLINES[0] or not all((report.folder / "samples.jsonl").is_file() for report in (old, new)):
        return ""
    found = compare(read_samples(old.folder), read_samples(new.folder), kind, threshold=0.5)
    return f"{100 * found.low:+.1f} ... {100 * found.high:+.1f}"
