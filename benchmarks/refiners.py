"""Ways to crisp masks on the emoji world, at equal cost: learned refiners on emoji-tiny, and filters by the picture.

    clipseg-hf scenes outputs/emoji-world --train 3000 --val 500 --test 500 --seed 0
    OMP_NUM_THREADS=1 python benchmarks/refiners.py outputs/emoji-world

Each learned one is trained by text prompts on the same kept tokens of the frozen decoder, in the same order, with the
same steps, and measured on validation scenes at threshold 0.5. Time is the CPU's, of one thread; what is in the results
already is not measured again. Results go to `benchmarks/refiners.json` and into a table of `benchmarks/README.md`.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from refiner_candidates import AttentionRefiner, PointRefiner, SumRefiner, SupervisedRefiner
from reporting import put_table
from torch import Tensor, nn

from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.data.phrasecut.phrasecut_plus import load_phrasecut_plus
from clipseg_hf.data.rows.row_images import decode_image
from clipseg_hf.data.rows.row_phrases import different_phrases, phrase_mask
from clipseg_hf.evaluation.metrics.boundary import boundary_iou
from clipseg_hf.evaluation.protocols.prompted_model import PromptedModel, resize_masks
from clipseg_hf.modeling.layers.decoder import initialize_decoder_module
from clipseg_hf.modeling.layers.refiner import PixelRefiner
from clipseg_hf.modeling.loss import bce_dice_loss
from clipseg_hf.processing.masks.guided_filter import GuidedFilter
from clipseg_hf.processing.postprocessing import follow_edges
from clipseg_hf.training.devices.accelerator import processor_name

HERE = Path(__file__).parent


@dataclass
class Candidate:
    """What is compared: a refiner's class and width, and how much more a pixel at the border counts in its loss."""

    kind: type[nn.Module]
    channels: int = 16
    border: float = 0.0


CANDIDATES = {
    "convolutions, pixels as factors and sums": Candidate(PixelRefiner),
    "convolutions, border counts 5 times": Candidate(PixelRefiner, border=4.0),
    "attention over 3 x 3 tokens": Candidate(AttentionRefiner, 24),
    "points (PointRend)": Candidate(PointRefiner, 24),
    "convolutions, 8 channels": Candidate(PixelRefiner, 8),
    "convolutions, deep supervision": Candidate(SupervisedRefiner),
    "convolutions, pixels as sums": Candidate(SumRefiner),
}


FILTERS = {
    "guided filter, radius 2, eps 0.001": GuidedFilter(2, 1e-3),
    "guided filter, radius 4, eps 0.001": GuidedFilter(4, 1e-3),
    "guided filter, radius 4, eps 0.01": GuidedFilter(4, 1e-2),
}


@dataclass
class Kept:
    """What a split's prompts look like to a refiner: (n, R, C, D) float16, (n, H, W) bool, (B, 3, H, W), (n,)."""

    patches: Tensor
    masks: Tensor
    pixels: Tensor
    images: Tensor
    present: Tensor


def main() -> None:
    given = _arguments()
    torch.set_num_threads(1)
    model = CLIPSegForImageSegmentation.from_pretrained("emoji-tiny")
    results = json.loads(given.output.read_text()) if given.output.exists() else {"steps": given.steps, "ways": {}}
    train, validation = (keep(model, given, split, count) for split, count in (("train", 800), ("val", 150)))
    ways = results["ways"]
    if "none" not in ways:
        ways["none"] = measure(model, None, validation)
    for name, options in FILTERS.items():
        if name not in ways:
            began = time.process_time()
            ways[name] = measure(model, None, validation, options)
            ways[name]["seconds"] = round(time.process_time() - began, 1)
            given.output.write_text(json.dumps(results, indent=1) + "\n")
    for name, candidate in CANDIDATES.items():
        if name in ways or (given.only and name not in given.only):
            continue
        began = time.process_time()
        refiner = fit(model, candidate, train, given.steps)
        ways[name] = {"training_seconds": round(time.process_time() - began), **measure(model, refiner, validation)}
        ways[name] |= cost(model, refiner)
        given.output.write_text(json.dumps(results, indent=1) + "\n")
    table = _table(results)
    print(table)
    if given.output == HERE / "refiners.json":
        put_table("refiners", table)


