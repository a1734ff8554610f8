"""A small CLIP from scratch for the emoji world: an ordinary `CLIPModel`, trained with the ordinary contrastive loss.

    python -m clipseg_hf.training.pretraining.pretrain examples/recipes/emoji-clip.yaml -o emoji-clip

Pictures are drawn as they are needed, all concepts among them (as CLIP has seen everything): first one emoji on a small
picture, then scenes, so that most steps are cheap. The result is a folder that `from_clip` takes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from tokenizers import Tokenizer, models, trainers
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextConfig,
    CLIPTokenizer,
    CLIPVisionConfig,
    get_cosine_schedule_with_warmup,
)
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from clipseg_hf.data.emoji_world.emoji_glyphs import EmojiConcept, GlyphSheet, load_concepts
from clipseg_hf.data.emoji_world.emoji_scenes import Scene, SceneSettings, draw_scene
from clipseg_hf.data.vocabulary.phrases import PREFIXES


@dataclass
class Stage:
    """A stretch of the training.

    Args:
        steps: optimizer steps.
        batch_size: pictures, and captions, of a step.
        image_size: side of the pictures in pixels, a multiple of the patch size.
        single_share: share of the pictures that show one emoji; the others are scenes of two or three.
    """

    steps: int
    batch_size: int
    image_size: int
    single_share: float


@dataclass
class PretrainRecipe:
    """Everything that decides the result.

    Sizes are CLIP's usual terms. The learning rate rises linearly for `warmup_share` of the steps, then falls to 0 by a
    cosine. `precision` is "bf16" (autocast) or "no".
    """

    stages: tuple[Stage, ...]
    vision_width: int = 192
    vision_layers: int = 6
    vision_heads: int = 6
    patch_size: int = 16
    image_size: int = 160
    text_width: int = 128
    text_layers: int = 2
    text_heads: int = 4
    context_length: int = 32
    vocabulary: int = 2000
    projection_dim: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    warmup_share: float = 0.1
    precision: str = "bf16"
    seed: int = 0

    def __post_init__(self):
        self.stages = tuple(Stage(**stage) if isinstance(stage, dict) else stage for stage in self.stages)
        if not self.stages:
            raise ValueError("A recipe needs at least one stage (steps, batch_size, image_size, single_share).")
        for stage in self.stages:
            if stage.image_size % self.patch_size:
                raise ValueError(
                    f"A stage draws pictures of {stage.image_size} pixels, which patches of {self.patch_size} do not "
                    "divide; choose a multiple."
                )
        if self.precision not in ("bf16", "no"):
            raise ValueError(f"precision is 'bf16' or 'no', got {self.precision!r}.")

    @classmethod
    def from_yaml(cls, path: str | Path) -> PretrainRecipe:
        """Read a recipe; unknown keys are refused."""
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(f"{path} has unknown keys {unknown}; known are {known}.")
        return cls(**values)


def scene_caption(scene: Scene, generator: np.random.Generator) -> str:
    """What a picture's alt text might say: all of its things, how two of them stand, or one of them."""
    relations = [phrase.phrase for phrase in scene.phrases if phrase.relations]
    single = [phrase.phrase for phrase in scene.phrases if not phrase.relations]
    names = list(dict.fromkeys(instance.concept.name for instance in scene.instances))
    choice = generator.uniform()
    if len(names) == 1 or choice < 0.25:
        caption = single[generator.integers(len(single))]
    elif relations and choice < 0.5:
        caption = relations[generator.integers(len(relations))]
    else:
        caption = " and ".join(names[number] for number in generator.permutation(len(names)))
    return PREFIXES[generator.integers(len(PREFIXES))].format(caption)


