"""CLIP's vision tower as CLIPSeg uses it: left early for query images, masked inside for image prompts."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPModel

from clipseg_hf.modeling.grids import patch_grid

MASK_MODES = ("cls_last", "cls_all", "patches_all")


def extract_activations(
    vision_model: Any, pixel_values: Tensor, extract_layers: Sequence[int], interpolate_pos_encoding: bool = True
) -> tuple[Tensor, ...]:
    """Activations of CLIP's vision layers, running no layer beyond the last one wanted.

    Args:
        pixel_values: (B, 3, H, W), H and W multiples of the patch size.
        extract_layers: zero-based layers, in any order.

    Returns:
        For each entry of `extract_layers` the layer's output, (B, 1 + H/p * W/p, width).
    """
    hidden_states = vision_model.embeddings(pixel_values, interpolate_pos_encoding=interpolate_pos_encoding)
    hidden_states = vision_model.pre_layrnorm(hidden_states)  # (B, 1 + patches, width)
    kept = {}
    for number, layer in enumerate(vision_model.encoder.layers[: max(extract_layers) + 1]):
        hidden_states = layer(hidden_states, None)
        kept[number] = hidden_states
    return tuple(kept[number] for number in extract_layers)


def embed_tokens(clip: CLIPModel, hidden_states: Tensor) -> Tensor:
    """(S, tokens, width) of CLIP's last vision layer -> (S, tokens, projection_dim), where CLIP itself puts the first
    token alone: the space of the prompts."""
    vision_model: Any = clip.vision_model
    return clip.visual_projection(vision_model.post_layernorm(hidden_states))


def run_masked_images(clip: CLIPModel, pixel_values: Tensor, masks: Tensor, mode: str = "cls_all") -> Tensor:
    """CLIP's last vision layer for images whose attention is steered by a mask (the paper's "CLIP-based masking").

    The mask, resized to the patch grid by nearest neighbour, multiplies the scaled attention scores before the softmax
    on their way to the patches: those of the CLS token in the last layer ("cls_last") or in all layers ("cls_all"), or
    those of the patches in all layers ("patches_all"; what concerns the CLS token stays). A masked patch's score so
    becomes 0, not minus infinity, as in the original (`forward_multihead_attention` in its `models/clipseg.py`, which
    however mixes up the masks of a batch).

    Args:
        pixel_values: (S, 3, h, w).
        masks: (S, any height, any width), each image's own; 1 inside, 0 outside, or soft.
        mode: "cls_last", "cls_all" or "patches_all".

    Returns:
        (S, 1 + patches, width); `embed_tokens` gives the embeddings, the image's own first.
    """
    if mode not in MASK_MODES:
        raise ValueError(f'mask_mode="{mode}" is unknown, choose one of {", ".join(MASK_MODES)}')
    if masks.ndim != 3 or len(masks) != len(pixel_values):
        raise ValueError(
            f"conditional_masks have the shape {tuple(masks.shape)}, expected ({len(pixel_values)}, height, width): "
            f"one mask for each of the {len(pixel_values)} image prompt(s)"
        )
    vision_model: Any = clip.vision_model
    hidden_states = vision_model.embeddings(pixel_values, interpolate_pos_encoding=True)
    hidden_states = vision_model.pre_layrnorm(hidden_states)  # (S, 1 + patches, width)

    grid = patch_grid(pixel_values, vision_model.config.patch_size, "conditional_pixel_values")
    patches = F.interpolate(masks[:, None].to(hidden_states.dtype), size=grid, mode="nearest").flatten(1)
    factors = _score_factors(patches, mode)  # (S, 1, tokens, tokens)
    layers = vision_model.encoder.layers
    for number, layer in enumerate(layers):
        if mode == "cls_last" and number < len(layers) - 1:
            hidden_states = layer(hidden_states, None)
        else:
            attended = _scaled_attention(layer.self_attn, layer.layer_norm1(hidden_states), factors)
            hidden_states = hidden_states + attended
            hidden_states = hidden_states + layer.mlp(layer.layer_norm2(hidden_states))
    return hidden_states


def _score_factors(patches: Tensor, mode: str) -> Tensor:
    """(S, patches) mask values -> (S, 1, tokens, tokens) factors of the attention scores; token 0 is CLS."""
    count, tokens = patches.shape[0], patches.shape[1] + 1
    factors = patches.new_ones(count, 1, tokens, tokens)
    if mode == "patches_all":
        factors[:, :, 1:, 1:] = patches[:, None, None, :]
    else:
        factors[:, :, 0, 1:] = patches[:, None, :]
    return factors


def _scaled_attention(attention: Any, hidden_states: Tensor, factors: Tensor) -> Tensor:
    """One self-attention of CLIP with its scores multiplied by `factors`."""
    query, key, value = (
        # (S, tokens, width) -> (S, tokens, heads, head) -> (S, heads, tokens, head)
        projection(hidden_states).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    scores = torch.matmul(query, key.transpose(-1, -2)) * attention.scale * factors  # (S, heads, tokens, tokens)
    attended = torch.matmul(scores.softmax(-1), value).transpose(1, 2).flatten(2)  # -> (S, tokens, width)
    return attention.out_proj(attended)
