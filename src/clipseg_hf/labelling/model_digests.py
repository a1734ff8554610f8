"""Which model it is: what its files say without its being loaded, and what it says itself."""

import hashlib
import json
from pathlib import Path

from huggingface_hub import try_to_load_from_cache

from clipseg_hf.data.rows.fingerprints import digest, digest_file
from clipseg_hf.inference.segmenter import Segmenter

_READ = (".json", ".safetensors", ".bin", ".txt", ".model")  # the files that decide what is loaded


def digest_files(model: str) -> str | None:
    """16 hexadecimal digits that stand for the files of a model; nothing is loaded.

    Args:
        model: as `find_model` gives it.

    Returns:
        None where the files do not say everything: they are not on this machine, or have the decoder alone.
    """
    config = Path(model, "config.json") if Path(model).is_dir() else try_to_load_from_cache(model, "config.json")
    if not isinstance(config, str | Path) or not Path(config).is_file():
        return None
    files = sorted(path for path in Path(config).parent.iterdir() if path.suffix in _READ and path.is_file())
    if not any(path.name.startswith(("model", "pytorch_model")) for path in files):
        return None
    return digest(*(part for path in files for part in (path.name, digest_file(path))))


def digest_model(segmenter: Segmenter) -> str:
    """16 hexadecimal digits that change with whatever decides a model's answers, wherever it was loaded from."""
    import torch

    state = hashlib.blake2b(digest_size=8)
    processor = segmenter.processor
    for part in (segmenter.model.config.to_dict(), processor.to_dict()):
        known = {
            name: value for name, value in part.items() if not name.startswith("_") and name != "transformers_version"
        }
        state.update(json.dumps(known, sort_keys=True, default=str).encode())
    state.update(json.dumps(processor.tokenizer.get_vocab(), sort_keys=True).encode())
    for name, tensor in sorted(segmenter.model.state_dict().items()):
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return state.hexdigest()
