"""Decoder-only checkpoints: 4.5 MB that name their base CLIP, in place of 600 MB that repeat it. And the refiner's
file, beside either kind."""

import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoConfig, CLIPModel, CLIPSegConfig, PreTrainedModel
from transformers.utils import cached_file

from clipseg_hf.modeling.configuration import clip_config_of
from clipseg_hf.modeling.model_names import resolve_name

# Not transformers' name for weights, so that stock refuses the checkpoint instead of loading it with a random CLIP.
DECODER_FILE = "decoder.safetensors"
# Stock looks for no such file, so it loads the rest of the checkpoint and warns of nothing.
REFINER_FILE = "refiner.safetensors"
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
    tensors = {
        f"decoder.{name}": tensor.contiguous() for name, tensor in model.get_submodule("decoder").state_dict().items()
    }
    metadata = {
        "format": "pt",
        "clip_checksum": weights_checksum(model.get_submodule("clip").state_dict()),
        "clip_dtype": str(model.clip.dtype).removeprefix("torch."),
    }
    save_file(tensors, directory / DECODER_FILE, metadata=metadata)


def save_refiner(model: Any, directory: str | os.PathLike) -> None:
    """Write `refiner.safetensors`, which says what decoder it belongs to; for a model without a refiner, remove the
    one that an earlier save left there."""
    path = Path(directory) / REFINER_FILE
    if model.refiner is None:
        path.unlink(missing_ok=True)
        return
    tensors = {f"refiner.{name}": tensor.contiguous() for name, tensor in model.refiner.state_dict().items()}
    # a single entry: safetensors writes several in any order, and the same weights shall be the same bytes
    save_file(tensors, path, metadata={"decoder": _name_decoder(model)})


def load_refiner(model: Any, file: str) -> None:
    """Put the weights of a `refiner.safetensors` into a model's refiner.

    Raises:
        ValueError: it is of another shape, or was trained on another decoder.
    """
    with safe_open(file, framework="pt") as stored:
        decoder = (stored.metadata() or {}).get("decoder", "")
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a dictionary)
    expected = {f"refiner.{name}": tensor for name, tensor in model.refiner.state_dict().items()}
    for name in sorted(expected.keys() | tensors.keys()):
        shapes = [list(these[name].shape) if name in these else "missing" for these in (tensors, expected)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{file} does not fit this model's refiner: its {name} is {shapes[0]}, expected {shapes[1]}. Set "
                "refiner in config.json to what it was saved with, or load without it by refiner=None"
            )
    name = _name_decoder(model)
    if decoder.split(" ")[0] == name.split(" ")[0] and decoder != name:  # in another type there is nothing to compare
        raise ValueError(
            f"{file} was trained on another decoder than the one beside it (their checksums differ): bring the refiner "
            "that belongs to these weights, or load without it by refiner=None"
        )
    model.refiner.load_state_dict({name.removeprefix("refiner."): tensor for name, tensor in tensors.items()})


def _name_decoder(model: Any) -> str:
    """Type and checksum of the decoder's weights, by which a refiner knows it."""
    weights = model.decoder.state_dict()
    return f"{str(weights['film_mul.weight'].dtype).removeprefix('torch.')} {weights_checksum(weights)}"


def upload_files(
    directory: str | os.PathLike,
    files: list[str],
    repo_id: str | None = None,
    token: str | bool | None = None,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str = "Upload CLIPSeg decoder",
    create_pr: bool = False,
) -> None:
    """Upload files of a directory to the Hub, by default under the directory's name in the user's namespace."""
    api = HfApi(token=token)
    repo_id = api.create_repo(repo_id or Path(directory).resolve().name, private=private, exist_ok=True).repo_id
    api.upload_folder(
        repo_id=repo_id,
        folder_path=Path(directory),
        allow_patterns=files,
        revision=revision,
        commit_message=commit_message,
        create_pr=create_pr,
    )


def refuse_mixture(directory: str | os.PathLike, patterns: tuple[str, ...]) -> None:
    """Raise a ValueError if `directory` holds weights of the other kind, whole or decoder only."""
    found = sorted(path.name for pattern in patterns for path in Path(directory).glob(pattern))
    if found:
        raise ValueError(
            f"{directory} already holds {', '.join(found)}: a whole checkpoint and a decoder-only one in the same "
            "directory would contradict each other. Save to another directory, or remove these files first"
        )


def find_file(name_or_path: str | os.PathLike, file: str, **hub_arguments: Any) -> str | None:
    """The local path of a checkpoint's file; None where the checkpoint has none."""
    return cached_file(
        name_or_path,
        file,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        **hub_arguments,
    )


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
        ValueError: if no base is named, or it holds another CLIP than the one that the decoder was saved with.
    """
    with safe_open(decoder_file, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
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


def weights_checksum(state_dict: Mapping[str, Tensor]) -> str:
    """A number (hexadecimal CRC-32) that changes with any bit, name or type of weights."""
    checksum = 0
    for name, tensor in sorted(state_dict.items()):
        checksum = zlib.crc32(name.encode(), checksum)
        # (any shape) -> (bytes,)
        checksum = zlib.crc32(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data, checksum)
    return f"{checksum:08x}"


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
