"""Decoder-only checkpoints: 4.5 MB that name their base CLIP, in place of 600 MB that repeat it."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoConfig, CLIPModel, CLIPSegConfig, PreTrainedModel

from clipseg_hf.modeling.checkpoints.beside import names_beside
from clipseg_hf.modeling.checkpoints.checkpoint_files import read_weights, refuse_mixture, weights_checksum
from clipseg_hf.modeling.configuration import clip_config_of
from clipseg_hf.modeling.model_names import resolve_name

# Not transformers' name for weights, so that stock refuses the checkpoint instead of loading it with a random CLIP.
DECODER_FILE = "decoder.safetensors"
WHOLE_FILES = ("model*.safetensors*", "pytorch_model*.bin*")


def save_decoder(model: PreTrainedModel, directory: str | os.PathLike, base: str, revision: str | None) -> None:
    """Write `config.json` and `decoder.safetensors`, which say what CLIP they belong to.

    Args:
        model: a CLIPSeg model whose CLIP is that of `base`.
        directory: made if need be.
        base: name or directory of a CLIP checkpoint, or of a CLIPSeg checkpoint with the same CLIP.
        revision: of `base` on the Hub; None: its main branch.

    Raises:
        ValueError: if the directory holds a whole checkpoint.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    refuse_mixture(directory, WHOLE_FILES)
    config = CLIPSegConfig.from_dict(model.config.to_dict())
    config.architectures = [type(model).__name__]
    config.dtype = str(model.dtype).removeprefix("torch.")
    config.base_model_name_or_path, config.base_model_revision = base, revision
    config.save_pretrained(directory)
    decoder = {f"decoder.{name}": tensor for name, tensor in model.get_submodule("decoder").state_dict().items()}
    beside = names_beside(model)
    tensors = {name: tensor.contiguous() for name, tensor in decoder.items() if name not in beside}
    metadata = {
        "format": "pt",
        "clip_checksum": weights_checksum(model.get_submodule("clip").state_dict()),
        "clip_dtype": str(model.clip.dtype).removeprefix("torch."),
    }
    save_file(tensors, directory / DECODER_FILE, metadata=metadata)


def merge_with_base(
    decoder_file: str,
    config: CLIPSegConfig,
    base: str | os.PathLike | CLIPModel | None,
    load_whole: Callable[..., PreTrainedModel],
    **hub_arguments: Any,
) -> dict[str, Tensor]:
    """The whole state dict behind a decoder-only checkpoint: its decoder, and the CLIP of its base.

    Args:
        decoder_file: path of a `decoder.safetensors`.
        config: the checkpoint's configuration, which names the base.
        base: the same CLIP from elsewhere, in place of the one that the configuration names; or None.
        load_whole: the model class's `from_pretrained`, for a base that is a CLIPSeg itself.
        hub_arguments: how to reach the Hub (`token`, `cache_dir`, ...).

    Raises:
        OSError: if the base cannot be reached.
        ValueError: if no base is named, or it holds another CLIP than the one that the decoder was saved with;
            or if the decoder cannot be read.
    """
    tensors, metadata = read_weights(decoder_file)
    revision = None
    if base is None:
        base = getattr(config, "base_model_name_or_path", None)
        revision = getattr(config, "base_model_revision", None)
    if base is None:
        raise ValueError(
            f"{decoder_file} is a decoder only and names no base CLIP: set base_model_name_or_path in its config.json, "
            "or pass base_model="
        )
    dtype = getattr(torch, metadata.get("clip_dtype", "float32"))
    clip = _load_base(base, revision, dtype, load_whole, **hub_arguments)
    _check_base(clip, config, metadata.get("clip_checksum"), base)
    return {**tensors, **{f"clip.{name}": tensor for name, tensor in clip.items()}}


def _load_base(
    base: str | os.PathLike | CLIPModel,
    revision: str | None,
    dtype: torch.dtype,
    load_whole: Callable[..., PreTrainedModel],
    **hub_arguments: Any,
) -> dict[str, Tensor]:
    """The state dict of the CLIP in a CLIP or CLIPSeg checkpoint."""
    if isinstance(base, CLIPModel):
        return base.to(dtype).state_dict()  # type: ignore[arg-type]  # transformers hides the types of `to`
    base, hub_arguments = resolve_name(base), {**hub_arguments, "revision": revision or "main"}
    try:
        kind = AutoConfig.from_pretrained(base, **hub_arguments).model_type
        if kind == "clip":
            return CLIPModel.from_pretrained(base, dtype=dtype, **hub_arguments).state_dict()
        if kind == "clipseg":
            return load_whole(base, dtype=dtype, **hub_arguments).get_submodule("clip").state_dict()
    except OSError as error:
        at = f" (revision {revision})" if revision else ""
        raise OSError(
            f"this checkpoint holds a decoder only, and its base CLIP {base!r}{at} cannot be reached: {error}\n"
            "Connect to the Hub once, or pass base_model=, a directory (or CLIPModel) with the same CLIP"
        ) from error
    raise ValueError(f"the base {base!r} is a model of type {kind!r}, expected a CLIP or CLIPSeg checkpoint")


def _check_base(
    clip: Mapping[str, Tensor], config: CLIPSegConfig, checksum: str | None, base: str | os.PathLike | CLIPModel
) -> None:
    """Refuse a CLIP of another shape, or with other weights, than the decoder was saved with."""
    base = "given as base_model" if isinstance(base, CLIPModel) else repr(base)
    with torch.device("meta"):
        expected = {name: tuple(t.shape) for name, t in CLIPModel(clip_config_of(config)).state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in clip.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ValueError(
                f"the base CLIP {base} does not fit this decoder: its {name} is {found.get(name, 'missing')}, "
                f"expected {expected.get(name, 'none')}. Pass base_model= with the CLIP that the decoder was trained on"
            )
    if checksum is not None and weights_checksum(clip) != checksum:
        raise ValueError(
            f"the base CLIP {base} has the right shape but other weights than the CLIP that this decoder was saved "
            "with (their checksums differ), so its masks would be meaningless. Pass base_model= with the CLIP that the "
            "decoder was trained on, or name its revision in config.json (base_model_revision)"
        )
