"""Many prompts on an image: transformers' CLIPSeg and ours in turn, in seconds, megabytes and differing pixels.

    python benchmarks/inference.py                      # everything: some 15 minutes on one core
    python benchmarks/inference.py --prompts 1 4 --rounds 1 --no-memory     # a look

ViT-B/16 at 352 x 352 with the refined readout and random weights, the same in both. Both get the prompts in one call:
stock needs an image for each of them, ours needs each image once. Per case the two take turns, so that whatever else
the machine does hits both; the median over the rounds counts. Memory is what one call adds to the process at its peak,
measured in a fresh process for each. Results go to `benchmarks/inference.json` and into the table of
`benchmarks/README.md`.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from reporting import put_table
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.training.devices.accelerator import processor_name

HERE = Path(__file__).parent
SIDE = 352
KINDS = ("stock", "ours", "bf16")
Runner = Callable[[], Tensor]


def build_model() -> CLIPSegForImageSegmentation:
    """ViT-B/16 with the refined readout; the weights are random but the same each time, of a trained model's scale."""
    torch.manual_seed(0)
    clip = CLIPModel(CLIPConfig(vision_config={"patch_size": 16}))
    return CLIPSegForImageSegmentation.from_clip(clip, use_complex_transposed_convolution=True)


def build_stock(model: CLIPSegForImageSegmentation) -> transformers.CLIPSegForImageSegmentation:
    """transformers' model with the same weights."""
    return transformers.CLIPSegForImageSegmentation.from_pretrained(
        None, config=model.config, state_dict=model.state_dict()
    )


def build_inputs(images: int, prompts: int) -> dict[str, Tensor]:
    """`images` smooth random pictures with `prompts` texts of 5 to 10 tokens each, padded as a tokenizer does."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(images, 3, 22, 22, generator=generator)
    total = images * prompts
    input_ids = torch.full((total, 10), 49407)
    attention_mask = torch.zeros_like(input_ids)
    for row in range(total):
        words = 3 + row % 6
        input_ids[row, 0] = 49406
        input_ids[row, 1 : 1 + words] = torch.randint(256, 40_000, (words,), generator=generator)
        attention_mask[row, : words + 2] = 1
    return {
        "pixel_values": torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic"),
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "prompt_to_image": torch.arange(images).repeat_interleave(prompts),
    }


def make_runner(kind: str, model: torch.nn.Module, inputs: dict[str, Tensor]) -> Runner:
    """A call of `model` that returns its logits; stock gets every image once for each of its prompts."""
    inputs = dict(inputs)
    if kind == "stock":
        inputs["pixel_values"] = inputs["pixel_values"][inputs.pop("prompt_to_image")]

    def run() -> Tensor:
        with torch.inference_mode():
            return model(**inputs).logits

    return run


def time_in_turn(runners: dict[str, Runner], rounds: int) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Median seconds of each runner over the rounds, and their logits."""
    seconds = {kind: [] for kind in runners}
    logits = {}
    for _ in range(rounds):
        for kind, run in runners.items():
            start = time.perf_counter()
            logits[kind] = run()
            seconds[kind].append(time.perf_counter() - start)
    return {kind: statistics.median(values) for kind, values in seconds.items()}, logits


def mask_iou(logits: Tensor, expected: Tensor) -> float:
    """Mean IoU of the halves of the pictures above each map's median: the longest borders there can be."""
    threshold = expected.flatten(1).median(1).values[:, None, None]
    ours, theirs = logits > threshold, expected > threshold
    return ((ours & theirs).sum((1, 2)) / (ours | theirs).sum((1, 2))).mean().item()


def compare(logits: dict[str, Tensor]) -> dict[str, float]:
    """How far ours and ours in bfloat16 are from stock in float32."""
    stock, bf16 = logits["stock"], logits["bf16"].float()
    return {
        "max_difference": (logits["ours"] - stock).abs().max().item(),
        "bf16_relative_error": ((bf16 - stock).norm() / (stock - stock.mean()).norm()).item(),
        "bf16_mask_iou": mask_iou(bf16, stock),
    }


