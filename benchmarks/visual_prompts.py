"""What should an example show? IoU of `emoji-tiny` by how its visual prompts are made, for two uses.

    OMP_NUM_THREADS=1 python benchmarks/visual_prompts.py outputs/emoji-world

"Another scene" is the evaluation's own: an example of the same phrase, with its whole mask. "A stroke" is what somebody
brushes on a page: a disc of half the thing's radius, in its middle, on the picture that is asked itself. Validation
scenes; the numbers go to `benchmarks/visual_prompts.json` and a table of `benchmarks/README.md`.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from reporting import put_table

from clipseg_hf import EMOJI_TINY, CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.data.phrasecut.phrasecut_plus import load_phrasecut_plus
from clipseg_hf.data.rows.row_phrases import phrase_mask
from clipseg_hf.evaluation import ConceptSubsets, ReferringSettings, evaluate_referring, summarize
from clipseg_hf.evaluation.benchmarks.benchmark_data import unseen_emoji
from clipseg_hf.inference import Prompt, Segmenter
from clipseg_hf.processing import VisualPromptSettings
from clipseg_hf.training.devices.accelerator import processor_name

HERE = Path(__file__).parent
VARIANTS = {
    "the method's own (context 10 %)": {},
    "context 50 %": {"context": 0.5},
    "context 50 %, no blur": {"context": 0.5, "blur": False},
    "context 50 %, background 30 %": {"context": 0.5, "background": 0.3},
    "context 50 %, background 0 %": {"context": 0.5, "background": 0.0},
    "context 100 %": {"context": 1.0},
    "context 100 %, background 0 %": {"context": 1.0, "background": 0.0},
    "context 200 %": {"context": 2.0},
    "context 200 %, background 0 %": {"context": 2.0, "background": 0.0},
    "the whole picture": {"crop": False},
}


def by_example(model, processor, rows: list[dict]) -> dict[str, float]:
    """Mean IoU at 0.5 of the phrases that another of the scenes has: "all", "seen", "unseen"."""
    settings = ReferringSettings(prompts=("image",), boundary_thresholds=())
    subsets = ConceptSubsets({"unseen": unseen_emoji()}, rest="seen")
    found = summarize(evaluate_referring(model, processor, rows, settings, subsets=subsets))["image"]
    return {name: found[name]["miou_0.5"] for name in ("all", "seen", "unseen")} | {"phrases": found["all"]["samples"]}


def by_stroke(segmenter: Segmenter, rows: list[dict]) -> dict[str, float]:
    """Mean IoU of the things that are brushed, by the page's thresholds, and how many of them find nothing."""
    overlaps, nothing = [], 0
    for picture, thing in _things(rows):
        prompt = Prompt(image=picture, mask=Image.fromarray(_stroke(thing)), label="example")
        mask = segmenter(picture, prompt)[0].masks[0]
        overlaps.append(np.sum(mask & thing) / np.sum(mask | thing))
        nothing += not mask.any()
    return {"iou": float(np.mean(overlaps)), "nothing": nothing / len(overlaps), "things": len(overlaps)}


def _things(rows: list[dict]) -> Iterator[tuple[Image.Image, np.ndarray]]:
    """Pictures with the mask (H, W) bool of one thing that is the only one of its name."""
    for row in rows:
        for number, phrase in enumerate(row["phrases"]):
            if phrase["phrase"] == phrase["name"] and len(phrase["boxes"]) == 1:
                yield row["image"].convert("RGB"), phrase_mask(row["phrases"], number)


def _stroke(thing: np.ndarray) -> np.ndarray:
    """A disc (H, W) bool around the middle of a thing, of half the radius of a disc of its area."""
    y, x = np.nonzero(thing)
    down, right = np.ogrid[: thing.shape[0], : thing.shape[1]]
    return (down - y.mean()) ** 2 + (right - x.mean()) ** 2 <= thing.sum() / (4 * np.pi)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("world", type=Path, help="folder that `clipseg-hf scenes` wrote")
    parser.add_argument("--checkpoint", default=EMOJI_TINY)
    parser.add_argument("--scenes", type=int, default=150)
    parser.add_argument("--brushed", type=int, default=60, help="scenes whose things are brushed")
    given = parser.parse_args()
    scenes = load_phrasecut_plus(str(given.world), split="val")
    rows = [scenes[number] for number in range(given.scenes)]
    model, variants = CLIPSegForImageSegmentation.from_pretrained(given.checkpoint).eval(), {}
    for name, settings in VARIANTS.items():
        processor = CLIPSegProcessor.from_pretrained(given.checkpoint)
        processor.visual_prompt_settings = VisualPromptSettings(**settings)
        stroke = by_stroke(Segmenter(model, processor), rows[: given.brushed])
        variants[name] = {"example": by_example(model, processor, rows), "stroke": stroke}
        print(name, json.dumps(variants[name]), flush=True)
    results = {
        "processor": processor_name(),
        "torch": torch.__version__,
        "scenes": given.scenes,
        "scenes_brushed": given.brushed,
        "variants": variants,
    }
    (HERE / "visual_prompts.json").write_text(json.dumps(results, indent=1) + "\n")
    put_table("visual prompts", table(results))


def table(results: dict) -> str:
    """A row for each variant."""
    first = next(iter(results["variants"].values()))
    head = (
        f"{results['scenes']} validation scenes, {first['example']['phrases']} phrases by example; "
        f"{first['stroke']['things']} things of the first {results['scenes_brushed']} brushed."
    )
    lines = [head, "", "| | another scene: all | seen | unseen | a stroke | finds nothing |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, of in results["variants"].items():
        example, stroke = of["example"], of["stroke"]
        numbers = " | ".join(f"{example[key]:.3f}" for key in ("all", "seen", "unseen"))
        lines.append(f"| {name} | {numbers} | {stroke['iou']:.3f} | {stroke['nothing']:.0%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
