"""A freshly made CLIP: its tokenizer, learned from captions, and its model."""

import copy
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from tokenizers import Tokenizer, models, trainers
from torch import nn
from transformers import AutoConfig, CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

from clipseg_hf.modeling.model_names import find_model
from clipseg_hf.training.pretraining.pretrain_recipe import PretrainRecipe


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
    # On a CPU, plain attention is twice as fast as the fused one to train on such short sequences.
    return CLIPModel._from_config(_config(recipe, tokenizer), attn_implementation="eager")


def _config(recipe: PretrainRecipe, tokenizer: CLIPTokenizer) -> CLIPConfig:
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
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=recipe.projection_dim)


def load_clip(recipe: PretrainRecipe) -> tuple[CLIPModel, CLIPTokenizer]:
    """The CLIP that a recipe goes on from, with its tokenizer.

    Raises:
        FileNotFoundError, ConnectionError: if it is not there; see `find_model`.
        ValueError: if it is no CLIP, or of other sizes than the recipe's.
    """
    name = find_model(recipe.model_name_or_path, "make it first, by the recipe that this one goes on from.")
    if (kind := AutoConfig.from_pretrained(name).model_type) != "clip":
        raise ValueError(f"{name} is a model of type {kind!r}; pretraining goes on from a CLIP.")
    attention = "sdpa" if recipe.new_layers_only else "eager"  # plain attention is only faster to train
    model = CLIPModel.from_pretrained(name, attn_implementation=attention, dtype=torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(name)
    wanted, found = _config(recipe, tokenizer), model.config
    if recipe.new_layers_only:
        model = _put_layers_on(model, recipe.vision_layers, name)
        found = model.config
    for part, fields in _SIZES.items():
        for field in fields:
            want, have = (getattr(getattr(config, part), field) for config in (wanted, found))
            if want != have:
                raise ValueError(
                    f"The recipe asks for {part}.{field} = {want}, but {name} has {have}; training goes on from a CLIP "
                    "of the same sizes, so change the recipe's."
                )
    return model, tokenizer


def _put_layers_on(model: CLIPModel, layers: int, name: str) -> CLIPModel:
    """A CLIP with more blocks in its vision tower, which can learn, with what comes after them; the rest cannot.

    A new block begins as a copy of the last one whose output is zero, so nothing changes before it learns.
    """
    blocks = model.vision_model.encoder.layers
    if layers <= len(blocks):
        raise ValueError(
            f"new_layers_only trains blocks on top of the {len(blocks)} of {name}, but vision_layers = {layers} are no "
            "more than it has; raise vision_layers, or leave new_layers_only out."
        )
    model.requires_grad_(False)
    for _ in range(layers - len(blocks)):
        block = copy.deepcopy(blocks[-1])
        for last in (block.self_attn.out_proj, block.mlp.fc2):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        blocks.append(block.requires_grad_(True))
    for part in (model.vision_model.post_layernorm, model.visual_projection):
        part.requires_grad_(True)
    model.config.vision_config.num_hidden_layers = layers
    return model


_SIZES = {
    "vision_config": (
        "hidden_size", "num_hidden_layers", "num_attention_heads", "patch_size", "image_size", "projection_dim"
    ),
    "text_config": ("hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings", "vocab_size"),
}  # fmt: skip


@contextmanager
def see_some_patches(model: CLIPModel, share: float) -> Iterator[list[torch.Tensor]]:
    """While it lasts, CLIP sees the class token and a random `share` of the patches, others for each picture.

    Positions are added before, as in FLIP (Li et al. 2023), so that a patch still knows where it was.

    Yields:
        A list to which every pass adds the patches that it saw: (B, patches seen) int64, in the order of their tokens.
    """
    seen: list[torch.Tensor] = []

    def keep_some(module, inputs, embeddings: torch.Tensor) -> torch.Tensor:
        patches = embeddings.shape[1] - 1
        if share == 1:
            seen.append(torch.arange(patches, device=embeddings.device).expand(len(embeddings), -1))
            return embeddings
        kept = max(round(share * patches), 1)
        order = torch.rand(len(embeddings), patches, device=embeddings.device).argsort(dim=1)[:, :kept]
        seen.append(order)
        patch_tokens = embeddings.gather(1, 1 + order[..., None].expand(-1, -1, embeddings.shape[-1]))
        return torch.cat([embeddings[:, :1], patch_tokens], dim=1)  # (B, 1 + kept, D)

    handle = model.vision_model.embeddings.register_forward_hook(keep_some)
    try:
        yield seen
    finally:
        handle.remove()


def embed_patches(model: CLIPModel, hidden_states: torch.Tensor) -> torch.Tensor:
    """The patches of CLIP's last layer in the space of texts, as the class token is: (B, 1 + P, D) -> (B, P, E)."""
    return model.visual_projection(model.vision_model.post_layernorm(hidden_states[:, 1:]))
