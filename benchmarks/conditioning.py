"""Does it help to let the prompt modulate every block of the decoder? CLIPSeg against it, at equal weights and steps.

    clipseg-hf scenes outputs/emoji-world --train 3000 --val 500 --test 500 --seed 0
    OMP_NUM_THREADS=1 python benchmarks/conditioning.py outputs/emoji-world outputs/conditioning [--seeds 0 1 2]

trains decoders on emoji-tiny's CLIP by `examples/recipes/emoji-tiny.yaml` (the paper's, FiLM before the first block)
and by `emoji-film-every-block.yaml`, from several seeds, shorter than those recipes say, and measures each on all test
scenes. A finished training is not repeated, so several processes can take seeds each. Of the seeds that both have, the
results go to `benchmarks/conditioning.json` and a table of `benchmarks/README.md`.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from reporting import put_table

from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.data.phrasecut.phrasecut_plus import load_phrasecut_plus
from clipseg_hf.evaluation import ReferringSettings, evaluate_referring, summarize
from clipseg_hf.evaluation.benchmarks.benchmark_data import subsets_for
from clipseg_hf.reproduction.embedded_clip import write_embedded_clip
from clipseg_hf.training import CLIPSegTrainingArguments, train
from clipseg_hf.training.devices.accelerator import processor_name

HERE = Path(__file__).parent
RECIPES = {"FiLM at the first block (CLIPSeg)": "emoji-tiny", "FiLM at every block": "emoji-film-every-block"}
SEEDS = (0, 1, 2)
COLUMNS = {  # of the table: kind of prompt, subset, number
    "text, seen": ("text", "seen", "miou_0.5"),
    "text, unseen": ("text", "unseen", "miou_0.5"),
    "relations": ("text", "relations", "miou_0.5"),
    "example, seen": ("image", "seen", "miou_0.5"),
    "example, unseen": ("image", "unseen", "miou_0.5"),
    "both, seen": ("mix", "seen", "miou_0.5"),
    "both, unseen": ("mix", "unseen", "miou_0.5"),
    "AUROC, text": ("text", "all", "auroc"),
}
HALFWAY = {
    "halfway, 100 validation scenes: text": "text_miou_0.5",
    "halfway: example": "image_miou_0.5",
    "halfway: AUROC, text": "text_auroc",
}


def main() -> None:
    given = _arguments()
    torch.set_num_threads(1)
    clip = given.work / "clip"
    if not clip.exists():
        write_embedded_clip(clip)
    for seed in given.seeds:
        for recipe in given.recipes:
            run = given.work / f"{recipe}-{seed}"
            if not (run / "measured.json").exists():
                seconds = fit(recipe, seed, run, clip, given)
                record = {"training_seconds": seconds, **measure(run / "final", given.world)}
                (run / "measured.json").write_text(json.dumps(record, indent=1) + "\n")
    done = [
        seed for seed in SEEDS if all((given.work / f"{r}-{seed}" / "measured.json").exists() for r in RECIPES.values())
    ]
    if not done:
        return
    results = {
        "processor": processor_name(),
        "torch": torch.__version__,
        "steps": given.steps,
        "seeds": done,
        "runs": {
            name: [read(given.work / f"{recipe}-{seed}", given.steps) for seed in done]
            for name, recipe in RECIPES.items()
        },
    }
    (HERE / "conditioning.json").write_text(json.dumps(results, indent=1) + "\n")
    put_table("conditioning", table(results))


def read(run: Path, steps: int) -> dict:
    """What was measured of a finished training, and its validation halfway."""
    logged = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    halfway = next(line for line in logged if line["step"] == steps // 2 and "text_miou_0.5" in line)
    record = json.loads((run / "measured.json").read_text())
    record["numbers"] |= {column: halfway[name] for column, name in HALFWAY.items()}
    return record


def fit(recipe: str, seed: int, run: Path, clip: Path, given: argparse.Namespace) -> float:
    """Train; -> how many seconds its steps took, without caches and checkpoints."""
    changes = {
        "output_dir": str(run),
        "train_data": str(given.world),
        "clip_name_or_path": str(clip),
        "cache_dir": str(given.cache or given.work / "cache"),
        "max_train_samples": 3000,
        "max_steps": given.steps,
        "per_device_train_batch_size": 16,
        "warmup_steps": 50,
        "mixed_precision": "no",
        "eval_steps": given.steps // 2,
        "save_steps": given.steps // 2,
        "eval_samples": 100,
        "calibrate": False,
        "report_to": [],
        "picture_samples": 0,
        "seed": seed,
    }
    train(CLIPSegTrainingArguments.from_yaml(HERE.parent / "examples" / "recipes" / f"{recipe}.yaml", changes))
    logged = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return max(line["seconds"] for line in logged if "seconds" in line)


def measure(checkpoint: Path, world: Path) -> dict:
    """Mean IoU and presence on all test scenes; weights; and a prompt's decode in milliseconds, at 352 x 352."""
    model = CLIPSegForImageSegmentation.from_pretrained(checkpoint)
    rows = load_phrasecut_plus(str(world), split="test")
    concepts = subsets_for(world)

    def subsets(row: dict, phrase: dict) -> list[str]:
        return concepts(row, phrase) + ["relations"] * bool(phrase["relations"])

    settings = ReferringSettings(boundary_thresholds=())
    summary = summarize(
        evaluate_referring(model, CLIPSegProcessor.from_pretrained(checkpoint), rows, settings, subsets=subsets)
    )
    numbers = {}
    for column, (kind, subset, name) in COLUMNS.items():
        values = summary[kind][subset]
        numbers[column] = values["presence"]["auroc"] if name == "auroc" else values[name]
    weights = sum(parameter.numel() for parameter in model.decoder.parameters())
    return {"numbers": numbers, "weights": weights, "decode_ms": _decode_ms(model)}