class CaptionedPictures(Dataset):
    """Pictures with captions, drawn on the fly: item i is the same whenever and wherever it is drawn."""

    def __init__(self, stage: Stage, number: int, concepts: Iterable[EmojiConcept], glyphs: GlyphSheet, seed: int):
        self.stage, self.number, self.concepts, self.glyphs, self.seed = stage, number, list(concepts), glyphs, seed
        size = ((stage.image_size, stage.image_size),)
        # The same range of sizes in pixels, hence in patches, at every stage.
        low, high = min(0.45, 40 / stage.image_size), min(0.95, 128 / stage.image_size)
        self.single = SceneSettings(
            sizes=size, concepts_per_scene=(1, 1), object_size=(low, high), repeat_probability=0
        )
        self.several = SceneSettings(
            sizes=size, concepts_per_scene=(2, 3), object_size=(low, 0.6 * high), repeat_probability=0.1
        )

    def __len__(self):
        return self.stage.steps * self.stage.batch_size

    def __getitem__(self, index: int) -> tuple[np.ndarray, str]:
        generator = np.random.default_rng([self.seed, self.number, index])
        settings = self.single if generator.uniform() < self.stage.single_share else self.several
        scene = draw_scene(generator, self.concepts, self.glyphs, settings)
        while not scene.instances:  # the one emoji did not fit, once it was turned
            scene = draw_scene(generator, self.concepts, self.glyphs, settings)
        return scene.image, scene_caption(scene, generator)


def train_tokenizer(captions: Iterable[str], vocabulary: int, context_length: int) -> CLIPTokenizer:
    """CLIP's kind of tokenizer (byte-level BPE, lower case, "</w>" at a word's end) on other text.

    Args:
        vocabulary: at most so many tokens; CLIP's 512 byte tokens and 2 special ones are always among them.
    """
    if vocabulary < 514:
        raise ValueError(f"vocabulary must hold CLIP's 512 byte tokens and 2 special ones, got {vocabulary}.")
    rules = CLIPTokenizer(vocab={"<|startoftext|>": 0, "<|endoftext|>": 1}, merges=[]).backend_tokenizer
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer, learner.pre_tokenizer = rules.normalizer, rules.pre_tokenizer
    learner.train_from_iterator(
        captions,
        trainers.BpeTrainer(vocab_size=vocabulary - 256, end_of_word_suffix="</w>", show_progress=False),
    )
    merges = [tuple(merge) for merge in json.loads(learner.to_str())["model"]["merges"]][: vocabulary - 514]
    alphabet = _byte_alphabet()
    tokens = alphabet + [byte + "</w>" for byte in alphabet] + ["".join(merge) for merge in merges]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={token: number for number, token in enumerate(tokens)}, merges=merges, model_max_length=context_length
    )


def _byte_alphabet() -> list[str]:
    """The 256 characters that stand for bytes in byte-level BPE, in CLIP's order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + number) for number in range(len(others))]


def build_clip(recipe: PretrainRecipe, tokenizer: CLIPTokenizer) -> CLIPModel:
    """A freshly initialised CLIP of the recipe's size."""
    common = {"hidden_act": "gelu", "projection_dim": recipe.projection_dim}
    vision = CLIPVisionConfig(
        hidden_size=recipe.vision_width,
        intermediate_size=4 * recipe.vision_width,
        num_hidden_layers=recipe.vision_layers,
        num_attention_heads=recipe.vision_heads,
        image_size=recipe.image_size,
        patch_size=recipe.patch_size,
        **common,
    )
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.text_width,
        intermediate_size=4 * recipe.text_width,
        num_hidden_layers=recipe.text_layers,
        num_attention_heads=recipe.text_heads,
        max_position_embeddings=recipe.context_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **common,
    )
    # On a CPU, plain attention is twice as fast as the fused one to train on such short sequences.
    return CLIPModel._from_config(
        CLIPConfig(text_config=text, vision_config=vision, projection_dim=recipe.projection_dim),
        attn_implementation="eager",
    )


