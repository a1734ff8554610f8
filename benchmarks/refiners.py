"""Ways to crisp masks on the emoji world, at equal cost: learned refiners on emoji-tiny, and filters by the picture.

    clipseg-hf scenes outputs/emoji-world --train 3000 --val 500 --test 500 --seed 0
    OMP_NUM_THREADS=1 python benchmarks/refiners.py outputs/emoji-world

Each learned one is trained by text prompts on the same kept tokens of the frozen decoder, in windows around the
things, in the same order, with the same steps, and measured on validation scenes at threshold 0.5. Time is the CPU's,
of one thread; what is in the results already is not measured again. Results go to `benchmarks/refiners.json` and into
a table of `benchmarks/README.md`.
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
from refiner_candidates import AttentionRefiner, ConvolutionRefiner, PointRefiner, SupervisedRefiner
from reporting import put_table
from torch import Tensor, nn

from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.data.phrasecut.phrasecut_plus import load_phrasecut_plus
from clipseg_hf.data.rows.row_images import decode_image
from clipseg_hf.data.rows.row_phrases import different_phrases, phrase_mask
from clipseg_hf.evaluation.metrics.boundary import boundary_iou
from clipseg_hf.evaluation.protocols.prompted_model import PromptedModel, resize_masks
from clipseg_hf.modeling.layers.initialization import initialize_decoder_module
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
    "convolutions": Candidate(ConvolutionRefiner),
    "convolutions, border counts 5 times": Candidate(ConvolutionRefiner, border=4.0),
    "convolutions, deep supervision": Candidate(SupervisedRefiner),
    "attention over 3 x 3 tokens": Candidate(AttentionRefiner, 24),
    "points (PointRend)": Candidate(PointRefiner, 24),
    "guided filter by learned colours": Candidate(PixelRefiner),
    "guided filter by learned colours, border counts 5 times": Candidate(PixelRefiner, border=4.0),
    "guided filter by learned colours, 8 channels": Candidate(PixelRefiner, 8),
}


FILTERS = {
    "guided filter": GuidedFilter(),
    "guided filter, radius 4": GuidedFilter(radius=4),
    "guided filter, radius 12": GuidedFilter(radius=12),
    "guided filter, eps 0.01": GuidedFilter(eps=1e-2),
    "guided filter, no limit of logits": GuidedFilter(limit=1e3),
}
WINDOW = 128  # in training, pixels around a place of the thing: a quarter of the picture, where all that counts is
FOUND = 0.2  # IoU below which a phrase is left out of training: no border mends the wrong thing
RECIPE = "guided filter by learned colours, by emoji-refiner.yaml"
CHANGE = 0.02  # of the IoU, that counts as better or worse


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
    model = CLIPSegForImageSegmentation.from_pretrained("emoji-tiny", refiner=None, prompt_tokens=None)
    results = json.loads(given.output.read_text()) if given.output.exists() else {"steps": given.steps, "ways": {}}
    train, validation = (keep(model, given, split, count) for split, count in (("train", 800), ("val", 150)))
    ways = results["ways"]
    if "none" not in ways:
        ways["none"] = measure(model, None, validation)
    for name, options in FILTERS.items():
        if name not in ways:
            ways[name] = measure(model, None, validation, options) | filter_cost(options)
            given.output.write_text(json.dumps(results, indent=1) + "\n")
    for name, candidate in CANDIDATES.items():
        if name in ways or (given.only and name not in given.only):
            continue
        began = time.process_time()
        refiner = fit(model, candidate, train, given.steps)
        ways[name] = {"training_seconds": round(time.process_time() - began), **measure(model, refiner, validation)}
        ways[name] |= cost(model, refiner)
        given.output.write_text(json.dumps(results, indent=1) + "\n")
    if given.checkpoint:
        trained = CLIPSegForImageSegmentation.from_pretrained(given.checkpoint).refiner.eval()
        ways[RECIPE] = measure(model, trained, validation) | cost(model, trained)
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


def fit(model, candidate: Candidate, kept: Kept, steps: int, batch: int = 24, rate: float = 3e-3) -> nn.Module:
    """Train a refiner with the decoder frozen."""
    torch.manual_seed(0)
    refiner = candidate.kind(model.config.reduce_dim, candidate.channels)
    for module in refiner.modules():
        initialize_decoder_module(module)
    optimizer = torch.optim.AdamW(refiner.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(0)
    found = torch.nonzero(_found(model, kept))[:, 0]
    gains: list[float] = []
    for step in range(steps):
        chosen = found[torch.randint(len(found), (batch,), generator=generator)]
        patches, targets, pixels = _windows(kept, chosen, generator)
        with torch.no_grad():
            logits = model.decoder.transposed_convolution(patches)
        refined = refiner(patches, logits, refiner.encode(pixels))
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


@torch.no_grad()
def _found(model, kept: Kept) -> Tensor:
    """(n,) bool: what the decoder finds at all."""
    overlaps = []
    for chosen in torch.arange(len(kept.images)).split(32):
        logits = model.decoder.transposed_convolution(kept.patches[chosen].float())
        overlaps.append(_ious(logits > 0, kept.masks[chosen]))
    return torch.cat(overlaps) >= FOUND


def _windows(kept: Kept, chosen: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """The patches, masks and pixels of windows of `WINDOW` pixels, each with a random pixel of its thing inside."""
    side, patches, masks, pixels = WINDOW // 16, [], [], []
    for number in chosen.tolist():
        mask, limit = kept.masks[number], torch.tensor(kept.patches.shape[1:3]) - side
        places = torch.nonzero(mask)
        place = places[int(torch.randint(len(places), (1,), generator=generator))] // 16
        top, left = (place - torch.randint(side, (2,), generator=generator)).clamp(min=0).minimum(limit).tolist()
        patches.append(kept.patches[number, top : top + side, left : left + side].float())
        rows, columns = slice(16 * top, 16 * (top + side)), slice(16 * left, 16 * (left + side))
        masks.append(mask[rows, columns].float())
        pixels.append(kept.pixels[kept.images[number], :, rows, columns])
    return torch.stack(patches), torch.stack(masks), torch.stack(pixels)


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
    """Mean IoU and mean boundary IoU over phrases at 0.5, with a refiner, or filtered by the pictures; and for how many
    the IoU is better and worse than without."""
    processor = CLIPSegProcessor.from_pretrained("emoji-tiny").image_processor
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (processor.image_mean, processor.image_std))
    ious: list[float] = []
    plain: list[float] = []
    rims: list[float] = []
    for chosen in torch.nonzero(kept.present)[:, 0].split(16):
        base, logits = _ask(model, refiner, kept, chosen)
        if filtered is not None:
            pictures = kept.pixels[kept.images[chosen]] * std + mean  # (n, 3, H, W) in [0, 1]
            bytes_ = (255 * pictures.clamp(0, 1)).round().byte().permute(0, 2, 3, 1).numpy()
            guides = [Image.fromarray(picture) for picture in bytes_]
            logits = follow_edges(logits, range(len(guides)), guides, filtered)
        targets = kept.masks[chosen]
        ious += _ious(logits > 0, targets).tolist()
        plain += _ious(base > 0, targets).tolist()
        rims += boundary_iou(logits > 0, targets).tolist()
    change = np.subtract(ious, plain)
    result = {"miou": float(np.mean(ious)), "boundary_iou": float(np.mean(rims)), "phrases": len(ious)}
    return result | {"better": float((change > CHANGE).mean()), "worse": float((change < -CHANGE).mean())}


def _ious(masks: Tensor, targets: Tensor) -> Tensor:
    return (masks & targets).sum((1, 2)) / (masks | targets).sum((1, 2)).clamp(min=1)


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


def filter_cost(guided_filter: GuidedFilter, side: int = 352, repeats: int = 9) -> dict:
    """The least time at 352 x 352, in milliseconds: once for an image, and for each prompt."""
    rng, times = np.random.default_rng(0), {1: [], 5: []}
    picture = Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
    logits = rng.normal(size=(5, side, side)).astype(np.float32)
    for _ in range(repeats):
        for prompts, spent in times.items():
            began = time.process_time()
            guided_filter.apply(logits[:prompts], picture)
            spent.append(1000 * (time.process_time() - began))
    one, five = (min(spent) for spent in times.values())
    return {"image_ms": one - (five - one) / 4, "prompt_ms": (five - one) / 4}


def _table(results: dict) -> str:
    ways = results["ways"]
    lines = [
        f"{processor_name()}, one thread, torch {torch.__version__}; {ways['none']['phrases']} phrases of 150 "
        f"validation scenes; {results['steps']} steps of 24 windows. "
        f"Better and worse: phrases whose IoU rises or falls by more than {CHANGE}.",
        "",
        "| | mean IoU | boundary IoU | better | worse | weights | training, s | image, ms | prompt, ms | of decode |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in ("none", *FILTERS, *CANDIDATES, RECIPE):
        if (way := ways.get(name)) is None:
            continue
        row = [name, f"{way['miou']:.4f}", f"{way['boundary_iou']:.4f}", *[""] * 7]
        if name != "none":
            row[3:5] = [f"{way['better']:.0%}", f"{way['worse']:.0%}"]
            row[7:9] = [f"{way['image_ms']:.1f}", f"{way['prompt_ms']:.1f}"]
        if "weights" in way:
            row[5:7] = [f"{way['weights']:,}", str(way.get("training_seconds", ""))]
            row[9] = f"{way['prompt_ms'] / way['decode_ms']:.2f}"
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("world", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("outputs/refiners"))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--checkpoint", help="what the recipe emoji-refiner.yaml has trained, for a row of its own")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "refiners.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
