"""What stands beside a decoder, in files of its own beside either kind of checkpoint: a refiner, and attention to the
tokens of prompts."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from transformers import CLIPSegConfig

from clipseg_hf.modeling.checkpoints.checkpoint_files import find_file, read_weights, weights_checksum
from clipseg_hf.modeling.configuration import (
    BESIDE,
    get_field,
    has_tokens_beside,
    refiner_channels,
)


@dataclass(frozen=True)
class Beside:
    """Weights that stand beside a decoder which works without them, in a file of their own: stock looks for no such
    file, so it loads the rest of the checkpoint, warns of nothing and gives the decoder's own logits.

    Attributes:
        field: of the configuration, and option of `from_pretrained`.
        title: for people.
        prefix: of its weights among the model's.
    """

    field: str
    title: str
    prefix: str

    @property
    def file(self) -> str:
        """Its name in the checkpoint's folder."""
        return f"{self.field}.safetensors"


TOKENS_BESIDE = Beside("prompt_tokens", "prompt attention", "decoder.attends.")
REFINER_BESIDE = Beside("refiner", "refiner", "refiner.")
ALL_BESIDE = (TOKENS_BESIDE, REFINER_BESIDE)


def beside_of(config: CLIPSegConfig) -> list[Beside]:
    """What a configuration says to stand beside its decoder."""
    found = [TOKENS_BESIDE] if has_tokens_beside(config) else []
    return found + ([REFINER_BESIDE] if refiner_channels(config) is not None else [])


def names_beside(model: Any) -> set[str]:
    """The names of a model's weights that stand beside its decoder."""
    prefixes = tuple(part.prefix for part in beside_of(model.config))
    return {name for name in model.state_dict() if name.startswith(prefixes)}


def find_beside(name: str | os.PathLike, place: dict[str, Any], config: CLIPSegConfig) -> dict[Beside, str]:
    """The files of what stands beside a checkpoint's decoder, as far as `config` wants it. What the checkpoint does not
    have is wanted fresh.

    Args:
        name: of the checkpoint.
        place: how to reach it on the Hub.
        config: the checkpoint's own, with the fields that the caller changed. Whether its prompts' tokens stand beside
            the decoder is the checkpoint's word, and put right here.

    Raises:
        ValueError: a file is missing.
    """
    if all(get_field(config, part.field) is None for part in ALL_BESIDE):
        return {}  # as in released checkpoints, whose config.json need not be read again
    stored = CLIPSegConfig.get_config_dict(name, **place)[0]
    of_tokens, wanted = stored.get(TOKENS_BESIDE.field), get_field(config, TOKENS_BESIDE.field)
    if isinstance(of_tokens, dict) and isinstance(wanted, dict):
        counts = {key: value for key, value in wanted.items() if key != BESIDE}
        setattr(config, TOKENS_BESIDE.field, {**counts, **({BESIDE: True} if of_tokens.get(BESIDE) else {})})
    files = {}
    for part in beside_of(config):
        file = find_file(name, part.file, **place)
        if file is not None:
            files[part] = file
        elif stored.get(part.field) is not None:
            raise ValueError(
                f"the config.json of {name} names a {part.title}, but there is no {part.file} beside it: was it left "
                "behind when the checkpoint was copied, or saved by stock transformers? Bring the file along, or load "
                f"the checkpoint without it by {part.field}=None"
            )
    return files


def save_beside(model: Any, directory: str | os.PathLike) -> list[str]:
    """Write what stands beside a model's decoder, each with the decoder that it belongs to, and remove what an earlier
    save left there.

    Returns:
        The names of the files.
    """
    for part in ALL_BESIDE:
        (Path(directory) / part.file).unlink(missing_ok=True)
    written = beside_of(model.config)
    if written:
        # a single entry: safetensors writes several in any order, and the same weights shall be the same bytes
        weights, metadata = model.state_dict(), {"decoder": _name_decoder(model)}
        for part in written:
            tensors = {name: tensor.contiguous() for name, tensor in weights.items() if name.startswith(part.prefix)}
            save_file(tensors, Path(directory) / part.file, metadata=metadata)
    return [part.file for part in written]


def load_beside(model: Any, part: Beside, file: str) -> None:
    """Put the weights of a file into what stands beside a model's decoder.

    Raises:
        ValueError: they are of another shape, were trained on another decoder, or cannot be read.
    """
    tensors, metadata = read_weights(file)
    expected = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(part.prefix)}
    for name in sorted(expected.keys() | tensors.keys()):
        shapes = [list(these[name].shape) if name in these else "missing" for these in (tensors, expected)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{file} does not fit this model's {part.title}: its {name} is {shapes[0]}, expected {shapes[1]}. Set "
                f"{part.field} in config.json to what it was saved with, or load without it by {part.field}=None"
            )
    name = _name_decoder(model)
    if not _may_be_same(metadata.get("decoder", ""), name):
        raise ValueError(
            f"{file} was trained on another decoder than the one beside it (their checksums differ): bring the "
            f"{part.field} that belongs to these weights, or load without it by {part.field}=None"
        )
    model.load_state_dict(tensors, strict=False)


def _name_decoder(model: Any) -> str:
    """Type and checksum of a decoder's weights, by which what stands beside it knows it."""
    beside = names_beside(model)
    weights = {name: tensor for name, tensor in model.decoder.state_dict().items() if f"decoder.{name}" not in beside}
    return f"{str(weights['film_mul.weight'].dtype).removeprefix('torch.')} {weights_checksum(weights)}"


def _may_be_same(one: str, other: str) -> bool:
    """Whether two names may be of one decoder: in different types there is nothing to compare."""
    return one == other or one.split(" ")[0] != other.split(" ")[0]
