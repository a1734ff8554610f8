"""Which model it is, by what its files say."""

from pathlib import Path

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from clipseg_hf.data.rows.fingerprints import digest, digest_file

_READ = (".json", ".safetensors", ".bin", ".txt", ".model")  # the files that decide what is loaded


def digest_files(model: str) -> str | None:
    """16 hexadecimal digits that stand for the files of a model; nothing is loaded.

    Args:
        model: a folder, or a name on the Hub.

    Returns:
        None where the files do not say everything: they are not on this machine, or have the decoder alone.
    """
    try:
        config = Path(model, "config.json") if Path(model).is_dir() else try_to_load_from_cache(model, "config.json")
    except HFValidationError:  # no name that the Hub could know
        return None
    if not isinstance(config, str | Path) or not Path(config).is_file():
        return None
    files = sorted(path for path in Path(config).parent.iterdir() if path.suffix in _READ and path.is_file())
    if not any(path.name.startswith(("model", "pytorch_model")) for path in files):
        return None
    return digest(*(part for path in files for part in (path.name, digest_file(path))))
