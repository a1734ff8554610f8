"""Curves of an evaluation: IoU over the threshold, precision over recall."""

from pathlib import Path

from clipseg_hf.evaluation.results import PromptResults

COLORS = {"text": "#2563eb", "image": "#d97706", "mix": "#059669"}
_SPARE = ("#7c3aed", "#dc2626", "#0891b2", "#4b5563")


def plot_curves(results: dict[str, PromptResults], path: str | Path, title: str = "", flavor: str = "default") -> Path:
    """Draw mIoU and IoU_FG over the threshold, and precision over recall, a line for each kind of prompt.

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
        curves = result.counts.curves(flavor)
        summary = result.counts.compute(flavor, at=())
        left.plot(curves["thresholds"], curves["miou"], color=color, label=f"{kind}: mIoU")
        left.plot(curves["thresholds"], curves["iou_fg"], color=color, linestyle=":", label=f"{kind}: IoU FG")
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
        axes.grid(color="#e5e7eb", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path)
    return Path(path)
