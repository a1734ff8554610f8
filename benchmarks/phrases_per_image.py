"""Does it harm to ask an image several phrases at once? Validation curves of 1 and of 4 phrases per image.

    python benchmarks/phrases_per_image.py --world emoji-world --clip outputs/emoji-clip --steps 600

Two trainings on the emoji world by the recipe of emoji-tiny, but with random crops, so that images have to be encoded
anew each time: that is where grouping saves time. Each step has up to 64 phrases, of 64 images or of 16. The curves go
to `benchmarks/phrases_per_image.png`, the numbers at equal phrases and at equal time to `benchmarks/README.md`.
"""

import argparse
import json
from pathlib import Path

from reporting import put_table

from clipseg_hf.training import CLIPSegTrainingArguments, train

HERE = Path(__file__).parent
METRICS = {"text_miou_best": "text", "image_miou_best": "example image"}


def run(phrases: int, arguments: argparse.Namespace) -> list[dict]:
    """Train, and return the validations with the phrases and seconds that came before them."""
    recipe = HERE.parent / "examples" / "recipes" / "emoji-tiny.yaml"
    output = arguments.output / f"{phrases}-per-image"
    changes = {
        "output_dir": str(output),
        "train_data": str(arguments.world),
        "clip_name_or_path": str(arguments.clip),
        "phrases_per_image": phrases,
        "crop": True,
        "cache_features": False,
        "cache_dir": str(arguments.output / "cache"),
        "max_steps": arguments.steps,
        "eval_steps": arguments.eval_steps,
        "logging_steps": arguments.eval_steps,
        "save_steps": arguments.eval_steps,
        "report_to": [],
        "picture_samples": 0,
        "calibrate": False,
        "seed": arguments.seed,
        "image_size": arguments.image_size,
        "warmup_steps": min(20, arguments.steps // 10),
    }
    if arguments.images:
        changes["max_train_samples"] = arguments.images
    train(CLIPSegTrainingArguments.from_yaml(recipe, changes))
    by_step: dict[int, dict] = {}
    for line in map(json.loads, (output / "log.jsonl").read_text().splitlines()):
        by_step.setdefault(line["step"], {}).update(line)
    return [line for line in by_step.values() if "text_miou_best" in line]


def value_at(curve: list[dict], axis: str, limit: float, metric: str) -> float:
    """A curve's value where its axis reaches `limit`, between validations on a straight line."""
    before = {axis: 0.0, metric: 0.0}
    for point in curve:
        if point[axis] >= limit:
            share = (limit - before[axis]) / (point[axis] - before[axis])
            return before[metric] + share * (point[metric] - before[metric])
        before = point
    return curve[-1][metric]


def compare(curves: dict[int, list[dict]]) -> dict:
    """The curves' values at the largest number of phrases, and of seconds, that both reached."""
    result = {}
    for axis in ("prompts", "seconds"):
        limit = min(curve[-1][axis] for curve in curves.values())
        values = {m: {p: value_at(curve, axis, limit, m) for p, curve in curves.items()} for m in METRICS}
        result[axis] = {"at": limit, **values}
    return result


def plot(curves: dict[int, list[dict]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), sharey=True, layout="constrained")
    for axis, name, label in zip(axes, ("prompts", "seconds"), ("phrases trained", "seconds of training"), strict=True):
        for phrases, curve in curves.items():
            for metric, style in zip(METRICS, ("-", "--"), strict=True):
                axis.plot(
                    [point[name] for point in curve],
                    [point[metric] for point in curve],
                    style,
                    color="C0" if phrases == 1 else "C1",
                    label=f"{phrases} per image, {METRICS[metric]}",
                )
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("mean IoU, best threshold")
    axes[1].legend(fontsize=8)
    figure.savefig(path, dpi=120)


def as_table(result: dict) -> str:
    lines = ["| at equal | text: 1 per image | 4 per image | example: 1 per image | 4 per image |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for axis, name in (("prompts", "phrases"), ("seconds", "seconds of training")):
        found = result[axis]
        cells = [f"{found[metric][phrases]:.3f}" for metric in METRICS for phrases in (1, 4)]
        lines.append(f"| {found['at']:,.0f} {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--world", type=Path, required=True, help="made by `clipseg-hf scenes`")
    parser.add_argument("--clip", type=Path, required=True, help="made by clipseg_hf.training.pretraining")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--eval-steps", type=int, default=100)
    parser.add_argument("--image-size", type=int, default=160, help="side of the query images in pixels")
    parser.add_argument("--images", type=int, help="train on the first so many scenes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("outputs/phrases-per-image"), help="of the trainings")
    parser.add_argument("--look", action="store_true", help="print only, leave benchmarks/ as it is")
    arguments = parser.parse_args()
    curves = {phrases: run(phrases, arguments) for phrases in (1, 4)}
    result = compare(curves)
    table = as_table(result)
    print(table)
    if not arguments.look:
        kept = {"steps": arguments.steps, "seed": arguments.seed, "comparison": result, "curves": curves}
        (HERE / "phrases_per_image.json").write_text(json.dumps(kept, indent=2) + "\n")
        plot(curves, HERE / "phrases_per_image.png")
        put_table("phrases per image", table)


if __name__ == "__main__":
    main()
