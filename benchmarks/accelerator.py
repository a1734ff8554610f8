"""What a GPU does: inference, training steps and the loader's appetite, in under 8 minutes, as one JSON file.

    python benchmarks/accelerator.py --output gpu.json
    python benchmarks/accelerator.py --toy --cpu --output look.json     # seconds, on any machine: to try the script

ViT-B/16 at 352 x 352 with random weights. Needs no network, no font and no data: pictures are made up. Each part is
measured after a warm-up, synchronised, as the median of some turns; parts are taken in the order of what is asked most,
and what does not fit into `--minutes` any more is listed as left out. Peaks are of the device's memory.

- inference: stock, ours, ours in bfloat16, and that compiled, for 1 to 1,000 prompts on one image. Stock gets at most
  `STOCK_AT_ONCE` images in a call, the image again for each prompt.
- ceilings: the speed of a large bfloat16 product, and what of it the vision tower reaches.
- training: the ways of `benchmarks/training.py`, uncached and cached.
- loader: batches made by worker processes against batches that the device takes.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from torch import Tensor

import training
from clipseg_hf.data import PromptSampler, SamplingSettings
from clipseg_hf.training.batches import LoaderSettings, SampleStream, StepPlan, make_loader, reading
from inference import build_inputs, build_model, build_stock, describe_machine, side
from training import PER_IMAGE, Bench, seconds_of, synchronize

STOCK_AT_ONCE = 100
PAPER_SAMPLES = 20_000 * 64


class Clock:
    """The time that is left, and what had to be left out for it."""

    def __init__(self, minutes: float):
        self.end = time.monotonic() + 60 * minutes
        self.left_out: list[str] = []

    def allows(self, what: str, seconds: float) -> bool:
        """Whether something that takes about so long still fits in; noted if it does not."""
        fits = time.monotonic() + seconds < self.end
        if not fits:
            self.left_out.append(what)
        return fits


def measure(call: Callable[[], object], device: torch.device, turns: int) -> dict[str, float]:
    """Median seconds of a call after one to warm up, and megabytes that it adds at its peak on an accelerator."""
    call()
    synchronize(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    found = {"seconds": statistics.median(seconds_of(call, device)[0] for _ in range(turns))}
    if device.type == "cuda":
        found["added_megabytes"] = (torch.cuda.max_memory_allocated() - before) / 1e6
    return found


def measure_inference(arguments: argparse.Namespace, device: torch.device, clock: Clock) -> list[dict]:
    """Seconds of each kind for each number of prompts, and how far its logits are from stock's."""
    models = {"ours": build_model(toy=arguments.toy)}
    models["stock"] = build_stock(models["ours"])
    models["bf16"] = build_model(toy=arguments.toy).bfloat16()
    models["bf16, compiled"] = build_model(toy=arguments.toy).bfloat16()
    for model in models.values():
        model.to(device).eval()
    models["bf16, compiled"].compile(backend="eager" if arguments.toy else "inductor", dynamic=False)
    cases = []
    for prompts in arguments.prompts:
        inputs = {name: value.to(device) for name, value in build_inputs(1, prompts, side(arguments.toy)).items()}
        case, logits = {"prompts": prompts}, {}
        for kind in ("stock", "ours", "bf16", "bf16, compiled"):
            call = make_call(models[kind], inputs, is_stock=kind == "stock")
            if clock.allows(f"inference: {prompts} prompts, {kind}", 60 if "compiled" in kind else 20):
                case[kind] = measure(call, device, arguments.turns)
                logits[kind] = call().float()
        if "stock" in logits:
            spread = (logits["stock"] - logits["stock"].mean()).norm()
            case["relative_error"] = {
                kind: ((found - logits["stock"]).norm() / spread).item()
                for kind, found in logits.items()
                if kind != "stock"
            }
            case["times_stock"] = {kind: case["stock"]["seconds"] / case[kind]["seconds"] for kind in logits}
        cases.append(case)
        print(json.dumps(case), flush=True)
    return cases


