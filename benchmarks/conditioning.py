"""How else could a prompt reach the decoder? CLIPSeg against two ways beyond the paper, at equal weights and steps.

    clipseg-hf scenes outputs/emoji-world --train 10000 --val 500 --test 500 --seed 0
    OMP_NUM_THREADS=1 python benchmarks/conditioning.py outputs/emoji-world outputs/conditioning [--seeds 0 1 2]

trains decoders on emoji-tiny's CLIP by `examples/recipes/emoji-tiny.yaml` (the paper's, FiLM before the first block),
by `emoji-film-every-block.yaml` and by `emoji-prompt-tokens.yaml`, from several seeds, shorter than those recipes say,
and measures each on all test scenes; how long a step and a decode take is measured in turns in the end. A finished
training is not repeated, so several processes can take seeds each. Of the seeds that all have, the results go to
`benchmarks/conditioning.json` and a table of `benchmarks/README.md`.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from reporting import put_table, spread

from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.data.phrasecut.phrasecut_plus import load_phrasecut_plus
from clipseg_hf.evaluation import ReferringSettings, evaluate_referring, summarize
from clipseg_hf.evaluation.benchmarks.benchmark_data import subsets_for
from clipseg_hf.reproduction.embedded_clip import write_embedded_clip
from clipseg_hf.training import CLIPSegTrainingArguments, train
from clipseg_hf.training.devices.accelerator import processor_name

HERE = Path(__file__).parent
RECIPES = {
    "FiLM at the first block (CLIPSeg)": "emoji-tiny",
    "FiLM at every block": "emoji-film-every-block",
    "attention to the prompt's tokens": "emoji-prompt-tokens",
}
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
                fit(recipe, seed, run, clip, given)
                record = measure(run / "final", given.world)
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
        "speed": speed({name: given.work / f"{recipe}-{done[0]}" / "final" for name, recipe in RECIPES.items()}),
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


def fit(recipe: str, seed: int, run: Path, clip: Path, given: argparse.Namespace) -> None:
    """Train."""
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
        "visual_prompt": {"context": 0.5},  # what this CLIP knows an example by: visual_prompts.py
        "eval_steps": given.steps // 2,
        "save_steps": given.steps // 2,
        "eval_samples": 100,
        "calibrate": False,
        "report_to": [],
        "picture_samples": 0,
        "seed": seed,
    }
    train(CLIPSegTrainingArguments.from_yaml(HERE.parent / "examples" / "recipes" / f"{recipe}.yaml", changes))


def measure(checkpoint: Path, world: Path) -> dict:
    """Mean IoU and presence on all test scenes, and weights."""
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
    return {"numbers": numbers, "weights": weights}


def speed(checkpoints: dict[str, Path], repeats: int = 25) -> dict[str, dict[str, float]]:
    """Milliseconds of the processor for a step of 16 mixtures on four pictures of 256 x 256, and for the decode of a
    prompt at 352 x 352: the least of several, taken in turns."""
    models = {name: CLIPSegForImageSegmentation.from_pretrained(folder) for name, folder in checkpoints.items()}
    times: dict[str, dict[str, list[float]]] = {name: {"step": [], "decode": []} for name in models}
    labels, owners = torch.rand(16, 256, 256) < 0.2, torch.arange(16) // 4
    texts = torch.randint(2, 1990, (16, 8))
    texts[:, -1] = 1999
    parts = {
        name: (
            model.get_vision_features(torch.rand(4, 3, 256, 256)),
            model.get_vision_features(torch.rand(1, 3, 352, 352)),
            model.get_conditional_embeddings(input_ids=texts, conditional_pixel_values=torch.rand(16, 3, 256, 256)),
        )
        for name, model in models.items()
    }
    for _ in range(repeats):
        for name, model in models.items():
            four, one, prompts = parts[name]
            model.train()
            began = time.process_time()
            answer = model(vision_embeds=four, conditional_embeddings=prompts, prompt_to_image=owners, labels=labels)
            answer.loss.backward()
            times[name]["step"].append(time.process_time() - began)
            model.eval()
            began = time.process_time()
            with torch.no_grad():
                model(vision_embeds=one, conditional_embeddings=prompts[:4])
            times[name]["decode"].append((time.process_time() - began) / 4)
    return {name: {what: 1000 * min(found) for what, found in kinds.items()} for name, kinds in times.items()}


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
        lines.append(f"| {column} | " + " | ".join(spread(values) for values in cells) + " |")
    lines.append("| weights | " + " | ".join(f"{runs[0]['weights']:,}" for runs in results["runs"].values()) + " |")
    for what, title in (("step", "a step, ms"), ("decode", "a prompt's decode, ms")):
        lines.append(f"| {title} | " + " | ".join(f"{kinds[what]:.1f}" for kinds in results["speed"].values()) + " |")
    return "\n".join(lines)


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