@torch.no_grad()
def keep(model, given, split: str, count: int) -> Kept:
    """The tokens of each phrase of a split's first scenes, and of one absent phrase each."""
    path = given.cache / f"{split}-{count}.pt"
    if path.exists():
        return Kept(**torch.load(path))
    rows = load_phrasecut_plus(str(given.world), split=split)
    prompted, found = PromptedModel(model, CLIPSegProcessor.from_pretrained("emoji-tiny")), []
    model.decoder.transposed_convolution.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].half()))
    masks, pixels, images, present = [], [], [], []
    absent = None
    for number in range(count):
        row = rows[number]
        numbers = different_phrases(row["phrases"])
        phrases = [row["phrases"][n]["phrase"] for n in numbers]
        picture = prompted.processor(images=decode_image(row["image"])[0], return_tensors="pt")["pixel_values"]
        size = picture.shape[2:]
        truth = [torch.from_numpy(phrase_mask(row["phrases"], n)).bool() for n in numbers]
        truth = [resize_masks(mask[None], size)[0] for mask in truth]
        flags = [True] * len(numbers)
        if absent and absent not in phrases:
            phrases, truth, flags = [*phrases, absent], [*truth, torch.zeros(size).bool()], [*flags, False]
        features = model.get_vision_features(picture)
        prompted.logits(features, prompted.text_vectors(phrases), [0] * len(phrases))
        masks += truth
        pixels.append(picture)
        images += [number] * len(phrases)
        present += flags
        absent = phrases[0]
    kept = {"patches": torch.cat(found), "masks": torch.stack(masks), "pixels": torch.cat(pixels)}
    kept |= {"images": torch.tensor(images), "present": torch.tensor(present)}
    model.decoder.transposed_convolution._forward_pre_hooks.clear()
    given.cache.mkdir(parents=True, exist_ok=True)
    torch.save(kept, path)
    return Kept(**kept)


