"""Many prompts on an image: transformers' CLIPSeg and ours in turn, in seconds, megabytes and differing pixels.

    python benchmarks/inference.py                      # everything: some 25 minutes on one core
    python benchmarks/inference.py --prompts 1 4 --rounds 1 --no-memory --output look.json

ViT-B/16 at 352 x 352 with the refined readout and random weights, the same in all. All get the prompts in one call:
stock needs an image for each of them, ours needs each image once. Per case they take turns, so that whatever else the
machine does hits all; the median over the rounds counts. With one thread the time is the processor's, not the clock's.
Memory is what one call adds to the process at its peak, measured in a fresh process for each. What a processor could do
at best is printed beside it: the speed of plain matrix products in each kind of number.

Results go to `benchmarks/inference_runs/NAME.json`, one for each machine, and into the tables of `README.md` there.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import transformers
from reporting import put_table
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from clipseg_hf.export.graphs import make_graphs, write_graph
from clipseg_hf.export.precisions import convert_graph
from clipseg_hf.inference.onnx_model import GRAPHS, OnnxModel
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.modeling.layers import onednn
from clipseg_hf.training.devices.accelerator import processor_name

RUNS = Path(__file__).parent / "inference_runs"
SIDE = 352
KINDS = ("stock", "ours", "bf16")  # in PyTorch
ONNX = {"onnx": "float32", "int8": "int8"}
NAMES = {"ours": "float32", "bf16": "bfloat16", "onnx": "ONNX", "int8": "ONNX, int8"}
MEMORY_ROUNDS = 5  # of one prompt on one image, where it differs by 20 MB from process to process
Runner = Callable[[], Tensor]


def build_model(refined: bool = True, toy: bool = False) -> CLIPSegForImageSegmentation:
    """ViT-B/16; the weights are random but the same each time, of a trained model's scale. As a toy, a small one."""
    torch.manual_seed(0)
    small = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2, "num_hidden_layers": 3}
    towers = {"vision_config": {"patch_size": 16, **(small if toy else {})}, "text_config": small if toy else {}}
    decoder = {"extract_layers": (0, 1, 2), "decoder_intermediate_size": 64} if toy else {}
    clip = CLIPModel(CLIPConfig(**towers))
    return CLIPSegForImageSegmentation.from_clip(clip, use_complex_transposed_convolution=refined, **decoder)


def side(toy: bool = False) -> int:
    """Height and width in pixels."""
    return 64 if toy else SIDE


def build_stock(model: CLIPSegForImageSegmentation) -> transformers.CLIPSegForImageSegmentation:
    """transformers' model with the same weights."""
    return transformers.CLIPSegForImageSegmentation.from_pretrained(
        None, config=model.config, state_dict=model.state_dict()
    )


def export(model: CLIPSegForImageSegmentation, folder: Path) -> None:
    """The graphs that texts need, in float32 and in 8 bits, as `clipseg-hf export onnx --int8` writes them."""
    model.config.save_pretrained(folder)
    (folder / GRAPHS).mkdir()
    for graph in make_graphs(model):
        if graph.name in ("image_encoder", "prompt_encoder_text", "decoder"):
            convert_graph(write_graph(graph, folder / GRAPHS), "int8")


