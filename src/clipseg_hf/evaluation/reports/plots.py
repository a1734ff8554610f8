"""Pictures of an evaluation: curves over thresholds; bars for classes, and for ways of showing an object."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from clipseg_hf.evaluation.metrics.prompt_results import PromptResults

COLORS = {"text": "#2563eb", "image": "#d97706", "mix": "#059669"}
SEEN, UNSEEN = "#2563eb", "#d97706"
_PALE, _GRID = "#9ca3af", "#e5e7eb"
_SPARE = ("#7c3aed", "#dc2626", "#0891b2", "#4b5563")


def plot_curves(
    results: dict[str, PromptResults], path: str | Path, title: str = "", arithmetic: str = "default"
) -> Path:
    """Draw mIoU and IoU_FG over the threshold, and precision over recall, a line for each kind of prompt; with the
    number of samples.

    Args:
        results: kind of prompt -> results; those without samples are left out.
        path: of the picture (PNG, SVG or PDF).

    Raises:
        ValueError: no kind has samples.
    """
    from matplotlib.figure import Figure  # no pyplot: nothing global changes

    results = {kind: result for kind, result in results.items() if len(result.counts)}
    if not results:
        raise ValueError("There is nothing to plot: no kind of prompt has samples.")
    figure = Figure(figsize=(9, 3.6), layout="constrained", dpi=150)
    left, right = figure.subplots(1, 2)
    spare = iter(_SPARE * len(results))
    for kind, result in results.items():
        color = COLORS.get(kind) or next(spare)
        curves = result.counts.curves(arithmetic)
        summary = result.counts.compute(arithmetic, at=())
        name = f"{kind} ({len(result.counts):,})"
        left.plot(curves["thresholds"], curves["miou"], color=color, label=f"{name}: mIoU")
        left.plot(curves["thresholds"], curves["iou_fg"], color=color, linestyle=":", label=f"{name}: IoU FG")
        left.plot(summary["miou_best_t"], summary["miou_best"], "o", color=color, markersize=4)
        found = curves["recall"] > 0  # where nothing is found, the precision says nothing
        right.plot(
            curves["recall"][found],
            curves["precision"][found],
            color=color,
            label=f"{kind}: AP {100 * summary['ap']:.1f}",
        )
    left.set(xlabel="threshold", ylabel="IoU", xlim=(0, 1), ylim=(0, 1))
    right.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    for axes in (left, right):
        axes.grid(color=_GRID, linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    return _save(figure, title, path)


def plot_classes(
    summary: Mapping[str, Mapping[str, Mapping]], unseen: Collection[str], path: str | Path, title: str = ""
) -> Path:
    """Draw each class's IoU, a panel for each reading, seen and unseen classes in two colours, the best on top.

    Args:
        summary: that of `summarize_zero_shot`.
        unseen: names of the unseen classes.
        path: of the picture (PNG, SVG or PDF).
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rows = max(len(group["all"]["per_class"]) for group in summary.values())
    figure = Figure(figsize=(4.5 * len(summary), 1.3 + 0.22 * rows), layout="constrained", dpi=150)
    for axes, (reading, group) in zip(figure.subplots(1, len(summary), squeeze=False)[0], summary.items(), strict=True):
        ious = {name: iou for name, iou in group["all"]["per_class"].items() if not np.isnan(iou)}
        ranked = sorted(ious, key=lambda name: ious[name])
        colors = [UNSEEN if name in unseen else SEEN for name in ranked]
        axes.barh(ranked, [ious[name] for name in ranked], color=colors, height=0.7)
        axes.set_title(f"{reading}: mIoU {100 * group['all']['miou']:.1f}", fontsize=10)
        axes.set(xlabel="IoU", xlim=(0, 1))
        handles = [Patch(color=SEEN, label="seen"), Patch(color=UNSEEN, label="unseen")]
        axes.legend(handles=handles, frameon=False, fontsize=8, loc="lower right")
        _only_bars(axes)
    return _save(figure, title, path)


def plot_gains(summary: Mapping[str, Mapping[str, Mapping]], path: str | Path, title: str = "") -> Path:
    """Draw by how much each way of showing an object raises the probability of its name, with two standard errors to
    either side, and the published gains beside them.

    Args:
        summary: that of `StudyResult`.
        path: of the picture (PNG, SVG or PDF).
    """
    from matplotlib.figure import Figure

    ways = [(name, group["all"]) for name, group in summary.items() if "gain" in group["all"]]
    figure = Figure(figsize=(8, 1.3 + 0.3 * len(ways)), layout="constrained", dpi=150)
    axes = figure.subplots()
    places = np.arange(len(ways))[::-1]
    gains = [100 * numbers["gain"] for _, numbers in ways]
    errors = [200 * numbers["error"] for _, numbers in ways]
    axes.barh(places, gains, xerr=errors, color=SEEN, ecolor="#1f2937", height=0.7, label="here", capsize=2)
    published = [(place, 100 * n["published"]) for place, (_, n) in zip(places, ways, strict=True) if "published" in n]
    if published:
        marks, values = zip(*published, strict=True)
        label = "published: CLIP ViT-B/16 on LVIS"
        axes.plot(values, marks, "D", color=UNSEEN, markeredgecolor="white", markersize=6, label=label)
    axes.set_yticks(places, [name for name, _ in ways])
    axes.axvline(0, color=_PALE, linewidth=0.8)
    axes.set_xlabel("gain in the probability of the true name, in points")
    axes.legend(frameon=False, fontsize=8, loc="best")
    _only_bars(axes)
    return _save(figure, title, path)


def _only_bars(axes) -> None:
    axes.grid(axis="x", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(y=0.01)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=8)


def _save(figure, title: str, path: str | Path) -> Path:
    figure.suptitle(title, fontsize=11)
    figure.savefig(path)
    return Path(path)
