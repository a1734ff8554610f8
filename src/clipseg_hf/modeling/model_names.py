"""What a person calls a model -> what `from_pretrained` takes, or a plain word on why it cannot be had."""

import os
from pathlib import Path

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id

from clipseg_hf import assets

EMBEDDED = "emoji-tiny"
_SECONDS = 10  # to wait for the Hub's answer
# The Hub's client says what it could not do by its HTTP library's exceptions; which library that is differs by version.
_HUB_ERRORS: tuple[type[BaseException], ...] = (OSError, HfHubHTTPError.__bases__[0])


def resolve_name(name: str | os.PathLike) -> str:
    """A folder, or a name on the Hub; asks no network.

    Args:
        name: a folder, a name on the Hub, or "emoji-tiny" for the checkpoint inside of this package.

    Raises:
        FileNotFoundError: the package lacks its checkpoint; a folder that does not exist, told by a name that nothing
            on the Hub can have.
        ValueError: the folder of a training run, whose model is in its `final`.
    """
    name = os.fspath(name)
    if name == EMBEDDED and not Path(name).exists():
        if not Path(assets.EMOJI_TINY).is_dir():
            raise FileNotFoundError(
                f"This installation lacks its embedded checkpoint, {assets.EMOJI_TINY}: install it anew."
            )
        return assets.EMOJI_TINY
    final = Path(name) / "final"
    if (final / "config.json").is_file() and not (Path(name) / "config.json").exists():
        raise ValueError(f"{name} is the folder of a training run; did you mean {final}, its finished model?")
    if not Path(name).exists():
        try:
            validate_repo_id(name)
        except HFValidationError as error:
            raise FileNotFoundError(f"There is no folder {name}, and the Hub has no such names.") from error
    return name


def portable_name(name: str | os.PathLike) -> str:
    """What to write into files for a model: "emoji-tiny" for the folder of that checkpoint, which lies elsewhere on
    another machine; any other name as it is."""
    is_embedded = os.path.realpath(name) == os.path.realpath(assets.EMOJI_TINY)
    return EMBEDDED if is_embedded else os.fspath(name)


def find_model(
    name: str | os.PathLike,
    way_out: str = f"take the small model that is built in: --model {EMBEDDED}",
    revision: str | None = None,
) -> str:
    """The folder or Hub name of a model, if it can be reached.

    Args:
        name: a folder, a name on the Hub, or "emoji-tiny" for the checkpoint inside of this package.
        way_out: what to advise where the Hub cannot be reached.
        revision: of which the local cache may have the model; None: the newest.

    Raises:
        FileNotFoundError: a folder that does not exist, or a name that the Hub does not know.
        ValueError: see `resolve_name`; or a file.
        ConnectionError: the model is not in the local cache, and the Hub cannot be reached. Without this question the
            client would try for half a minute, file by file.
    """
    name = resolve_name(name)
    if Path(name).is_dir():
        return name
    if Path(name).is_file():
        raise ValueError(f"The model {name} is a file; expected the folder of a checkpoint, or a name on the Hub.")
    try:
        if isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str):
            return name
        HfApi().model_info(name, timeout=_SECONDS)
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"There is no folder {name}, and the Hub has no model of this name (or a private one: `hf auth login`)."
        ) from error
    except _HUB_ERRORS as error:
        raise ConnectionError(
            f"{name} is not on this machine, and the Hugging Face Hub cannot be reached ({error}). Connect once, give "
            f"the folder of a model, or {way_out}"
        ) from error
    return name
