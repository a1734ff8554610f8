"""Models for those without torch: ONNX graphs that run in a browser, in Node, and behind `Segmenter` on NumPy alone.

In comes a checkpoint, out comes a folder that Transformers.js and `Segmenter.from_pretrained(..., backend="onnx")`
read. Only what writes that folder needs torch. The public names are those below, resolved on first use.
"""

from typing import TYPE_CHECKING

from clipseg_hf._lazy import import_on_first_use

if TYPE_CHECKING:
    from clipseg_hf.export.exporting import export_onnx
else:
    __getattr__, __dir__ = import_on_first_use(__name__)

__all__ = ["export_onnx"]
