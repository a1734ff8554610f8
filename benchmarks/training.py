"""Phrases trained per second: a plain loop on transformers' CLIPSeg, and ours with more and more kept.

    python benchmarks/training.py                       # one CPU thread: some 10 minutes
    python benchmarks/training.py --phrases 4 --rounds 1 --precisions no     # a look

ViT-B/16 at 352 x 352 with random weights, D = 64, every phrase with an example image, an optimizer step on the same
samples by each way in turn, on one device. The batches are ready-made; what the loader can do is told by
`benchmarks/data.py`, and on an accelerator by `benchmarks/accelerator.py`. The learning rate is 0, so that the weights
stay and the losses can be compared. Results go to `benchmarks/training.json` and into the table of
`benchmarks/README.md`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import made_up_phrasecut
import torch
import transformers
from reporting import put_table
from transformers import ViTImageProcessorPil

from clipseg_hf.data import PromptCollator, PromptedSample, PromptSampler, SamplingSettings, load_phrasecut_plus
from clipseg_hf.modeling.layers.conditioning import mix_prompts
from clipseg_hf.processing.visual_prompts import IMAGENET_MEAN, IMAGENET_STD, VisualPromptSettings
from clipseg_hf.training import CLIPSegTrainingArguments
from clipseg_hf.training.assembly import build_accelerator, build_optimizer, compile_model, step_settings
from clipseg_hf.training.batches import stable_seed
from clipseg_hf.training.caches.cache_settings import CacheSettings
from clipseg_hf.training.caches.feature_cache import FeatureCache
from clipseg_hf.training.caches.prompt_cache import PromptCache
from clipseg_hf.training.model_inputs import ModelInputs
from clipseg_hf.training.steps import train_step
from inference import added_memory, build_model, describe_machine, side

HERE = Path(__file__).parent
PER_IMAGE = 4
WAYS = {
    "stock": "(a) plain loop on transformers' model, an image for each phrase",
    "ours": "(b) ours, an image for each phrase, nothing kept",
    "prompts": "(c) ours, 4 phrases per image, prompts kept",
    "compiled": "(c) compiled",
    "all": "(d) ours, 4 phrases per image, prompts and images kept",
}


class Bench:
    """The models, the samples, and a way to do a step by each of `WAYS`.

    Args:
        precision: "no" or "bf16" (autocast).
        phrases: prompts in a step, a multiple of four.
        folder: for the made-up pictures and the caches.
        toy: a model and pictures that take no time.
    """

    def __init__(self, precision: str, phrases: int, folder: Path, use_cpu: bool, toy: bool = False):
        self.args = CLIPSegTrainingArguments(
            output_dir=str(folder / "run"),
            learning_rate=0.0,
            min_learning_rate=0.0,
            mixed_precision=precision,
            report_to=(),
            use_cpu=use_cpu,
            decoder_dropout=0.0,
        )
        self.accelerator = build_accelerator(self.args)
        self.device = self.accelerator.device
        self.model = build_model(refined=False, toy=toy).to(self.device).train()
        self.optimizer = build_optimizer(self.model, self.args)
        self.collator = PromptCollator(build_processor(side(toy)), info=True)

        images = phrases // PER_IMAGE
        made_up = made_up_phrasecut.write(folder / "phrasecut", 4 * images + 8)
        rows = load_phrasecut_plus(made_up, split="train", cache_dir=str(folder / "datasets"))
        settings = SamplingSettings(phrases_per_image=PER_IMAGE, mix="paper", crop=False, image_size=side(toy))
        self.sampler = PromptSampler(rows, settings)
        self.samples = self._choose(images)
        self.caches = CacheSettings(folder / f"cache-{precision}", "made up", "random", precision=precision, quiet=True)

    def step(self, way: str) -> Callable[[], float]:
        """A function that trains on the samples once and returns the mean loss over the phrases."""
        if way == "stock":
            return self._plain_step()
        if way == "compiled":
            compile_model(self.model, "inductor")
        prompts = features = None
        with self.accelerator.autocast():
            if way != "ours":
                prompts = PromptCache(self.model, self.sampler, self.collator, self.caches)
                prompts.fill()
            if way == "all":
                features = FeatureCache(self.model, self.sampler, self.collator, self.caches)
                features.fill()
        inputs = ModelInputs(self.device, prompts, features)
        batch = self.collator(self.samples if way != "ours" else one_phrase_each(self.samples))
        if way != "ours":
            del batch["conditional_pixel_values"]

        settings = step_settings(self.args)

        def step() -> float:
            loss, _ = train_step(self.accelerator, self.model, self.optimizer, inputs, [batch], 0, settings)
            return loss

        return step

    def _plain_step(self) -> Callable[[], float]:
        """What one writes around transformers' model: CLIP frozen by hand, an image for each phrase."""
        stock = transformers.CLIPSegForImageSegmentation.from_pretrained(
            None, config=self.model.config, state_dict=self.model.state_dict()
        )
        stock.to(self.device).train()
        stock.clip.requires_grad_(False)
        optimizer = torch.optim.AdamW(stock.decoder.parameters(), lr=0.0)
        batch = self.collator(one_phrase_each(self.samples))
        batch = {name: value.to(self.device) for name, value in batch.items() if name != "info"}

        def step() -> float:
            with self.accelerator.autocast():
                with torch.no_grad():
                    texts = stock.clip.get_text_features(batch["input_ids"], attention_mask=batch["attention_mask"])
                    examples = stock.clip.get_image_features(
                        batch["conditional_pixel_values"], interpolate_pos_encoding=True
                    )
                    prompts = mix_prompts(
                        texts.pooler_output, examples.pooler_output, image_prompt_weight=batch["image_prompt_weight"]
                    )
                loss = stock(
                    pixel_values=batch["pixel_values"],
                    conditional_embeddings=prompts,
                    labels=batch["labels"].float(),
                    interpolate_pos_encoding=True,
                ).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss.item()

        return step

    def _choose(self, images: int) -> list[PromptedSample]:
        """Samples of four phrases that all have an example."""
        samples = (self.sampler.sample(row) for row in range(len(self.sampler.rows)))
        chosen = [sample for sample in samples if len(sample.texts) == PER_IMAGE and all(sample.supports)]
        if len(chosen) < images:
            raise ValueError(f"Only {len(chosen)} of {images} pictures have {PER_IMAGE} phrases with examples.")
        return chosen[:images]


