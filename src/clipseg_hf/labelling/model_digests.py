"""Which model it is, by what it says itself."""

import hashlib
import json

from clipseg_hf.inference.segmenter import Segmenter


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
