"""Checkpoints of the original implementations (timojl/clipseg, openai/CLIP) under the names that are used here."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPModel

from clipseg_hf.modeling.modeling_clipseg import CLIPSegForImageSegmentation

# original name -> ours, applied in turn; {q,k,v} stands for the three parts of a stacked projection
_DECODER_NAMES = (
    (r"^blocks\.", "layers."),
    (r"\.self_attn\.in_proj_(weight|bias)$", r".self_attn.{q,k,v}_proj.\1"),
    (r"\.linear([12])\.", r".mlp.fc\1."),
    (r"\.norm([12])\.", r".layer_norm\1."),
    (r"^trans_conv\.", "transposed_convolution."),
)
_CLIP_NAMES = (
    (r"^visual\.class_embedding$", "vision_model.embeddings.class_embedding"),
    (r"^visual\.conv1\.", "vision_model.embeddings.patch_embedding."),
    (r"^visual\.positional_embedding$", "vision_model.embeddings.position_embedding.weight"),
    (r"^visual\.ln_pre\.", "vision_model.pre_layrnorm."),
    (r"^visual\.ln_post\.", "vision_model.post_layernorm."),
    (r"^visual\.proj$", "visual_projection.weight"),
    (r"^visual\.transformer\.resblocks\.", "vision_model.encoder.layers."),
    (r"^token_embedding\.", "text_model.embeddings.token_embedding."),
    (r"^positional_embedding$", "text_model.embeddings.position_embedding.weight"),
    (r"^ln_final\.", "text_model.final_layer_norm."),
    (r"^text_projection$", "text_projection.weight"),
    (r"^transformer\.resblocks\.", "text_model.encoder.layers."),
    (r"\.attn\.in_proj_(weight|bias)$", r".self_attn.{q,k,v}_proj.\1"),
    (r"\.attn\.out_proj\.", ".self_attn.out_proj."),
    (r"\.ln_([12])\.", r".layer_norm\1."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
)
_SIZES = ("film_mul.weight", "blocks.0.linear1.weight", "blocks.0.self_attn.in_proj_weight")  # tell D, P and F
_UNUSED = {"reduce.weight", "reduce.bias"}  # in every original file, read by nothing (models/clipseg.py)
_TRANSPOSED = {"visual.proj", "text_projection"}  # (width, projection) there, (projection, width) here
_CLIP_CONSTANTS = {"input_resolution", "context_length", "vocab_size"}  # in OpenAI's archives, no weights


def convert_original_checkpoint(
    checkpoint: str | os.PathLike | Mapping[str, Tensor],
    clip: str | os.PathLike | CLIPModel,
    *,
    extract_layers: Sequence[int] = (3, 6, 9),
    **clip_kwargs: Any,
) -> CLIPSegForImageSegmentation:
    """An original CLIPSeg checkpoint (`rd64-uni.pth`, `rd64-uni-refined.pth`, `rd16-uni.pth`) as a model of ours.

    The file holds the decoder alone; width and readout are read off its shapes.

    Args:
        checkpoint: the file, read with `weights_only=True`, or what is in it.
        clip: the CLIP that belongs to it, "openai/clip-vit-base-patch16" for the released ones; see `from_clip`.
        extract_layers: the default is that of the released checkpoints in transformers; the training files of the
            original, and the paper, say (3, 7, 9).
        clip_kwargs: go to `CLIPModel.from_pretrained`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: if the file holds no weights, has names that are unknown, lacks some, or holds shapes that do not
            fit; all are listed, after the file's name.
    """
    with _naming(checkpoint):
        return _convert(_read(checkpoint), clip, extract_layers, clip_kwargs)


def _convert(
    original: dict[str, Tensor], clip: str | os.PathLike | CLIPModel, extract_layers: Sequence[int], clip_kwargs: dict
) -> CLIPSegForImageSegmentation:
    for name in _SIZES:
        if name not in original:
            raise ValueError(
                f"this is no checkpoint of the original CLIPSeg: it has no {name!r}, but {_list(original)}"
            )
    film, hidden, attention = (tuple(original[name].shape) for name in _SIZES)
    if len(film) != 2 or hidden[1:] != film[:1] or attention != (3 * film[0], film[0]) or 0 in (*film, *hidden):
        # nothing is made by sizes that the file does not fill
        raise ValueError(
            f"{', '.join(_SIZES)} have shapes {film}, {hidden}, {attention}; expected (D, P), (F, D), (3D, D)"
        )
    model = CLIPSegForImageSegmentation.from_clip(
        clip,
        extract_layers=extract_layers,
        reduce_dim=film[0],
        decoder_intermediate_size=hidden[0],
        use_complex_transposed_convolution="trans_conv.0.weight" in original,
        **clip_kwargs,
    )
    original = {name: tensor for name, tensor in original.items() if name not in _UNUSED}
    _load(model.decoder, original, _DECODER_NAMES, "the original CLIPSeg checkpoint")
    return model


def load_openai_clip(clip: CLIPModel, checkpoint: str | os.PathLike | Mapping[str, Tensor]) -> None:
    """Fill `clip` with OpenAI's original weights (a state dict such as that of `clip.load("ViT-B/16")[0]`).

    Raises:
        ValueError: as `convert_original_checkpoint`.
    """
    with _naming(checkpoint):
        original = {name: tensor for name, tensor in _read(checkpoint).items() if name not in _CLIP_CONSTANTS}
        original = {name: tensor.T if name in _TRANSPOSED else tensor for name, tensor in original.items()}
        _load(clip, original, _CLIP_NAMES, "OpenAI's CLIP checkpoint")


def _read(checkpoint: str | os.PathLike | Mapping[str, Tensor]) -> dict[str, Tensor]:
    if not isinstance(checkpoint, Mapping):
        if not os.path.isfile(checkpoint):
            raise FileNotFoundError(f"There is no file {checkpoint}.")
        try:
            checkpoint = torch.load(checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a parser of damaged or hostile files comes upon
            raise ValueError("it holds no PyTorch weights, or more than can be read safely (weights_only)") from error
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f"found a {type(checkpoint).__name__}, expected a state dict: names and their tensors")
    for name, value in checkpoint.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            found = f"a {type(name).__name__} with a {type(value).__name__}"
            raise ValueError(
                f"found {found}, expected a state dict: a dictionary from names to tensors, and nothing else"
            )
        if not _is_plain(value):
            raise ValueError(f"{name} is no plain tensor that fills its shape, {tuple(value.shape)}")
    return dict(checkpoint)


def _is_plain(tensor: Tensor) -> bool:
    """Dense numbers, each of them in the file: a few bytes can claim any shape otherwise."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.device.type == "meta":
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


