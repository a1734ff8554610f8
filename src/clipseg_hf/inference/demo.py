"""`clipseg-hf demo`: the embedded checkpoint on the embedded scenes, measured and drawn. No network, no font."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from clipseg_hf._output_files import refuse_file
from clipseg_hf.assets import EMOJI_SCENES, EMOJI_TINY
from clipseg_hf.data.phrasecut.phrasecut_plus import load_phrasecut_plus
from clipseg_hf.data.rows.row_phrases import different_phrases, phrase_mask
from clipseg_hf.drawing.overlay import overlay, palette
from clipseg_hf.evaluation import ConceptSubsets, ReferringSettings, evaluate_referring, summarize
from clipseg_hf.evaluation.benchmarks.benchmark_data import unseen_emoji
from clipseg_hf.inference.prompts import Prompt
from clipseg_hf.inference.results import Segmentation
from clipseg_hf.inference.segmenter import Segmenter
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.processing import CLIPSegProcessor, decode_rle

MEASURED = Path(EMOJI_TINY) / "measured.json"
FIGURE = "clipseg-demo.png"

# One row of the figure each: the scene, what is asked of it, and the scene that gives the example. They are picked from
# what works well, with and without training on the name; the printed numbers are over everything.
ROWS = (("13", "penguin", "2"), ("5", "laptop", "11"), ("22", "hamburger", "6"), ("12", "robot", "8"))
SEMANTIC_SCENE = "7"
ALONE = {"refiner": None, "prompt_tokens": None}  # without what stands beside the decoder
# Names in measured.json -> how it is told, how the model is loaded, and how it is measured.
WAYS: dict[str, tuple[str, dict, dict]] = {
    "numbers": ("as it ships", {}, {}),
    "base": ("the decoder alone, as stock transformers has it", ALONE, {}),
    "guided": ("the decoder alone, by the guided filter", ALONE, {"guided_filter": True}),
}
LIVE = ("numbers", "base")
# And two that nobody picked: of all phrases of these scenes by text, sorted by their IoU, that in the middle and that
# which a tenth is worse than.
PLACES = {"the median": 0.5, "a tenth is worse": 0.1}
INK, PAPER, OUTLINE = "#1d2733", "#ffffff", "#ff2d78"


def load_scenes() -> dict[str, dict]:
    """The shipped scenes: image id -> row."""
    return {row["image_id"]: row for row in load_phrasecut_plus(EMOJI_SCENES, split="test", streaming=True)}


def run_demo(output_dir: str | Path = "outputs/demo", *, echo: Callable[[str], None] = print) -> Path:
    """Segment the shipped scenes with `emoji-tiny`, print numbers, draw a figure.

    Args:
        output_dir: for the figure; made if it does not exist.
        echo: takes each line of the report.

    Returns:
        The figure's path.

    Raises:
        FileExistsError: output_dir is a file.
    """
    refuse_file(output_dir)
    start = time.perf_counter()
    segmenter, scenes = Segmenter.from_pretrained(EMOJI_TINY), load_scenes()
    rows = list(scenes.values())
    questions = sum(len(row["phrases"]) for row in rows)
    echo(f"emoji-tiny asks {len(rows)} scenes for {questions} phrases, by text, by example image and by both ...")
    live = measure_ways(EMOJI_TINY, rows, LIVE)
    echo(f"\nThese scenes, measured just now ({time.perf_counter() - start:.0f} s):")
    _tell(live, echo)
    if MEASURED.is_file():
        full = json.loads(MEASURED.read_text(encoding="utf-8"))
        echo(f"\n{full['data']}, measured by {full['script']}:")
        _tell(full, echo)
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    figure = draw_figure(segmenter, scenes, folder / FIGURE)
    echo(f"\nThe figure is at {figure} ({time.perf_counter() - start:.0f} s in all).")
    return figure


def measure_ways(
    checkpoint: str, rows: Sequence[dict], names: Sequence[str] = tuple(WAYS), *, progress: bool = False
) -> dict[str, dict]:
    """What `measure` gives for a checkpoint in several of the ways of `WAYS`."""
    processor, measured = CLIPSegProcessor.from_pretrained(checkpoint), {}
    for name in names:
        _, loading, measuring = WAYS[name]
        model = CLIPSegForImageSegmentation.from_pretrained(checkpoint, **loading)
        measured[name] = measure(model, processor, rows, progress=progress, **measuring)
    return measured


def _tell(numbers: Mapping[str, Any], echo: Callable[[str], None]) -> None:
    for name, (title, *_) in WAYS.items():
        if name in numbers:
            echo(f"  {title}:")
            echo(format_numbers(numbers[name]))


def measure(
    model: CLIPSegForImageSegmentation,
    processor: CLIPSegProcessor,
    rows: Sequence[dict],
    *,
    guided_filter: bool = False,
    progress: bool = False,
) -> dict:
    """Mean IoU by kind of prompt, for seen and unseen concepts, and how well absent things are told (AUROC).

    Args:
        guided_filter: see `ReferringSettings`.

    Returns:
        kind of prompt -> {"seen", "unseen"} at threshold 0.5, {"seen_0.3", "unseen_0.3"} at the paper's 0.3,
        "relations" ("fox left of banana"; None where no such phrase was asked) and "boundary" (boundary IoU) at 0.5,
        "auroc", and "samples", the number of phrases.
    """
    settings = ReferringSettings(boundary_thresholds=(0.5,), guided_filter=guided_filter)
    concepts = ConceptSubsets({"unseen": unseen_emoji()}, rest="seen")

    def subsets(row: Any, phrase: Any) -> list[str]:
        return [*concepts(row, phrase), *["relations"] * bool(phrase["relations"])]

    results = summarize(evaluate_referring(model, processor, rows, settings, subsets=subsets, progress=progress))
    return {kind: _pick(subset) for kind, subset in results.items()}


def _pick(subsets: dict) -> dict:
    def number(subset: str, name: str) -> float:
        return subsets.get(subset, {}).get(name, float("nan"))  # of few scenes none may ask for it

    return {
        "seen": number("seen", "miou_0.5"),
        "unseen": number("unseen", "miou_0.5"),
        "seen_0.3": number("seen", "miou_0.3"),
        "unseen_0.3": number("unseen", "miou_0.3"),
        "relations": subsets.get("relations", {}).get("miou_0.5"),
        "boundary": number("all", "boundary_iou_0.5"),
        "auroc": subsets["all"]["presence"]["auroc"],
        "samples": subsets["all"]["samples"],
    }


def format_numbers(numbers: dict) -> str:
    """What `measure` gives, as lines of a table."""
    names = {"text": "text", "image": "example image", "mix": "both"}
    lines = [
        f"  {'mean IoU':15}{'seen':>7}{'unseen':>9}{'seen':>9}{'unseen':>9}{'absent or':>13}",
        f"  {'prompt':15}{'at 0.5':>7}{'at 0.5':>9}{'at 0.3':>9}{'at 0.3':>9}{'present: AUROC':>17}{'phrases':>10}",
    ]
    for kind, values in numbers.items():
        lines.append(
            f"  {names[kind]:15}{values['seen']:7.3f}{values['unseen']:9.3f}{values['seen_0.3']:9.3f}"
            f"{values['unseen_0.3']:9.3f}{values['auroc']:17.3f}{values['samples']:10d}"
        )
    return "\n".join(lines)


def draw_figure(segmenter: Segmenter, scenes: dict[str, dict], path: Path) -> Path:
    """The poster: a scene a row, asked by text, by an example from another scene, by both; then a semantic map, and two
    phrases that nobody picked."""
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib import pyplot as plt

    titles = ("query image", "text prompt", "example image", "image prompt", "text + image")
    with plt.rc_context({"font.family": "DejaVu Sans", "text.color": INK, "figure.facecolor": PAPER}):
        rows = len(ROWS) + 2
        figure = plt.figure(figsize=(15, 3.1 * rows + 1.1), dpi=100)
        grid = figure.add_gridspec(rows, 5, left=0.02, right=0.98, top=0.91, bottom=0.02, hspace=0.16, wspace=0.05)
        figure.text(
            0.02, 0.973, "One frozen CLIP, one small decoder, any prompt", fontsize=23, weight="bold", va="center"
        )
        figure.text(
            0.02,
            0.956,
            "emoji-tiny: heat is the probability of each pixel, the pink line is the mask. "
            "No training phrase named the things marked *.",
            fontsize=12.5,
            va="center",
        )
        for number, (scene, phrase, other) in enumerate(ROWS):
            axes = [figure.add_subplot(grid[number, column]) for column in range(5)]
            _draw_row(axes, segmenter, scenes[scene], phrase, scenes[other])
            if number == 0:
                for axis, title in zip(axes, titles, strict=True):
                    axis.set_title(title, fontsize=13, weight="bold", color=INK, pad=22)
        _draw_semantic(figure, grid[len(ROWS), :], segmenter, scenes[SEMANTIC_SCENE])
        _draw_unpicked(figure, grid[len(ROWS) + 1, :], rank_phrases(segmenter, scenes))
        figure.savefig(path)
        plt.close(figure)
    return path


def _draw_row(axes: Sequence[Any], segmenter: Segmenter, scene: dict, phrase: str, other: dict) -> None:
    picture, example = scene["image"].convert("RGB"), other["image"].convert("RGB")
    mask = next(decode_rle(entry["mask"]) for entry in other["phrases"] if entry["phrase"] == phrase)
    prompts = [
        Prompt(text=phrase),
        Prompt(image=example, mask=Image.fromarray(mask)),
        Prompt(text=phrase, image=example, mask=Image.fromarray(mask)),
    ]
    result = segmenter(picture, prompts)[0]
    unseen = unseen_emoji()
    _show(axes[0], picture)
    _show(axes[2], _dimmed(example, mask))
    axes[2].contour(mask, [0.5], colors=OUTLINE, linewidths=1.6)
    for number, column in enumerate((1, 3, 4)):
        _draw_heat(axes[column], result, number)
    label = f"“{phrase}”" + (" *" if phrase in unseen else "")
    for column, text in ((1, label), (4, f"{label} + example")):
        axes[column].text(
            0.5, 1.02, text, transform=axes[column].transAxes, ha="center", va="bottom", fontsize=11.5, color=INK
        )


def _draw_semantic(figure: Any, place: Any, segmenter: Segmenter, scene: dict) -> None:
    """One scene asked for several things at once, each pixel given to the most probable."""
    from matplotlib.patches import Rectangle

    names = [entry["phrase"] for entry in scene["phrases"] if not entry["attributes"] and not entry["relations"]]
    picture = scene["image"].convert("RGB")
    result = segmenter(picture, names)[0].exclusive()
    left, right, words = place.subgridspec(1, 3, width_ratios=(1, 1, 2.2), wspace=0.05)
    _show(figure.add_subplot(left), picture)
    _show(figure.add_subplot(right), overlay(picture, result.masks))
    axis = figure.add_subplot(words)
    axis.axis("off")
    axis.text(0.0, 0.86, "Many prompts, one look at the image", fontsize=15, weight="bold", color=INK)
    for number, (name, colour) in enumerate(zip(names, palette(len(names)), strict=True)):
        height = 0.66 - 0.15 * number
        axis.add_patch(Rectangle((0.0, height - 0.03), 0.035, 0.09, color=tuple(part / 255 for part in colour)))
        found = f"{result.scores[number]:.2f}" if result.masks[number].any() else "not found"
        axis.text(0.055, height, f"{name}   {found}", fontsize=13, color=INK)
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)


def rank_phrases(segmenter: Segmenter, scenes: Mapping[str, dict]) -> list[tuple[float, str, Segmentation, int]]:
    """All phrases of scenes by text, the worst first: IoU, phrase, and the result with its number in it."""
    ranked = []
    for row in scenes.values():
        numbers = different_phrases(row["phrases"])
        phrases = [row["phrases"][number]["phrase"] for number in numbers]
        result = segmenter(row["image"].convert("RGB"), [Prompt(text=phrase) for phrase in phrases])[0]
        for place, (number, phrase) in enumerate(zip(numbers, phrases, strict=True)):
            truth, mask = phrase_mask(row["phrases"], number), result.masks[place]
            ranked.append((float((mask & truth).sum() / (mask | truth).sum()), phrase, result, place))
    return sorted(ranked, key=lambda entry: entry[0])


def _draw_unpicked(figure: Any, place: Any, ranked: Sequence[tuple[float, str, Segmentation, int]]) -> None:
    """Those at `PLACES` among all."""
    parts = place.subgridspec(1, 5, wspace=0.05)
    for number, (name, share) in enumerate(PLACES.items()):
        iou, phrase, result, which = ranked[round(share * (len(ranked) - 1))]
        left, right = (figure.add_subplot(parts[2 * number + column]) for column in range(2))
        _show(left, result.image)
        _draw_heat(right, result, which)
        for axis, text in ((left, f"{name}: IoU {iou:.2f}"), (right, f"“{phrase}”")):
            axis.set_title(text, fontsize=11.5, color=INK)
    axis = figure.add_subplot(parts[4])
    axis.axis("off")
    words = (
        f"Not picked: of all {len(ranked)} phrases\nof these scenes by text, sorted\n"
        "by IoU, the one in the middle,\nand the one that a tenth is\nworse than."
    )
    axis.text(0.02, 0.5, words, fontsize=13, color=INK, va="center")


def _draw_heat(axis: Any, result: Segmentation, number: int) -> None:
    probabilities = result.probabilities(number)
    _show(axis, _grey(result.image))
    axis.imshow(probabilities, cmap="plasma", vmin=0, vmax=1, alpha=probabilities**0.7)
    if result.masks[number].any():
        axis.contour(result.masks[number], [0.5], colors=OUTLINE, linewidths=1.6)


def _show(axis: Any, picture: Image.Image) -> None:
    axis.imshow(picture)
    axis.axis("off")


def _grey(picture: Image.Image) -> Image.Image:
    """The picture in pale grey, so that heat stands out."""
    return Image.blend(picture.convert("L").convert("RGB"), Image.new("RGB", picture.size, PAPER), 0.45)


def _dimmed(picture: Image.Image, mask: np.ndarray) -> Image.Image:
    """The picture with everything but the mask faded."""
    faded = Image.blend(picture, Image.new("RGB", picture.size, PAPER), 0.65)
    return Image.composite(picture, faded, Image.fromarray(mask))
