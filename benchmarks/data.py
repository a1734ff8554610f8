"""Samples per second and core: our sampling beside the original's way, in one process, in turn.

    pip install scikit-image opencv-python-headless   # for the baseline alone
    OMP_NUM_THREADS=1 THP_MEM_ALLOC_ENABLE=1 python benchmarks/data.py

Both read the same made-up pictures (500 x 375 JPEG, in PhraseCut's layout) and end with stacked float tensors; ours
are tokenised too. One thread; time is the CPU's, so that other processes disturb little. THP_MEM_ALLOC_ENABLE lets
PyTorch ask for large pages, which serves both: a batch is tens of megabytes of fresh memory.
"""

import argparse
import json
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import datasets
import made_up_phrasecut
import numpy as np
import original_data
import PIL
import torch
from reporting import put_table
from transformers import CLIPTokenizer, ViTImageProcessorPil

from clipseg_hf.data import (
    PhraseIndex,
    PromptCollator,
    PromptedDataset,
    PromptSampler,
    SamplingSettings,
    load_phrasecut_plus,
)
from clipseg_hf.data.rows.row_images import decode_image, undecoded
from clipseg_hf.data.vocabulary.phrases import PREFIXES
from clipseg_hf.processing import CLIPSegProcessor
from clipseg_hf.training.devices.accelerator import processor_name