def added_memory(run: Runner) -> float:
    """Megabytes that `run` adds to this process at its peak (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what it is now
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    return int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def memory_of(kind: str, images: int, prompts: int, threads: int) -> float:
    """`added_memory` in a fresh process."""
    command = [sys.executable, __file__, "--memory-of", kind, str(images), str(prompts), "--threads", str(threads)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(output.splitlines()[-1])


def print_memory_of(kind: str, images: int, prompts: int) -> None:
    model = build_model()
    model = {"stock": build_stock, "ours": lambda model: model, "bf16": lambda model: model.bfloat16()}[kind](model)
    run = make_runner(kind, model, build_inputs(images, prompts))
    print(added_memory(run))


def describe_machine(threads: int) -> dict[str, object]:
    """What the numbers depend on."""
    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    flags = re.search(r"flags\s*:\s*(.+)", cpuinfo)
    known = set(flags[1].split()) if flags else set()
    return {
        "processor": processor_name(),
        "instructions": [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in known],
        "threads": threads,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "load_before": os.getloadavg()[0],
    }


def as_table(results: dict) -> str:
    """The results in Markdown."""
    machine = results["machine"]
    lines = [
        f"{machine['processor']} ({', '.join(machine['instructions'])}), {machine['threads']} thread(s), "
        f"torch {machine['torch']}, transformers {machine['transformers']}.",
        "",
        "| images x prompts | stock | ours | | ours, bf16 | | memory: stock | ours | bf16 | bf16: error | IoU |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case in results["cases"]:
        seconds, memory = case["seconds"], case.get("megabytes", {})
        cells = [
            f"{case['images']} x {case['prompts']}",
            f"{seconds['stock']:.2f} s",
            *(
                cell
                for kind in ("ours", "bf16")
                for cell in (f"{seconds[kind]:.2f} s", f"**{seconds['stock'] / seconds[kind]:.1f} x**")
            ),
            *(f"{memory[kind]:.0f} MB" if memory else "" for kind in KINDS),
            f"{100 * case['bf16_relative_error']:.1f} %",
            f"{case['bf16_mask_iou']:.4f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    worst = max(case["max_difference"] for case in results["cases"])
    lines += ["", f"Largest difference between a logit of ours and of stock in float32: {worst:.1e}."]
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, nargs="+", default=[1, 4, 16, 80], help="prompts on one image")
    parser.add_argument("--batch", type=int, nargs=2, default=[4, 4], help="images and prompts of each; 0 0: none")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each; the median counts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-memory", action="store_true", help="time only")
    parser.add_argument("--output", type=Path, help="JSON file; default: benchmarks/inference.json, and its table")
    parser.add_argument("--memory-of", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    transformers.utils.logging.disable_progress_bar()
    if arguments.memory_of:
        kind, images, prompts = arguments.memory_of
        print_memory_of(kind, int(images), int(prompts))
        return

    results = {"machine": describe_machine(arguments.threads), "rounds": arguments.rounds, "cases": []}
    model = build_model()
    models = {"stock": build_stock(model), "ours": model, "bf16": build_model().bfloat16()}
    cases = [(1, prompts) for prompts in arguments.prompts] + ([tuple(arguments.batch)] if all(arguments.batch) else [])
    warm_up = build_inputs(1, 1)
    for kind, model in models.items():
        make_runner(kind, model, warm_up)()
    for images, prompts in cases:
        inputs = build_inputs(images, prompts)
        runners = {kind: make_runner(kind, model, inputs) for kind, model in models.items()}
        seconds, logits = time_in_turn(runners, arguments.rounds)
        case = {"images": images, "prompts": prompts, "seconds": seconds, **compare(logits)}
        if not arguments.no_memory:
            case["megabytes"] = {kind: memory_of(kind, images, prompts, arguments.threads) for kind in KINDS}
        results["cases"].append(case)
        print(json.dumps(case))

    table = as_table(results)
    print(table)
    output = arguments.output or HERE / "inference.json"
    output.write_text(json.dumps(results, indent=2) + "\n")
    if arguments.output is None:
        put_table("inference", table)


if __name__ == "__main__":
    main()