def fit(model, candidate: Candidate, kept: Kept, steps: int, batch: int = 8, rate: float = 3e-3) -> nn.Module:
    """Train a refiner with the decoder frozen."""
    torch.manual_seed(0)
    refiner = candidate.kind(model.config.reduce_dim, candidate.channels)
    if isinstance(refiner, PixelRefiner):
        for module in refiner.modules():
            initialize_decoder_module(module)
    optimizer = torch.optim.AdamW(refiner.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(0)
    order = torch.cat([torch.randperm(len(kept.images), generator=generator) for _ in range(1 + steps * batch // 3000)])
    gains: list[float] = []
    for step in range(steps):
        chosen = order[step * batch : (step + 1) * batch]
        logits, refined = _ask(model, refiner, kept, chosen)
        targets = kept.masks[chosen].float()
        loss = _loss(refined, targets, candidate.border)
        if isinstance(refiner, SupervisedRefiner):
            loss = loss + 0.5 * bce_dice_loss(
                refiner.early_logits(logits), F.avg_pool2d(targets, 4), _all(targets[:, ::4, ::4])
            )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(refiner.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        gains.append(
            float(_loss(logits, targets, candidate.border) - _loss(refined.detach(), targets, candidate.border))
        )
        if step % 50 == 49:
            print(f"step {step + 1}: the loss is {np.mean(gains[-50:]):.4f} lower than without", flush=True)
    return refiner.eval()


def _ask(model, refiner, kept: Kept, chosen: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        patches = kept.patches[chosen].float()
        logits = model.decoder.transposed_convolution(patches)
    if refiner is None:
        return logits, logits
    images, prompts = kept.images[chosen].unique(return_inverse=True)
    features = refiner.encode(kept.pixels[images])
    return logits, refiner(patches, logits, tuple(part[prompts] for part in features))


def _loss(logits: Tensor, targets: Tensor, border: float) -> Tensor:
    loss = bce_dice_loss(logits, targets, _all(targets))
    if border:
        blurred = F.avg_pool2d(targets[:, None], 9, 1, 4, count_include_pad=False)[:, 0]
        band = (blurred > 0) & (blurred < 1)
        loss = loss + border * (F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * band).mean()
    return loss


def _all(targets: Tensor) -> Tensor:
    return torch.ones_like(targets, dtype=torch.bool)


@torch.no_grad()
def measure(model, refiner, kept: Kept, filtered: GuidedFilter | None = None) -> dict:
    """Mean IoU and mean boundary IoU over phrases at 0.5; with a refiner, or filtered by the pictures."""
    processor = CLIPSegProcessor.from_pretrained("emoji-tiny").image_processor
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (processor.image_mean, processor.image_std))
    ious: list[float] = []
    rims: list[float] = []
    for chosen in torch.nonzero(kept.present)[:, 0].split(16):
        _, logits = _ask(model, refiner, kept, chosen)
        if filtered is not None:
            pictures = kept.pixels[kept.images[chosen]] * std + mean  # (n, 3, H, W) in [0, 1]
            bytes_ = (255 * pictures.clamp(0, 1)).round().byte().permute(0, 2, 3, 1).numpy()
            guides = [Image.fromarray(picture) for picture in bytes_]
            logits = follow_edges(logits, range(len(guides)), guides, filtered)
        masks, targets = logits > 0, kept.masks[chosen]
        ious += ((masks & targets).sum((1, 2)) / (masks | targets).sum((1, 2)).clamp(min=1)).tolist()
        rims += boundary_iou(masks, targets).tolist()
    return {"miou": float(np.mean(ious)), "boundary_iou": float(np.mean(rims)), "phrases": len(ious)}


@torch.no_grad()
def cost(model, refiner, side: int = 352, repeats: int = 9) -> dict:
    """Weights, and the least time at 352 x 352, in milliseconds: once for an image, and for each of four prompts."""
    pixels, grid = torch.rand(1, 3, side, side), (side // 16, side // 16)
    patches, logits = torch.randn(4, *grid, model.config.reduce_dim), torch.randn(4, side, side)
    features = model.get_vision_features(pixels)
    vectors = torch.randn(4, model.config.projection_dim)
    times = {"decode": [], "encode": [], "refine": []}
    for _ in range(repeats):
        begins = [time.process_time()]
        model(vision_embeds=features, conditional_embeddings=vectors)
        begins.append(time.process_time())
        seen = refiner.encode(pixels)
        begins.append(time.process_time())
        refiner(patches, logits, seen)
        begins.append(time.process_time())
        for name, spent in zip(times, np.diff(begins), strict=True):
            times[name].append(spent)
    best = {name: 1000 * float(min(spent)) for name, spent in times.items()}
    weights = sum(parameter.numel() for parameter in refiner.parameters())
    return {
        "weights": weights,
        "image_ms": best["encode"],
        "prompt_ms": best["refine"] / 4,
        "decode_ms": best["decode"] / 4,
    }


def _table(results: dict) -> str:
    ways = results["ways"]
    lines = [
        f"{processor_name()}, one thread, torch {torch.__version__}; {ways['none']['phrases']} phrases of 150 "
        f"validation scenes; {results['steps']} steps of 8 prompts.",
        "",
        "| | mean IoU | boundary IoU | weights | training, s | once an image, ms | a prompt, ms | of its decode |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, way in ways.items():
        row = [name, f"{way['miou']:.4f}", f"{way['boundary_iou']:.4f}", *[""] * 5]
        if "weights" in way:
            share = f"{way['prompt_ms'] / way['decode_ms']:.2f}"
            times = (f"{way['image_ms']:.1f}", f"{way['prompt_ms']:.1f}", share)
            row[3:] = [f"{way['weights']:,}", str(way["training_seconds"]), *times]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("world", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("outputs/refiners"))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "refiners.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
