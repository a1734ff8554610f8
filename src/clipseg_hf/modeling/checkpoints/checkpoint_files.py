"""A checkpoint's files: found, told apart, uploaded."""

import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers.utils import cached_file


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


def read_weights(file: str | os.PathLike) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, and what it says of them.

    Raises:
        ValueError: it is no such file.
    """
    try:
        with safe_open(file, framework="pt") as stored:
            names = stored.keys()
            return {name: stored.get_tensor(name) for name in names}, stored.metadata() or {}
    except SafetensorError as error:
        raise _unreadable(file, error) from error


@contextmanager
def unreadable_weights_named(place: str | os.PathLike) -> Iterator[None]:
    """What transformers cannot read of a checkpoint's weights is told with the file's name.

    Args:
        place: folder or Hub name.

    Raises:
        ValueError: in place of a `SafetensorError`.
    """
    try:
        yield
    except SafetensorError as error:
        for file in sorted(Path(place).glob("*.safetensors")):
            read_weights(file)
        raise _unreadable(place, error) from error


def _unreadable(file: str | os.PathLike, error: SafetensorError) -> ValueError:
    return ValueError(
        f"{file} cannot be read as safetensors ({error}): was it cut short, or is it the pointer that git leaves "
        "where a large file belongs (`git lfs pull` brings that)? Bring the file again"
    )


def refuse_mixture(directory: str | os.PathLike, patterns: tuple[str, ...]) -> None:
    """Raise a ValueError if `directory` holds weights of the other kind, whole or decoder only."""
    found = sorted(path.name for pattern in patterns for path in Path(directory).glob(pattern))
    if found:
        raise ValueError(
            f"{directory} already holds {', '.join(found)}: a whole checkpoint and a decoder-only one in the same "
            "directory would contradict each other. Save to another directory, or remove these files first"
        )


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


def weights_checksum(state_dict: Mapping[str, Tensor]) -> str:
    """A number (hexadecimal CRC-32) that changes with any bit, name or type of weights."""
    checksum = 0
    for name, tensor in sorted(state_dict.items()):
        checksum = zlib.crc32(name.encode(), checksum)
        # (any shape) -> (bytes,)
        checksum = zlib.crc32(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data, checksum)
    return f"{checksum:08x}"