@contextmanager
def _naming(checkpoint: str | os.PathLike | Mapping[str, Tensor]) -> Iterator[None]:
    """Begin errors with the file's name, where there is one."""
    try:
        yield
    except ValueError as error:
        if isinstance(checkpoint, Mapping):
            raise
        raise ValueError(f"{os.fspath(checkpoint)}: {error}") from error


def _load(module: torch.nn.Module, original: Mapping[str, Tensor], names: Sequence[tuple[str, str]], what: str) -> None:
    """Copy `original` into `module`, or say everything that does not fit."""
    expected = module.state_dict()
    converted, source = {}, {}
    for name, tensor in original.items():
        for new_name, part in _rename(name, tensor, names):
            converted[new_name], source[new_name] = part, name
    problems = []
    if unknown := sorted({source[name] for name in converted.keys() - expected.keys()}):
        problems.append(f"unknown: {_list(unknown)}")
    if missing := sorted(expected.keys() - converted.keys()):
        problems.append(f"missing (by their new names): {_list(missing)}")
    for name in sorted(converted.keys() & expected.keys()):
        if converted[name].shape != expected[name].shape:
            found, wanted = tuple(converted[name].shape), tuple(expected[name].shape)
            problems.append(f"{source[name]}: shape {found} for {name}, expected {wanted}")
    if problems:
        raise ValueError(f"{what} does not fit this model. " + "; ".join(problems))
    module.load_state_dict({name: tensor.to(expected[name].dtype) for name, tensor in converted.items()})


def _rename(name: str, tensor: Tensor, names: Sequence[tuple[str, str]]) -> list[tuple[str, Tensor]]:
    for pattern, replacement in names:
        name = re.sub(pattern, replacement, name)
    if "{q,k,v}" not in name:
        return [(name, tensor)]
    is_stacked = tensor.ndim > 0 and len(tensor) % 3 == 0  # else the shape is told, as that of all others
    parts = tensor.chunk(3) if is_stacked else (tensor,) * 3  # (3D, ...) -> three times (D, ...)
    return [(name.replace("{q,k,v}", letter), part) for letter, part in zip("qkv", parts, strict=True)]


def _list(names: Sequence[str] | Mapping[str, Tensor], limit: int = 20) -> str:
    names = list(names)
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
