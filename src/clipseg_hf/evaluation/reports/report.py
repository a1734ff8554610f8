"""An evaluation as files: JSON, a Markdown table, plots, a look at samples, and a block for the model card.

report.json       everything, with model, data, versions and settings
report.md         the table
model_index.yaml  the block of numbers for the model card's head, where there are such numbers
samples.jsonl     one line per sample, for `clipseg-hf compare`
curves.png        IoU over threshold, precision over recall
classes.png       IoU of each class (zero-shot)
gains.png         what each way of showing an object gains (visual prompts)
samples_*.png     best, median and worst samples of each kind of prompt
"""

import json
import math
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from clipseg_hf._output_files import write_whole
from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.data.rows.rows import only_columns
from clipseg_hf.evaluation.metrics.comparison import sample_table
from clipseg_hf.evaluation.metrics.prompt_results import ALL, Evaluation
from clipseg_hf.evaluation.protocols.one_shot import MEAN
from clipseg_hf.evaluation.protocols.queries import PROMPT_KINDS
from clipseg_hf.evaluation.reports.error_sheet import draw_contact_sheet
from clipseg_hf.evaluation.reports.plots import plot_classes, plot_curves, plot_gains

PACKAGES = ("clipseg-hf", "torch", "transformers", "datasets", "numpy", "pillow")
WRITTEN = (
    *("report.json", "report.md", "model_index.yaml", "samples.jsonl", "samples_*.png"),
    *("classes.png", "gains.png", "curves.png"),
)
"""The files of a report."""
SHEET_SETTINGS = ("templates", "image_prompt_weight")
CARD_SUBSETS = (ALL, MEAN, "seen", "unseen", "harmonic")
_NOT_OF_THE_DECODER = ("probability", "gain", "published")  # of its CLIP, which has a card of its own
_UNTITLED_FOLDERS = ("final", "best", "checkpoint")
# What the table shows where it is there, and what it is called; the model card takes the same.
COLUMNS = {
    "miou_0.24": "mIoU @0.24",
    "miou_0.28": "mIoU @0.28",
    "miou_0.3": "mIoU @0.3",
    "miou_0.5": "mIoU @0.5",
    "miou_best": "mIoU best",
    "miou": "mIoU",
    "iou_fg_0.3": "IoU FG @0.3",
    "iou_fg_0.5": "IoU FG @0.5",
    "iou_bin_0.24": "IoU bin @0.24",
    "iou_bin_0.5": "IoU bin @0.5",
    "ap": "AP",
    "phrasecut_0.3.mean_iou": "PhraseCut mean IoU @0.3",
    "phrasecut_0.3.cumulative_iou": "PhraseCut cumulative @0.3",
    "phrasecut_0.3.accuracy_0.5": "PhraseCut Pr@0.5 @0.3",
    "boundary_iou_0.5": "boundary IoU @0.5",
    "probability": "probability",
    "gain": "gain",
    "published": "published",
    "presence.auroc": "presence AUROC",
    "presence.false_area_0.5": "false area @0.5",
}


def build_report(
    evaluation: Evaluation, *, model: str, data: str, fingerprint: str | None = None, thresholds: Sequence[float] = ()
) -> dict:
    """What report.json holds.

    Args:
        evaluation: what a protocol gave.
        model, data: names of the checkpoint and of the data set.
        fingerprint: of the data; see `fingerprint_rows`.
        thresholds: of the counts.
    """
    return {
        "benchmark": evaluation.benchmark,
        "model": model,
        "data": {"name": data, "fingerprint": fingerprint},
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "settings": evaluation.settings,
        "thresholds": list(thresholds),
        "results": evaluation.summary,
        "curves": {
            kind: {name: values.tolist() for name, values in result.counts.curves().items()}
            for kind, result in evaluation.results.items()
            if len(result.counts)
        },
    }


