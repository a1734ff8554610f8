"""Is what was written, and what arrived, what was meant?"""

from pathlib import Path
from typing import Any

import torch
from transformers import CLIPSegForImageSegmentation as StockModel
from transformers import CLIPSegProcessor as StockProcessor

from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.modeling.checkpoints.beside import names_beside
from clipseg_hf.modeling.configuration import unknown_to_stock
from clipseg_hf.processing import CLIPSegProcessor


def check_loading(folder: Path, model: Any, processor: Any, *, whole: bool) -> None:
    """Load a checkpoint anew and compare it, bit by bit, with the model that was written; a whole one by stock
    transformers, too.

    Args:
        folder: of the checkpoint.
        model, processor: what was written.
        whole: whether it brings its CLIP.

    Raises:
        ValueError: they differ; names what.
        OSError: the base CLIP of a decoder cannot be reached.
    """
    expected = model.state_dict()
    loaded = CLIPSegForImageSegmentation.from_pretrained(folder, dtype="auto")
    _compare_weights(loaded.state_dict(), expected, "clipseg-hf")
    again = CLIPSegProcessor.from_pretrained(folder)
    if again.to_dict() != processor.to_dict():
        raise ValueError("The processor that clipseg-hf loads from what was written has other settings than before.")
    if whole and (unknown := unknown_to_stock(model.config)):
        raise ValueError(
            f"The decoder has {' and '.join(unknown)}, which transformers' own CLIPSeg would leave away and give other "
            "masks: publish the decoder alone (--decoder-only), which it refuses. Nothing was uploaded."
        )
    if whole:
        beside = names_beside(model)
        known = {name: weight for name, weight in expected.items() if name not in beside}
        _compare_weights(StockModel.from_pretrained(folder, dtype="auto").state_dict(), known, "transformers")
        texts = ["a photo of a cat", "two dogs"]
        ours, stock = (part.tokenizer(texts, padding=True) for part in (again, StockProcessor.from_pretrained(folder)))
        if ours["input_ids"] != stock["input_ids"]:
            raise ValueError("The tokenizer that transformers loads from what was written gives other tokens.")


def _compare_weights(found: dict, expected: dict, by: str) -> None:
    wrong = sorted(found.keys() ^ expected.keys())
    for name in found.keys() & expected.keys():
        one, other = found[name].cpu(), expected[name].cpu()
        if one.dtype != other.dtype or not torch.equal(_bits(one), _bits(other)):
            wrong.append(name)
    if wrong:
        raise ValueError(
            f"What {by} loads from the files differs from the model that was to be written, in {len(wrong)} of "
            f"{len(expected)} weights, {sorted(wrong)[0]} among them. Nothing was uploaded."
        )


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """(...) of any type -> (bytes,), so that no two values count as equal but the same."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)