def make_call(model: torch.nn.Module, inputs: dict[str, Tensor], is_stock: bool) -> Callable[[], Tensor]:
    """A call that returns all logits; stock gets the image again for each prompt."""

    def ask() -> Tensor:
        with torch.inference_mode():
            return model(**inputs).logits

    def ask_stock() -> Tensor:
        parts = []
        for ids, mask in zip(
            *(inputs[name].split(STOCK_AT_ONCE) for name in ("input_ids", "attention_mask")), strict=True
        ):
            pixels = inputs["pixel_values"].expand(len(ids), -1, -1, -1)
            with torch.inference_mode():
                logits = model(pixel_values=pixels, input_ids=ids, attention_mask=mask).logits
            parts.append(logits.reshape(len(ids), *logits.shape[-2:]))  # stock drops the axis of a single prompt
        return torch.cat(parts)

    return ask_stock if is_stock else ask


def measure_ceilings(bench: Bench, toy: bool) -> dict[str, float]:
    """Teraflops of a large bf16 matrix product, and of the vision tower's layers."""
    width, images = 256 if toy else 8192, 2 if toy else 16
    left, right = (torch.randn(width, width, device=bench.device, dtype=torch.bfloat16) for _ in range(2))
    peak = 2 * width**3 / measure(lambda: left @ right, bench.device, 30)["seconds"]
    vision, layers = bench.model.config.vision_config, max(bench.model.config.extract_layers) + 1
    pixels = torch.randn(images, 3, side(toy), side(toy), device=bench.device)
    tokens, hidden = 1 + (side(toy) // vision.patch_size) ** 2, vision.intermediate_size
    products = 4 * vision.hidden_size**2 + 2 * vision.hidden_size * hidden
    work = images * layers * (2 * tokens * products + 4 * tokens**2 * vision.hidden_size)

    def encode() -> None:
        with torch.no_grad(), torch.autocast(bench.device.type, dtype=torch.bfloat16):
            bench.model.get_vision_features(pixels)

    reached = work / measure(encode, bench.device, 30)["seconds"]
    return {"peak_teraflops": peak / 1e12, "tower_teraflops": reached / 1e12, "tower_share_of_peak": reached / peak}


def measure_training(arguments: argparse.Namespace, bench: Bench, clock: Clock) -> dict[str, dict]:
    """Each way's phrases per second and loss, batches ready-made."""
    found = {}
    for way in ("prompts", "all", "ours", "stock", "compiled"):  # compiled last: it changes the model for the others
        if way == "compiled" and bench.device.type != "cuda":
            continue
        if clock.allows(f"training: {training.WAYS[way]}", 90 if way == "compiled" else 30):
            step = bench.step(way)
            losses: list[float] = []
            timed = measure(lambda step=step, losses=losses: losses.append(step()), bench.device, arguments.turns)
            found[way] = {"phrases_per_second": arguments.phrases / timed["seconds"], "loss": losses[-1], **timed}
            print(json.dumps({way: found[way]}), flush=True)
    return found


def measure_loader(arguments: argparse.Namespace, bench: Bench, phrases_per_second: float) -> dict[str, float]:
    """Phrases that the loader makes in a second, against those that the device takes, and the paper's training time."""
    settings = SamplingSettings(phrases_per_image=PER_IMAGE, image_size=side(arguments.toy))
    stream = SampleStream(PromptSampler(bench.sampler.rows, settings, load_supports=False))
    plan = StepPlan(len(stream), arguments.phrases // PER_IMAGE, stop=arguments.batches)
    workers = LoaderSettings(arguments.workers, 2, bench.device.type == "cuda")
    with reading(make_loader(stream, plan, bench.collator, workers)) as batches:
        next(batches)  # the workers are up
        start = time.perf_counter()
        made = sum(len(batch["labels"]) for batch in batches)
    rate = made / (time.perf_counter() - start)
    return {
        "workers": arguments.workers,
        "loader_phrases_per_second": rate,
        "device_phrases_per_second": phrases_per_second,
        "loader_over_device": rate / phrases_per_second,
        "minutes_for_the_papers_samples": PAPER_SAMPLES / min(rate, phrases_per_second) / 60,
    }


def as_table(results: dict) -> str:
    """The results in Markdown."""
    machine = results["machine"]
    lines = [
        f"**{results['device']}**, torch {machine['torch']}, transformers {machine['transformers']}; "
        f"{results['seconds']:.0f} s in all.",
        "",
        "| prompts on one image | stock | float32 | times stock | bfloat16 | times stock | compiled | times stock |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for case in results["inference"]:
        cells = [str(case["prompts"]), f"{1e3 * case['stock']['seconds']:.1f} ms" if "stock" in case else ""]
        for kind in ("ours", "bf16", "bf16, compiled"):
            cells.append(f"{1e3 * case[kind]['seconds']:.1f} ms" if kind in case else "")
            cells.append(f"**{case['times_stock'][kind]:.1f}**" if kind in case.get("times_stock", {}) else "")
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| training, bf16 | phrases/s |", "| --- | ---: |"]
    lines += [
        f"| {training.WAYS[way]} | {found['phrases_per_second']:.0f} |" for way, found in results["training"].items()
    ]
    if loader := results.get("loader"):
        lines += [
            "",
            f"The loader with {loader['workers']} workers makes {loader['loader_phrases_per_second']:.0f} phrases/s, "
            f"{loader['loader_over_device']:.1f} times what the device takes by way (c).",
        ]
    if results["left_out"]:
        lines += ["", f"Left out for want of time: {'; '.join(results['left_out'])}."]
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="JSON file")
    parser.add_argument("--minutes", type=float, default=7.5, help="no part is begun that would not end by then")
    parser.add_argument("--prompts", type=int, nargs="+", default=[1, 16, 80, 1000], help="on one image")
    parser.add_argument("--phrases", type=int, default=64, help="in a training step; a multiple of 4")
    parser.add_argument("--turns", type=int, default=7, help="of which the median counts")
    parser.add_argument("--workers", type=int, default=12, help="of the loader")
    parser.add_argument("--batches", type=int, default=100, help="of the loader")
    parser.add_argument("--cpu", action="store_true", help="on the CPU even where there is an accelerator")
    parser.add_argument("--toy", action="store_true", help="a model that takes no time, to try the script")
    arguments = parser.parse_args()
    if arguments.phrases % PER_IMAGE:
        parser.error(f"--phrases is a multiple of {PER_IMAGE}, got {arguments.phrases}")
    if not (arguments.cpu or torch.cuda.is_available()):
        parser.error("there is no GPU here; --cpu --toy tries the script without one")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    transformers.utils.logging.disable_progress_bar()
    begun, clock = time.monotonic(), Clock(arguments.minutes)
    device = torch.device("cpu" if arguments.cpu else "cuda")
    machine = describe_machine(torch.get_num_threads())
    name = machine["processor"] if arguments.cpu else torch.cuda.get_device_name()
    results = {"device": name, "machine": machine, "toy": arguments.toy, "turns": arguments.turns}
    results["inference"] = measure_inference(arguments, device, clock)
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench("bf16", arguments.phrases, Path(scratch), arguments.cpu, arguments.toy)
        results["ceilings"] = measure_ceilings(bench, arguments.toy)
        results["phrases_per_step"] = arguments.phrases
        results["training"] = measure_training(arguments, bench, clock)
        if "prompts" in results["training"] and clock.allows("loader", 60):
            taken = results["training"]["prompts"]["phrases_per_second"]
            results["loader"] = measure_loader(arguments, bench, taken)
    results["left_out"], results["seconds"] = clock.left_out, time.monotonic() - begun
    arguments.output.write_text(json.dumps(results, indent=2) + "\n")
    print(as_table(results))


if __name__ == "__main__":
    main()