def write_report(
    evaluation: Evaluation,
    folder: str | Path,
    *,
    model: str,
    data: str,
    fingerprint: str | None = None,
    segmenter: tuple | None = None,
) -> dict[str, Path]:
    """Write an evaluation into a folder, which is made where it is missing; a report that is there is replaced whole.

    Args:
        model, data, fingerprint: see `build_report`; the fingerprint is that of the evaluation's rows where left out.
        segmenter: (model, processor), to draw samples with; left out, none are drawn.

    Returns:
        What was written: name -> path.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "report.json").exists():
        for path in (path for pattern in WRITTEN for path in folder.glob(pattern)):
            path.unlink()
    rows = evaluation.rows
    if fingerprint is None and rows is not None:
        fingerprint = fingerprint_rows(rows)
    counted = {kind: result for kind, result in evaluation.results.items() if len(result.counts)}
    thresholds = next(iter(counted.values())).counts.thresholds if counted else ()
    report = build_report(evaluation, model=model, data=data, fingerprint=fingerprint, thresholds=thresholds)
    title = f"{short_name(model)} on {short_name(data)}: {evaluation.benchmark}"
    written = {
        "report": _write(folder / "report.json", to_json(report)),
        "table": _write(folder / "report.md", f"# {title}\n\n{markdown_table(evaluation.summary)}"),
    }
    split = evaluation.settings.get("split") or "unknown"
    index = model_index(evaluation, model=short_name(model), data=short_name(data), split=split)
    if index[0]["results"][0]["metrics"]:
        written["model_index"] = _write(folder / "model_index.yaml", _to_yaml({"model-index": index}))
    groups = evaluation.summary.values()
    if any("per_class" in group.get(ALL, {}) for group in groups):
        written["classes"] = plot_classes(
            evaluation.summary, evaluation.settings.get("unseen", ()), folder / "classes.png", title
        )
    if any("gain" in group.get(ALL, {}) for group in groups):
        written["gains"] = plot_gains(evaluation.summary, folder / "gains.png", title)
    if counted:
        lines = (json.dumps(line, ensure_ascii=False) + "\n" for line in sample_table(counted))
        written["samples"] = _write(folder / "samples.jsonl", "".join(lines))
        written["curves"] = plot_curves(counted, folder / "curves.png", title)
    if segmenter is not None and rows is not None:
        options = {name: evaluation.settings[name] for name in SHEET_SETTINGS if name in evaluation.settings}
        for kind, result in counted.items():
            path = folder / f"samples_{kind}.png"
            each = 4 if kind == "text" else 3  # with examples they are wider
            written[f"samples_{kind}"] = draw_contact_sheet(
                *segmenter, rows, result, path, prompt=kind, each=each, **options
            )
    return written


def to_json(report: Mapping) -> str:
    """A report as JSON text. What is not a number (NaN: there was nothing to count) becomes null."""
    return json.dumps(_finite(report), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_samples(path: str | Path) -> list[dict]:
    """The lines of a samples.jsonl, for `comparison.compare`.

    Raises:
        FileNotFoundError: there is none; says what writes it.
    """
    path = Path(path)
    path = path if path.suffix == ".jsonl" else path / "samples.jsonl"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: it is written by an evaluation with an output folder.")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def markdown_table(summary: Mapping[str, Mapping[str, Mapping]]) -> str:
    """Prompt -> subset -> numbers as a Markdown table, in percent; only the columns that some line has."""
    lines = [
        (prompt, subset, flatten(numbers)) for prompt, group in summary.items() for subset, numbers in group.items()
    ]
    columns = [name for name in COLUMNS if any(_is_number(numbers.get(name)) for _, _, numbers in lines)]
    counted = ["samples"] if any("samples" in numbers for _, _, numbers in lines) else []
    header = ["prompt", "subset", *counted, *(COLUMNS[name] for name in columns)]
    table = [header, ["---", "---", *["---:"] * (len(header) - 2)]]
    for prompt, subset, numbers in lines:
        cells = [f"{100 * numbers[name]:.1f}" if _is_number(numbers.get(name)) else "" for name in columns]
        table.append([prompt, subset, *(str(numbers.get(name, "")) for name in counted), *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in table)


def model_index(
    evaluation: Evaluation, *, model: str, data: str, data_id: str | None = None, split: str = "test"
) -> list[dict]:
    """The `model-index` block of a model card: numbers over all samples of each kind of prompt, over those of seen and
    of unseen classes, means of folds; whichever there are.

    Args:
        model, data: names to be shown.
        data_id: of the data set on the Hub, where it is there.
        split: of the data.
    """
    metrics = []
    for prompt, group in evaluation.summary.items():
        asked = f"{prompt} prompts" if prompt in PROMPT_KINDS else prompt
        for subset in (name for name in CARD_SUBSETS if name in group):
            numbers = flatten(group[subset])
            where = asked if subset in (ALL, MEAN) else f"{asked}, {subset}"
            for name, title in COLUMNS.items():
                if name not in _NOT_OF_THE_DECODER and _is_number(numbers.get(name)):
                    value = round(numbers[name], 4)
                    metrics.append({"type": name.replace(".", "_"), "name": f"{title} ({where})", "value": value})
    source = {"name": data, "type": data_id or data.lower().replace(" ", "-"), "split": split}
    task = {"type": "image-segmentation", "name": evaluation.benchmark}
    return [{"name": model, "results": [{"task": task, "dataset": source, "metrics": metrics}]}]


def short_name(name: str | Path) -> str:
    """What stands in titles and on cards for a folder: its name, not where it lies on this machine. The name of
    something on the Hub stays whole."""
    path = Path(name)
    if not (path.is_absolute() or path.exists()) or not path.name:
        return str(name)
    return "/".join(path.parts[-2:]) if path.name.startswith(_UNTITLED_FOLDERS) else path.name


def flatten(numbers: Mapping, prefix: str = "") -> dict:
    """Nested numbers under names with dots: {"presence": {"auroc": 1}} -> {"presence.auroc": 1}."""
    flat = {}
    for name, value in numbers.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def fingerprint_rows(rows) -> str:
    """16 digits that change with an image's name, a phrase or a mask of the rows. Pixels are not read. Data that is no
    rows says its own (`fingerprint()`)."""
    if hasattr(rows, "fingerprint"):
        return rows.fingerprint()
    rows = only_columns(rows, "image_id", "phrases")
    return digest(
        *(
            digest(row["image_id"], *(part for phrase in row["phrases"] for part in _identity(phrase)))
            for row in (rows[n] for n in range(len(rows)))
        )
    )


def _identity(phrase: Mapping) -> list[str]:
    """What a fingerprint says of a phrase; what does not count only where there is something."""
    runs = [phrase["mask"], phrase.get("ignore")]
    return [phrase["phrase"], *(r["counts"] for r in runs if r is not None and r["counts"] is not None)]


def _to_yaml(block: Mapping) -> str:
    import yaml

    return yaml.safe_dump(block, sort_keys=False, allow_unicode=True)


def _finite(value):
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _write(path: Path, text: str) -> Path:
    return write_whole(path, lambda draft: draft.write_text(text, encoding="utf-8"))