def build_processor(side: int) -> SimpleNamespace:
    """What the collator needs of a processor."""
    pixels = ViTImageProcessorPil(
        size={"height": side, "width": side}, image_mean=IMAGENET_MEAN, image_std=IMAGENET_STD
    )
    settings = VisualPromptSettings()
    return SimpleNamespace(image_processor=pixels, tokenizer=Words(), patch_size=16, visual_prompt_settings=settings)


class Words:
    """A tokenizer that needs no files: a number for each word, as many as CLIP's has for words as common as these."""

    model_max_length = 77

    def __call__(self, texts: list[str], **options) -> dict[str, torch.Tensor]:
        rows = [[49406, *(256 + stable_seed(word) % 40_000 for word in text.split()), 49407] for text in texts]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [49407] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        return {"input_ids": ids, "attention_mask": mask}


def one_phrase_each(samples: list[PromptedSample]) -> list[PromptedSample]:
    """The same phrases, each with an image of its own."""
    return [
        replace(
            sample,
            texts=[sample.texts[n]],
            phrases=[sample.phrases[n]],
            masks=sample.masks[n : n + 1],
            negative=sample.negative[n : n + 1],
            supports=[sample.supports[n]],
            image_prompt_weight=sample.image_prompt_weight[n : n + 1],
            phrase_ids=[sample.phrase_ids[n]],
        )
        for sample in samples
        for n in range(len(sample.texts))
    ]


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(step: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Seconds of one step, and its loss, or of another call, and what it gives."""
    start = time.perf_counter()
    loss = step()
    synchronize(device)
    return time.perf_counter() - start, loss


def measure(precision: str, arguments: argparse.Namespace, folder: Path) -> dict[str, dict]:
    """Each way's phrases per second, memory and loss."""
    bench = Bench(precision, arguments.phrases, folder, arguments.cpu, arguments.toy)
    on_gpu = bench.device.type == "cuda"
    ways = [way for way in WAYS if way != "compiled" or on_gpu]
    steps = {way: bench.step(way) for way in ways if way != "compiled"}
    seconds, losses = {way: [] for way in ways}, {}
    for number in range(arguments.rounds + 1):  # the first warms up
        for way, step in steps.items():
            spent, losses[way] = seconds_of(step, bench.device)
            if number:
                seconds[way].append(spent)
    if on_gpu:  # last, because it changes the model for the others
        step = bench.step("compiled")
        timed = [seconds_of(step, bench.device) for _ in range(arguments.rounds + 3)][3:]
        seconds["compiled"], losses["compiled"] = [spent for spent, _ in timed], timed[-1][1]
    return {
        way: {
            "phrases_per_second": arguments.phrases / statistics.median(seconds[way]),
            "times_stock": statistics.median(seconds["stock"]) / statistics.median(seconds[way]),
            "added_megabytes": None if arguments.no_memory else memory_of(way, precision, arguments, folder),
            "loss": losses[way],
        }
        for way in ways
    }


def memory_of(way: str, precision: str, arguments: argparse.Namespace, folder: Path) -> float:
    """Megabytes that a step adds at its peak, in a fresh process."""
    command = [
        sys.executable,
        __file__,
        "--memory-of",
        way,
        precision,
        str(folder),
        "--phrases",
        str(arguments.phrases),
    ]
    flags = [f"--{name}" for name in ("cpu", "toy") if getattr(arguments, name)]
    command += ["--threads", str(arguments.threads), *flags]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def print_memory_of(way: str, precision: str, folder: str, arguments: argparse.Namespace) -> None:
    bench = Bench(precision, arguments.phrases, Path(folder), arguments.cpu, arguments.toy)
    step = bench.step(way)
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        print((torch.cuda.max_memory_allocated() - before) / 1e6)
    else:
        print(added_memory(step))


def as_table(results: dict) -> str:
    """The results in Markdown."""
    machine, phrases = results["machine"], results["phrases"]
    lines = [
        f"{results['device']} ({machine['threads']} thread(s) on the CPU), torch {machine['torch']}, transformers "
        f"{machine['transformers']}; {phrases} phrases in a step.",
        "",
        "| | precision | phrases/s | | memory of a step | loss |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for precision, ways in results["ways"].items():
        for way, found in ways.items():
            cells = [
                WAYS[way],
                "float32" if precision == "no" else precision,
                f"{found['phrases_per_second']:.2f}",
                f"**{found['times_stock']:.1f} x**",
                "" if found["added_megabytes"] is None else f"{found['added_megabytes']:.0f} MB",
                f"{found['loss']:.5f}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phrases", type=int, default=16, help="in a step; a multiple of 4")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way; the median counts")
    parser.add_argument("--precisions", nargs="+", default=["no", "bf16"], choices=["no", "bf16"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu", action="store_true", help="on the CPU even where there is an accelerator")
    parser.add_argument("--no-memory", action="store_true", help="time only")
    parser.add_argument("--toy", action="store_true", help="a model that takes no time, to try the script")
    parser.add_argument("--output", type=Path, help="JSON file; default: benchmarks/training.json, and its table")
    parser.add_argument("--memory-of", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.phrases % PER_IMAGE:
        parser.error(f"--phrases is a multiple of {PER_IMAGE}, got {arguments.phrases}")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    transformers.utils.logging.disable_progress_bar()
    if arguments.memory_of:
        print_memory_of(*arguments.memory_of, arguments)
        return
    machine = describe_machine(arguments.threads)
    on_gpu = torch.cuda.is_available() and not arguments.cpu
    device = torch.cuda.get_device_name() if on_gpu else machine["processor"]
    results = {
        "device": device,
        "machine": machine,
        "phrases": arguments.phrases,
        "rounds": arguments.rounds,
        "ways": {},
    }
    with tempfile.TemporaryDirectory() as scratch:
        for precision in arguments.precisions:
            results["ways"][precision] = measure(precision, arguments, Path(scratch))
            print(json.dumps(results["ways"][precision]), flush=True)
    table = as_table(results)
    print(table)
    output = arguments.output or HERE / "training.json"
    output.write_text(json.dumps(results, indent=2) + "\n")
    if arguments.output is None:
        put_table("training", table)


if __name__ == "__main__":
    main()
