"""Trains a small CLIP for the emoji world: an ordinary `CLIPModel`, by the ordinary contrastive loss.

Pictures are drawn as they are needed, all concepts among them (as CLIP has seen everything): first one emoji on a small
picture, then scenes, so that most steps are cheap. The result is a folder that `from_clip` takes.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset
from tqdm.auto import tqdm
from transformers import BatchEncoding, CLIPImageProcessorPil, CLIPModel

from clipseg_hf.data.emoji_world.emoji_glyphs import EmojiConcept, GlyphSheet, load_concepts
from clipseg_hf.data.vocabulary.phrases import PREFIXES
from clipseg_hf.training.batches import stable_seed
from clipseg_hf.training.pretraining.captioned_pictures import (
    CaptionedPicture,
    CaptionedPictures,
    normalize_pictures,
)
from clipseg_hf.training.pretraining.pretrain_recipe import PretrainRecipe
from clipseg_hf.training.pretraining.regions import Regions, find_regions, region_loss
from clipseg_hf.training.pretraining.small_clip import (
    build_clip,
    embed_patches,
    load_clip,
    see_some_patches,
    train_tokenizer,
)
from clipseg_hf.training.pretraining.unfinished import Unfinished
from clipseg_hf.training.schedules import LearningRateSchedule


def contrastive_loss(
    image_embeds: torch.Tensor,
    text_embeds: torch.Tensor,
    scale: torch.Tensor,
    captions: list[str],
    true: torch.Tensor | None = None,
) -> torch.Tensor:
    """CLIP's symmetric cross-entropy, where pictures with the same caption are not each other's negatives.

    Args:
        image_embeds: (B, D), of any length.
        text_embeds: (B + N, D): of the captions, and of N others that no picture is the answer to (hard negatives).
        scale: factor on the cosine similarities.
        captions: the B captions.
        true: (B, N) bool, which of the others are true of a picture all the same, and are left out for it.
    """
    similarity = scale * F.normalize(image_embeds, dim=-1) @ F.normalize(text_embeds, dim=-1).T  # (B, B + N)
    similarity, others = similarity[:, : len(captions)], similarity[:, len(captions) :]
    if true is not None:
        others = others.masked_fill(true, float("-inf"))
    kinds = {caption: number for number, caption in enumerate(captions)}
    kind = torch.tensor([kinds[caption] for caption in captions], device=similarity.device)
    twins = (kind[:, None] == kind) & ~torch.eye(len(kind), dtype=torch.bool, device=kind.device)
    similarity = similarity.masked_fill(twins, float("-inf"))
    target = torch.arange(len(kind), device=kind.device)
    return (F.cross_entropy(torch.cat([similarity, others], dim=1), target) + F.cross_entropy(similarity.T, target)) / 2


def pretrain(recipe: PretrainRecipe, output_dir: str | Path, *, font: str | None = None, workers: int = 1) -> dict:
    """Train a CLIP by a recipe and save it with tokenizer, image processor, recipe and a measured accuracy.

    A training that was cut goes on from what it left in the folder, and ends in the same weights.

    Args:
        font: path of NotoColorEmoji.ttf, if it is not where systems put it.
        workers: processes that draw pictures.

    Returns:
        What was measured: `top1` and `top5`, how often the name of a freshly drawn emoji comes first or among the
        first five of all names; `loss`, the mean of the last 100 steps.

    Raises:
        ValueError: a training by another recipe was cut in that folder; see `Unfinished`.
    """
    unfinished = Unfinished(Path(output_dir), recipe)
    torch.manual_seed(recipe.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    concepts, glyphs = load_concepts(), GlyphSheet(font)
    for concept in concepts:
        glyphs.find(concept.character)  # drawn before workers start, so that they share them
    if recipe.model_name_or_path is None:
        tokenizer = train_tokenizer(_all_phrases(concepts), recipe.vocabulary, recipe.context_length)
        model = build_clip(recipe, tokenizer).to(device)
    else:
        model, tokenizer = load_clip(recipe)
        model.to(device)
    start = {name: p.detach().clone() for name, p in model.named_parameters()} if recipe.learned_share < 1 else {}
    learning = [p for p in model.parameters() if p.requires_grad]
    decayed, plain = [p for p in learning if p.ndim > 1], [p for p in learning if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
    )
    total = sum(stage.steps for stage in recipe.stages)
    learning_rate = LearningRateSchedule(recipe.learning_rate, 0.0, "cosine", round(recipe.warmup_share * total), total)
    losses = unfinished.restore(model, optimizer)
    model.train()
    with tqdm(total=total, initial=len(losses), unit="step", smoothing=0.05) as progress:
        for step in _steps(recipe, concepts, glyphs, tokenizer, workers, len(losses)):
            torch.manual_seed(stable_seed(recipe.seed, "patches", len(losses)))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(len(losses))
            loss = _loss(model, step, recipe)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            model.logit_scale.data.clamp_(max=np.log(100))
            losses.append(loss.item())
            progress.update()
            progress.set_postfix(loss=f"{np.mean(losses[-100:]):.3f}", refresh=False)
            if len(losses) % recipe.save_steps == 0 and len(losses) < total:
                unfinished.save(model, optimizer, losses)
    model.eval()
    with torch.no_grad():
        for name, begun in start.items():
            parameter = model.get_parameter(name)
            parameter.copy_(torch.lerp(begun, parameter, recipe.learned_share))
    measured = {"loss": float(np.mean(losses[-100:]))} | _name_accuracy(model, tokenizer, concepts, glyphs, recipe)
    _save(model, tokenizer, recipe, measured, Path(output_dir))
    unfinished.remove()
    return measured


def _all_phrases(concepts: Iterable[EmojiConcept]) -> Iterator[str]:
    words = ("small", "large", "grey", "upside-down", "left of", "right of", "above", "below", "and", "the")
    for concept in concepts:
        yield concept.name
        yield from (prefix.format(concept.name) for prefix in PREFIXES)
        yield from (f"{word} {concept.name}" for word in words)


@dataclass
class _Step:
    """What a step learns from: `tokens` (B + N, T) are of its B captions, then of N hard negatives, if any; in rows
    `names` of them are the names that regions may have."""

    pixel_values: torch.Tensor  # (B, 3, H, W)
    tokens: BatchEncoding
    captions: list[str]
    true: torch.Tensor | None  # (B, N) bool
    patch_share: float
    regions: Regions | None
    names: torch.Tensor


def _loss(model: CLIPModel, step: _Step, recipe: PretrainRecipe) -> torch.Tensor:
    device = model.device
    with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
        with see_some_patches(model, step.patch_share) as seen:
            image = model.get_image_features(step.pixel_values.to(device), interpolate_pos_encoding=True)
        text_embeds = model.get_text_features(**step.tokens.to(device)).pooler_output.float()
        patch_embeds = embed_patches(model, image.last_hidden_state) if step.regions else None
    scale, true = model.logit_scale.exp(), None if step.true is None else step.true.to(device)
    loss = contrastive_loss(image.pooler_output.float(), text_embeds, scale, step.captions, true)
    if patch_embeds is None:
        return loss
    name_embeds, regions = text_embeds[step.names.to(device)], step.regions.at(seen[0])
    # The scale is the class token's affair: patches, which know less, would lower it.
    return loss + recipe.region_weight * region_loss(patch_embeds.float(), name_embeds, scale.detach(), regions)


def _steps(recipe, concepts, glyphs, tokenizer, workers, done: int) -> Iterator[_Step]:
    names = [concept.name for concept in concepts]
    # A name that is never the answer would only be pushed away from all patches.
    seen = [number for number, concept in enumerate(concepts) if concept.seen]
    seen_names = [names[number] for number in seen]
    for number, stage in enumerate(recipe.stages):
        start, done = min(done, stage.steps), max(done - stage.steps, 0)
        pictures = CaptionedPictures(stage, number, concepts, glyphs, recipe.seed, regions=recipe.region_weight > 0)
        rest = Subset(pictures, range(start * stage.batch_size, len(pictures)))
        batches = DataLoader(rest, stage.batch_size, num_workers=workers, collate_fn=list)
        for step, items in enumerate(batches, start):
            captions, others, true, regions = [item.caption for item in items], [], None, None
            if recipe.hard_negatives:
                others, true = hard_negatives(items, names, np.random.default_rng([recipe.seed, number, step, 1]))
            if recipe.region_weight:
                regions = find_regions(items, seen_names, recipe.patch_size)
            tokens = tokenizer(captions + others, padding=True, truncation=True, return_tensors="pt")
            pixel_values = normalize_pictures(np.stack([item.picture for item in items]))
            yield _Step(
                pixel_values, tokens, captions, true, stage.patch_share, regions, len(captions) + torch.tensor(seen)
            )


def hard_negatives(
    items: Sequence[CaptionedPicture], names: Sequence[str], generator: np.random.Generator
) -> tuple[list[str], torch.Tensor]:
    """N captions of things that most pictures do not show, and which are true of which picture all the same: (B, N).

    They are all names, each in a frame of its own ("a photo of a ..."), and the captions whose relation is exchanged.
    """
    frames = generator.integers(len(PREFIXES), size=len(names))
    captions = [PREFIXES[frame].format(name) for frame, name in zip(frames, names, strict=True)]
    swapped = [item.swapped for item in items if item.swapped is not None]
    shown = torch.tensor([[name in item.names for name in names] for item in items])  # (B, K)
    return captions + swapped, F.pad(shown, (0, len(swapped)))


@torch.inference_mode()
def _name_accuracy(model, tokenizer, concepts, glyphs, recipe, per_concept: int = 2) -> dict:
    """Zero-shot naming of one emoji a picture, among all concepts, on pictures that were never drawn before."""
    stage = dataclasses.replace(recipe.stages[-1], single_share=1.0)
    names = [concept.name for concept in concepts]
    tokens = tokenizer([f"a photo of a {name}." for name in names], padding=True, truncation=True, return_tensors="pt")
    device = model.device
    text = F.normalize(model.get_text_features(**tokens.to(device)).pooler_output, dim=-1)  # (K, D)
    first, fifth, total = 0, 0, 0
    for start in range(0, len(names), 64):
        pictures, targets = [], []
        for index in range(start, min(start + 64, len(names))):
            drawing = CaptionedPictures(stage, 0, [concepts[index]], glyphs, recipe.seed + 1)
            for repeat in range(per_concept):
                pictures.append(drawing[index * per_concept + repeat].picture)
                targets.append(index)
        pixel_values = normalize_pictures(np.stack(pictures)).to(device)
        image = model.get_image_features(pixel_values, interpolate_pos_encoding=True).pooler_output
        best = (F.normalize(image, dim=-1) @ text.T).topk(min(5, len(names)), dim=-1).indices  # (B, 5)
        hits = best.cpu() == torch.tensor(targets)[:, None]
        first, fifth, total = first + int(hits[:, 0].sum()), fifth + int(hits.any(-1).sum()), total + len(targets)
    return {"top1": first / total, "top5": fifth / total}


def _save(model: CLIPModel, tokenizer, recipe: PretrainRecipe, measured: dict, folder: Path) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": recipe.image_size},
        crop_size={"height": recipe.image_size, "width": recipe.image_size},
    ).save_pretrained(folder)
    record = {"recipe": dataclasses.asdict(recipe), "measured": measured, "torch": torch.__version__}
    (folder / "pretraining.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
