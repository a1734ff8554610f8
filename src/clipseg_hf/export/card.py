"""The card of an export: what lies in it, and how well its smaller copies do."""

from collections.abc import Sequence
from pathlib import Path

from clipseg_hf.export.agreement import Agreement
from clipseg_hf.inference.onnx_model import GRAPHS, SUFFIXES

_CARD = """---
library_name: transformers.js
pipeline_tag: image-segmentation
tags:
- clipseg
- onnx
---

# {name} in ONNX

Written by `clipseg-hf export onnx`. `{graphs}/model.onnx` is for Transformers.js' `CLIPSegForImageSegmentation`; the
other graphs are its steps, which `clipseg_hf.inference.Segmenter.from_pretrained(..., backend="onnx")` runs without
torch.

{table}
"""
_HEAD = """| precision | in Transformers.js | `model`, MB | masks | IoU with float32, median | worst | below 0.97 |
| --- | --- | --- | --- | --- | --- | --- |"""
_DTYPES = {"float32": "fp32", "float16": "fp16", "int8": "q8"}


def write_card(folder: Path, name: str, agreements: Sequence[Agreement]) -> None:
    """Write `README.md`.

    Args:
        folder: with the graphs.
        name: of the checkpoint.
        agreements: of the precisions beside float32.
    """
    text = _CARD.format(name=name, graphs=GRAPHS, table=precision_table(folder, agreements))
    (folder / "README.md").write_text(text, encoding="utf-8")


def precision_table(folder: Path, agreements: Sequence[Agreement]) -> str:
    """The graphs in all precisions, for Markdown; arguments as of `write_card`."""
    measured = {each.precision: each for each in agreements}
    lines = [_HEAD]
    for precision in ("float32", *measured):
        size = (folder / GRAPHS / f"model{SUFFIXES[precision]}.onnx").stat().st_size / 1e6
        row = [precision, f'"{_DTYPES[precision]}"', f"{size:.1f}"]
        each = measured.get(precision)
        row += [f"{each.masks}", f"{each.median:.3f}", f"{each.worst:.3f}", f"{each.below}"] if each else [""] * 4
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)