def build_inputs(images: int, prompts: int, size: int = SIDE) -> dict[str, Tensor]:
    """`images` smooth random pictures with `prompts` texts of 5 to 10 tokens each, padded as a tokenizer does."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(images, 3, size // 16, size // 16, generator=generator)
    total = images * prompts
    input_ids = torch.full((total, 10), 49407)
    attention_mask = torch.zeros_like(input_ids)
    for row in range(total):
        words = 3 + row % 6
        input_ids[row, 0] = 49406
        input_ids[row, 1 : 1 + words] = torch.randint(256, 40_000, (words,), generator=generator)
        attention_mask[row, : words + 2] = 1
    return {
        "pixel_values": torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic"),
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


def make_onnx_runner(model: OnnxModel, inputs: dict[str, Tensor]) -> Runner:
    """The same by onnxruntime."""
    texts = {name: inputs[name].numpy() for name in ("input_ids", "attention_mask")}
    pixels, owners = inputs["pixel_values"].numpy(), inputs["prompt_to_image"]

    def run() -> Tensor:
        vectors = torch.from_numpy(np.stack(model.encode_prompts(**texts)))
        encoded = model.encode_images(pixels)
        asked = (vectors[owners == image].numpy() for image in range(len(pixels)))
        return torch.cat([torch.from_numpy(model.decode(*pair)) for pair in zip(encoded, asked, strict=True)])

    return run


def time_in_turn(runners: dict[str, Runner], rounds: int) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Median seconds of each runner over the rounds, and their logits."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    seconds = {kind: [] for kind in runners}
    logits = {}
    for _ in range(rounds):
        for kind, run in runners.items():
            start = clock()
            logits[kind] = run()
            seconds[kind].append(clock() - start)
    return {kind: statistics.median(values) for kind, values in seconds.items()}, logits


def mask_iou(logits: Tensor, expected: Tensor) -> float:
    """Mean IoU of the halves of the pictures above each map's median: the longest borders there can be."""
    threshold = expected.flatten(1).median(1).values[:, None, None]
    ours, theirs = logits > threshold, expected > threshold
    return ((ours & theirs).sum((1, 2)) / (ours | theirs).sum((1, 2))).mean().item()


def compare(logits: dict[str, Tensor]) -> dict[str, float]:
    """How far each is from stock in float32."""
    stock, found = logits["stock"], {"max_difference": (logits["ours"] - logits["stock"]).abs().max().item()}
    for kind in logits.keys() - {"stock", "ours"}:
        difference = (logits[kind].float() - stock).norm()
        found[f"{kind}_relative_error"] = (difference / (stock - stock.mean()).norm()).item()
        found[f"{kind}_mask_iou"] = mask_iou(logits[kind].float(), stock)
    return found


def added_memory(run: Runner) -> float:
    """Megabytes that `run` adds to this process at its peak (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what it is now
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    return int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def memory_of(kind: str, images: int, prompts: int, threads: int) -> float:
    """`added_memory` in a fresh process, or its median over several where the call is small."""
    command = [sys.executable, __file__, "--memory-of", kind, str(images), str(prompts), "--threads", str(threads)]
    found = [
        subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        for _ in range(MEMORY_ROUNDS if images * prompts == 1 else 1)
    ]
    return statistics.median(map(float, found))


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
        "by_onednn": onednn.choices(),
        "gflops": measure_products(),
    }


def measure_products() -> dict[str, float]:
    """Billions of multiplications and additions a second in one of CLIP's products, (485, 768) by (768, 3072)."""
    x, weight = torch.randn(485, 768), torch.randn(3072, 768)
    halves = x.bfloat16(), weight.bfloat16()
    ways = {
        "PyTorch, float32": lambda: torch.nn.functional.linear(x, weight),
        "oneDNN, float32": lambda: torch.nn.functional.linear(x.to_mkldnn(), weight).to_dense(),
        "PyTorch, bfloat16": lambda: torch.nn.functional.linear(*halves),
    }
    with torch.inference_mode():
        seconds, _ = time_in_turn(ways, 5)
    return {way: 2 * x.numel() * len(weight) / taken / 1e9 for way, taken in seconds.items()}