def contrastive_loss(
    image_embeds: torch.Tensor, text_embeds: torch.Tensor, scale: torch.Tensor, captions: list[str]
) -> torch.Tensor:
    """CLIP's symmetric cross-entropy, where pictures with the same caption are not each other's negatives.

    Args:
        image_embeds, text_embeds: (B, D), of any length.
        scale: factor on the cosine similarities.
        captions: the B captions.
    """
    similarity = scale * F.normalize(image_embeds, dim=-1) @ F.normalize(text_embeds, dim=-1).T  # (B, B)
    kinds = {caption: number for number, caption in enumerate(captions)}
    kind = torch.tensor([kinds[caption] for caption in captions], device=similarity.device)
    twins = (kind[:, None] == kind) & ~torch.eye(len(kind), dtype=torch.bool, device=kind.device)
    similarity = similarity.masked_fill(twins, float("-inf"))
    target = torch.arange(len(kind), device=kind.device)
    return (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2


def pretrain(recipe: PretrainRecipe, output_dir: str | Path, *, font: str | None = None, workers: int = 1) -> dict:
    """Train a CLIP by a recipe and save it with tokenizer, image processor, recipe and a measured accuracy.

    Args:
        font: path of NotoColorEmoji.ttf, if it is not where systems put it.
        workers: processes that draw pictures.

    Returns:
        What was measured: `top1` and `top5`, how often the name of a freshly drawn emoji comes first or among the
        first five of all names; `loss`, the mean of the last 100 steps.
    """
    torch.manual_seed(recipe.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    concepts, glyphs = load_concepts(), GlyphSheet(font)
    for concept in concepts:
        glyphs.find(concept.character)  # drawn before workers start, so that they share them
    tokenizer = train_tokenizer(_all_phrases(concepts), recipe.vocabulary, recipe.context_length)
    model = build_clip(recipe, tokenizer).to(device)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
    )
    total = sum(stage.steps for stage in recipe.stages)
    schedule = get_cosine_schedule_with_warmup(optimizer, round(recipe.warmup_share * total), total)
    losses: list[float] = []
    model.train()
    with tqdm(total=total, unit="step", smoothing=0.05) as progress:
        for pixel_values, tokens, captions in _batches(recipe, concepts, glyphs, tokenizer, workers):
            with torch.autocast(device, torch.bfloat16, enabled=recipe.precision == "bf16"):
                image_embeds = model.get_image_features(pixel_values.to(device), interpolate_pos_encoding=True)
                text_embeds = model.get_text_features(**tokens.to(device))
            loss = contrastive_loss(
                image_embeds.pooler_output.float(), text_embeds.pooler_output.float(), model.logit_scale.exp(), captions
            )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            model.logit_scale.data.clamp_(max=np.log(100))
            losses.append(loss.item())
            progress.update()
            progress.set_postfix(loss=f"{np.mean(losses[-100:]):.3f}", refresh=False)
            if len(losses) % 400 == 0:
                model.save_pretrained(output_dir)
                tokenizer.save_pretrained(output_dir)
    model.eval()
    measured = {"loss": float(np.mean(losses[-100:]))} | _name_accuracy(model, tokenizer, concepts, glyphs, recipe)
    _save(model, tokenizer, recipe, measured, Path(output_dir))
    return measured


def _all_phrases(concepts: Iterable[EmojiConcept]) -> Iterator[str]:
    words = ("small", "large", "grey", "upside-down", "left of", "right of", "above", "below", "and", "the")
    for concept in concepts:
        yield concept.name
        yield from (prefix.format(concept.name) for prefix in PREFIXES)
        yield from (f"{word} {concept.name}" for word in words)


def normalize_pictures(pictures: np.ndarray) -> torch.Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float with CLIP's mean and standard deviation."""
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255  # (B, H, W, 3) -> (B, 3, H, W)
    mean, std = (torch.tensor(values)[:, None, None] for values in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
    return (pixels - mean) / std


def _batches(recipe, concepts, glyphs, tokenizer, workers):
    """(pixel_values, tokens, captions) of every step."""

    def collate(items):
        captions = [caption for _, caption in items]
        tokens = tokenizer(captions, padding=True, truncation=True, return_tensors="pt")
        return torch.from_numpy(np.stack([picture for picture, _ in items])), tokens, captions

    for number, stage in enumerate(recipe.stages):
        pictures = CaptionedPictures(stage, number, concepts, glyphs, recipe.seed)
        loader = DataLoader(pictures, stage.batch_size, num_workers=workers, collate_fn=collate)
        for picture, tokens, captions in loader:
            yield normalize_pictures(picture.numpy()), tokens, captions


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
                pictures.append(drawing[index * per_concept + repeat][0])
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


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m clipseg_hf.training.pretraining.pretrain", description=__doc__.split("\n")[0]
    )
    parser.add_argument("recipe", help="YAML file, such as examples/recipes/emoji-clip.yaml")
    parser.add_argument("-o", "--output", default="emoji-clip", help="folder for the result")
    parser.add_argument("--font", help="path of NotoColorEmoji.ttf")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw pictures")
    given = parser.parse_args()
    measured = pretrain(PretrainRecipe.from_yaml(given.recipe), given.output, font=given.font, workers=given.workers)
    print(json.dumps(measured, indent=2))


if __name__ == "__main__":
    main()
