"""How much should an example weigh beside a text?

    clipseg-hf scenes outputs/emoji-world --train 10000 --val 500 --test 500 --seed 0
    OMP_NUM_THREADS=1 python benchmarks/mixture_weights.py outputs/emoji-world [--weights 0.1 0.2 ...]

asks a checkpoint (emoji-tiny) about validation scenes by text and example together, x = a s + (1 - a) t (paper, section
3), for several a. Weights that the JSON has already are kept, if model, scenes and versions are the same. The numbers
go to `benchmarks/mixture_weights.json` and a table of `benchmarks/README.md`.
"""

import argparse
import json
from pathlib import Path

import torch
from reporting import put_table

from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.data.phrasecut.phrasecut_plus import load_phrasecut_plus
from clipseg_hf.data.rows.rows import evenly
from clipseg_hf.evaluation import ConceptSubsets, ReferringSettings, evaluate_referring, fingerprint_rows, summarize
from clipseg_hf.evaluation.benchmarks.benchmark_data import unseen_emoji
from clipseg_hf.modeling.checkpoints.checkpoint_files import weights_checksum
from clipseg_hf.modeling.model_names import find_model
from clipseg_hf.training.devices.accelerator import processor_name

RESULTS = Path(__file__).with_name("mixture_weights.json")
COLUMNS = {"seen": "seen", "unseen": "unseen", "all": "all phrases", "boundary": "boundary IoU", "auroc": "AUROC"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("world", help="folder that `clipseg-hf scenes` wrote")
    parser.add_argument("--model", default="emoji-tiny", help="a checkpoint")
    parser.add_argument("--weights", type=float, nargs="+", default=[n / 10 for n in range(11)])
    parser.add_argument("--scenes", type=int, default=500, help="of the validation split, evenly spread")
    given = parser.parse_args()
    name = find_model(given.model)
    model = CLIPSegForImageSegmentation.from_pretrained(name)
    processor = CLIPSegProcessor.from_pretrained(name)
    rows = evenly(load_phrasecut_plus(given.world, split="val"), given.scenes)
    about = {
        "model": given.model,
        "checksum": weights_checksum(model.state_dict()),
        "scenes": len(rows),
        "fingerprint": fingerprint_rows(rows),
        "processor": processor_name(),
        "torch": torch.__version__,
    }
    weights = {}
    if RESULTS.is_file():
        kept = json.loads(RESULTS.read_text(encoding="utf-8"))
        before = kept.pop("weights")
        weights = before if kept == about else {}
    for weight in given.weights:
        if f"{weight:g}" not in weights:
            weights[f"{weight:g}"] = ask(model, processor, rows, weight)
        results = about | {"weights": dict(sorted(weights.items(), key=lambda entry: float(entry[0])))}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    put_table("mixture weights", table(results))


def ask(model: CLIPSegForImageSegmentation, processor: CLIPSegProcessor, rows: list[dict], weight: float) -> dict:
    """Mean IoU at 0.5 of seen and of unseen things and of all, boundary IoU, and how well presence is told."""
    settings = ReferringSettings(prompts=("mix",), image_prompt_weight=weight, boundary_thresholds=(0.5,))
    subsets = ConceptSubsets({"unseen": unseen_emoji()}, rest="seen")
    found = summarize(evaluate_referring(model, processor, rows, settings, subsets=subsets, progress=True))["mix"]
    return {kind: found[kind]["miou_0.5"] for kind in ("seen", "unseen", "all")} | {
        "boundary": found["all"]["boundary_iou_0.5"],
        "auroc": found["all"]["presence"]["auroc"],
        "phrases": {kind: found[kind]["samples"] for kind in ("seen", "unseen")},
    }


def table(results: dict) -> str:
    """A row for each weight."""
    phrases = next(iter(results["weights"].values()))["phrases"]
    lines = [
        f"{results['model']}, {results['scenes']} validation scenes, {phrases['seen']} phrases of seen and "
        f"{phrases['unseen']} of unseen things that another scene has an example of; mean IoU at 0.5. "
        f"{results['processor']}, torch {results['torch']}.",
        "",
        "| weight of the example | " + " | ".join(COLUMNS.values()) + " |",
        "| ---: |" + " ---: |" * len(COLUMNS),
    ]
    for weight, numbers in results["weights"].items():
        lines.append(f"| {weight} | " + " | ".join(f"{numbers[name]:.3f}" for name in COLUMNS) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