PHRASES = 32  # in a batch
HERE = Path(__file__).parent


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as scratch:
        folder = made_up_phrasecut.write(arguments.folder or Path(scratch) / "phrasecut", arguments.pictures)
        rows = load_phrasecut_plus(folder, split="train", cache_dir=str(Path(scratch) / "cache"))
        ways = _ways(folder, rows)
        _take_turns(ways, arguments.rounds, arguments.batches)
        decoding = _decoding(rows, arguments.batches)
    results = _results(ways, decoding, arguments)
    table = _table(results)
    print(table)
    (arguments.output or HERE / "data.json").write_text(json.dumps(results, indent=2) + "\n")
    if arguments.output is None:
        put_table("data", f"{results['machine']}, torch {torch.__version__}.\n\n{table}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=400, help="how many pictures to make up")
    parser.add_argument("--rounds", type=int, default=7, help="how often each way has its turn")
    parser.add_argument("--batches", type=int, default=4, help=f"batches of {PHRASES} phrases in a turn")
    parser.add_argument("--folder", type=Path, help="where to make up the pictures, to keep them")
    parser.add_argument("-o", "--output", type=Path, help="JSON file; default: benchmarks/data.json, and its table")
    return parser.parse_args()


@dataclass
class Way:
    """One way of making batches: `batch(n)` makes the n-th and says how many phrases it has."""

    name: str
    baseline: str  # the original's way that it is held against
    pictures: float  # to be decoded for each phrase
    batch: Callable[[int], int]
    times: list[float] = field(default_factory=list)  # CPU seconds per phrase, round by round


def _ways(folder: Path, rows) -> list[Way]:
    index, collator = PhraseIndex(rows), PromptCollator(_processor())
    ways = []
    for baseline, mix in (("original, text only", "text"), ("original, with supports", "code")):
        supports = mix == "code"
        samples = original_data.OriginalSamples(folder, supports)
        ways.append(Way(baseline, baseline, 1 + supports, _original(samples)))
        for phrases, load in ((1, True), (4, True), (4, False)):
            if load or supports:
                settings = SamplingSettings(phrases_per_image=phrases, mix=mix)
                dataset = PromptedDataset(PromptSampler(rows, settings, index, load_supports=load))
                kind = baseline.split(", ")[1] if load else "supports by name"  # their vectors are kept elsewhere
                name = f"ours, {phrases} per image, {kind}"
                pictures = len(dataset) / int(index.counts.sum()) + (supports and load)
                ways.append(Way(name, baseline, pictures, _ours(dataset, collator, PHRASES // phrases)))
    return ways


def _original(samples: original_data.OriginalSamples) -> Callable[[int], int]:
    order = np.random.default_rng(0).permutation(len(samples))

    def batch(number: int) -> int:
        chosen = np.take(order, range(number * PHRASES, (number + 1) * PHRASES), mode="wrap")
        original_data.collate([samples[int(i)] for i in chosen])
        return PHRASES

    return batch


def _ours(dataset: PromptedDataset, collator: PromptCollator, images: int) -> Callable[[int], int]:
    order = np.random.default_rng(0).permutation(len(dataset))

    def batch(number: int) -> int:
        chosen = np.take(order, range(number * images, (number + 1) * images), mode="wrap")
        return len(collator([dataset[int(i)] for i in chosen])["labels"])

    return batch


def _take_turns(ways: list[Way], rounds: int, batches: int) -> None:
    for way in ways:
        way.batch(0)  # warm up
    for turn in range(rounds):
        for way in ways:
            start = time.process_time()
            phrases = sum(way.batch(turn * batches + i) for i in range(batches))
            way.times.append((time.process_time() - start) / phrases)


def _decoding(rows, batches: int) -> float:
    """CPU seconds to read and decode one picture, and nothing else."""
    rows = undecoded(rows.select_columns(["image"]))
    count = min(len(rows), batches * PHRASES)
    start = time.process_time()
    for number in range(count):
        decode_image(rows[number]["image"])
    return (time.process_time() - start) / count


def _results(ways: list[Way], decoding: float, arguments: argparse.Namespace) -> dict:
    seconds = {way.name: statistics.median(way.times) for way in ways}
    results = {}
    for way in ways:
        value = seconds[way.name]
        results[way.name] = {
            "phrases_per_second": round(1 / value, 1),
            "milliseconds_per_phrase": round(value * 1e3, 3),
            "times_the_original": round(seconds[way.baseline] / value, 2),
            "share_of_decoding": round(way.pictures * decoding / value, 2),
            "slowest_and_fastest_round": [round(1 / max(way.times), 1), round(1 / min(way.times), 1)],
        }
    versions = {"torch": torch.__version__, "pillow": PIL.__version__, "opencv": cv2.__version__}
    return {
        "ways": results,
        "milliseconds_to_decode_a_picture": round(decoding * 1e3, 3),
        "pictures": arguments.pictures,
        "phrases_per_batch": PHRASES,
        "rounds": arguments.rounds,
        "machine": f"{processor_name()} ({torch.backends.cpu.get_cpu_capability()}), one thread",
        "versions": versions,
    }


def _table(results: dict) -> str:
    lines = [
        "| way | phrases/s | ms per phrase | times the original | decoding JPEGs |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, way in results["ways"].items():
        lines.append(
            f"| {name} | {way['phrases_per_second']:.0f} | {way['milliseconds_per_phrase']:.2f} "
            f"| {way['times_the_original']:.1f} | {way['share_of_decoding']:.0%} |"
        )
    lines.insert(0, f"{results['machine']}, torch {results['versions']['torch']}.\n")
    return "\n".join([*lines, f"\nDecoding one picture takes {results['milliseconds_to_decode_a_picture']:.2f} ms."])


def _processor() -> CLIPSegProcessor:
    """Of the released checkpoints' size, with a tokenizer that knows the words in use, as theirs does."""
    merges, tokens = (
        [],
        [*"abcdefghijklmnopqrstuvwxyz.", *(letter + "</w>" for letter in "abcdefghijklmnopqrstuvwxyz.")],
    )
    for word in {word for text in (*made_up_phrasecut.NAMES, *PREFIXES) for word in re.findall("[a-z]+", text)}:
        for end in range(1, len(word)):  # c a, ca t</w>
            merges.append((word[:end], word[end] + "</w>" * (end + 1 == len(word))))
    tokens += list(dict.fromkeys("".join(pair) for pair in merges))
    tokenizer = CLIPTokenizer(
        vocab={token: i for i, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])},
        merges=list(dict.fromkeys(merges)),
        model_max_length=77,
    )
    statistics = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    return CLIPSegProcessor(ViTImageProcessorPil(size={"height": 352, "width": 352}, **statistics), tokenizer)


if __name__ == "__main__":
    main()