@torch.no_grad()
def _decode_ms(model, prompts: int = 4, repeats: int = 15) -> float:
    features, times = model.get_vision_features(torch.rand(1, 3, 352, 352)), []
    vectors = torch.randn(prompts, model.config.projection_dim)
    for _ in range(repeats):
        began = time.process_time()
        model(vision_embeds=features, conditional_embeddings=vectors)
        times.append(time.process_time() - began)
    return 1000 * min(times) / prompts


def table(results: dict) -> str:
    """Means over the seeds, and how far these lie apart."""
    lines = [
        f"{results['processor']}, one thread, torch {results['torch']}; {results['steps']:,} steps of 16 prompts, "
        f"seeds {', '.join(map(str, results['seeds']))}: mean (lowest to highest). Mean IoU at 0.5 on the 500 test "
        "scenes.",
        "",
        "| | " + " | ".join(results["runs"]) + " |",
        "| --- |" + " ---: |" * len(results["runs"]),
    ]
    for column in (*COLUMNS, *HALFWAY):
        cells = [[run["numbers"][column] for run in runs] for runs in results["runs"].values()]
        lines.append(f"| {column} | " + " | ".join(_spread(values, 3) for values in cells) + " |")
    lines.append("| weights | " + " | ".join(f"{runs[0]['weights']:,}" for runs in results["runs"].values()) + " |")
    for name, title in (("training_seconds", "training, s"), ("decode_ms", "a prompt's decode, ms")):
        cells = [[run[name] for run in runs] for runs in results["runs"].values()]
        digits = 0 if name == "training_seconds" else 1
        lines.append(f"| {title} | " + " | ".join(_spread(values, digits) for values in cells) + " |")
    return "\n".join(lines)


def _spread(values: list[float], digits: int) -> str:
    mean, low, high = (f"{value:.{digits}f}" for value in (statistics.mean(values), min(values), max(values)))
    return f"{mean} ({low} to {high})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("world", type=Path, help="folder that `clipseg-hf scenes` wrote")
    parser.add_argument("work", type=Path, help="folder for the trainings")
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="to train now, of 0, 1 and 2")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES.values()), help="to train now")
    parser.add_argument("--cache", type=Path, help="for prompts and features; default: in WORK")
    return parser.parse_args()


if __name__ == "__main__":
    main()