def as_table(results: dict) -> str:
    """The results of one machine in Markdown."""
    machine, cases = results["machine"], results["cases"]
    kinds = [kind for kind in NAMES if kind in cases[0]["seconds"]]
    products = ", ".join(f"{way} {speed:.0f}" for way, speed in machine.get("gflops", {}).items())
    used = [name for name, is_used in machine.get("by_onednn", {}).items() if is_used]
    lines = [
        f"**{machine['processor']} ({', '.join(machine['instructions'])})**, {machine['threads']} thread(s), "
        f"torch {machine['torch']}, transformers {machine['transformers']}."
        + (f" Matrix products, GFLOP/s: {products}; by oneDNN: {', '.join(used) or 'nothing'}." if products else ""),
        "",
        "| images x prompts | stock | " + " | ".join(f"{NAMES[kind]} | times stock" for kind in kinds) + " |",
        "| --- | ---: |" + " ---: | ---: |" * len(kinds),
    ]
    for case in cases:
        seconds = case["seconds"]
        pairs = [f"{seconds[kind]:.2f} s | **{seconds['stock'] / seconds[kind]:.1f}**" for kind in kinds]
        cells = [f"{case['images']} x {case['prompts']}", f"{seconds['stock']:.2f} s", *pairs]
        lines.append("| " + " | ".join(cells) + " |")
    small = [kind for kind in kinds if f"{kind}_mask_iou" in cases[0]]
    measured = KINDS if "megabytes" in cases[0] else ()
    titles = [f"memory: {'stock' if kind == 'stock' else NAMES[kind]}" for kind in measured]
    titles += [f"{NAMES[kind]}: error | IoU" for kind in small]
    lines += [
        "",
        f"| images x prompts | {' | '.join(titles)} |",
        "| --- |" + " ---: |" * (len(measured) + 2 * len(small)),
    ]
    for case in cases:
        cells = [
            f"{case['images']} x {case['prompts']}",
            *(f"{case['megabytes'][kind]:.0f} MB" for kind in measured),
            *(f"{100 * case[f'{kind}_relative_error']:.2g} % | {case[f'{kind}_mask_iou']:.4f}" for kind in small),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    worst = max(case["max_difference"] for case in cases)
    lines += ["", f"Largest difference between a logit of ours and of stock in float32: {worst:.1e}."]
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, nargs="+", default=[1, 4, 16, 80], help="prompts on one image")
    parser.add_argument("--batch", type=int, nargs=2, default=[4, 4], help="images and prompts of each; 0 0: none")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each; the median counts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-memory", action="store_true", help="time only")
    parser.add_argument("--name", help="of this machine; default: its processor and newest instructions")
    parser.add_argument("--output", type=Path, help="JSON file, and no table; default: inference_runs/NAME.json")
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
    print(json.dumps(results["machine"]))
    model = build_model()
    models = {"stock": build_stock(model), "ours": model, "bf16": build_model().bfloat16()}
    cases = [(1, prompts) for prompts in arguments.prompts] + ([tuple(arguments.batch)] if all(arguments.batch) else [])
    with tempfile.TemporaryDirectory() as folder:
        export(model, Path(folder))
        exported = {kind: OnnxModel(folder, dtype=dtype, num_threads=arguments.threads) for kind, dtype in ONNX.items()}
        for images, prompts in [(1, 1), *cases]:  # the first is there to warm up
            inputs = build_inputs(images, prompts)
            runners = {kind: make_runner(kind, model, inputs) for kind, model in models.items()}
            runners |= {kind: make_onnx_runner(graphs, inputs) for kind, graphs in exported.items()}
            seconds, logits = time_in_turn(runners, arguments.rounds)
            results["cases"].append({"images": images, "prompts": prompts, "seconds": seconds, **compare(logits)})
            print(json.dumps(results["cases"][-1]), flush=True)
        del results["cases"][0]
    if not arguments.no_memory:
        for case in results["cases"]:
            images, prompts = case["images"], case["prompts"]
            case["megabytes"] = {kind: memory_of(kind, images, prompts, arguments.threads) for kind in KINDS}

    print(as_table(results))
    name = arguments.name or "-".join([results["machine"]["processor"], *results["machine"]["instructions"][-1:]])
    output = arguments.output or RUNS / f"{name.lower().replace(' ', '-')}.json"
    output.write_text(json.dumps(results, indent=2) + "\n")
    if arguments.output is None:
        runs = [json.loads(path.read_text()) for path in sorted(RUNS.glob("*.json"))]
        put_table("inference", "\n\n".join(map(as_table, runs)))


if __name__ == "__main__":
    main()
