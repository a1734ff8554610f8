"""Smaller copies of a graph: in float16, or with weights in 8 bits. The decoder stays as it is in both.

It is 1 % of a checkpoint's weights. Its first LayerNorm sums squares up to 66,601 (emoji-tiny on the shipped scenes),
above the largest float16. In 8 bits it costs more masks than the encoders do: of 126, 27 have an IoU below 0.97 where
everything is in 8 bits, 11 where all but the decoder is.
"""

import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clipseg_hf.inference.onnx_model import SUFFIXES

_DECODERS = ("/model.decoder:", "/model.refiner")  # in the namespace that torch's exporter gives a node


def convert_graph(path: Path, precision: str) -> Path:
    """Write a copy beside a graph.

    Args:
        path: of a float32 graph that `write_graph` wrote.
        precision: "float16", for which inputs and outputs stay float32, or "int8": weights in 8 bits, one scale for
            each channel, and activations as they come.

    Returns:
        where the copy is, by the name that Transformers.js looks for.
    """
    copy = path.with_name(f"{path.stem}{SUFFIXES[precision]}.onnx")
    if path.stem == "decoder":
        shutil.copyfile(path, copy)
        return copy
    with _quiet():
        _halve(path, copy) if precision == "float16" else _quantize(path, copy)
    return copy


def _halve(path: Path, copy: Path) -> None:
    import onnx
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    model = onnx.load(path)
    # the encoders' sum squares up to 17,522: not far from 65,504, the largest float16
    keep = [*DEFAULT_OP_BLOCK_LIST, "LayerNormalization"]
    halved = convert_float_to_float16(model, keep_io_types=True, op_block_list=keep, node_block_list=_decoding(model))
    onnx.save(halved, copy)


def _quantize(path: Path, copy: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(path)
    kept = _decoding(model)
    del model.graph.value_info[:]  # shapes that a Gemm's replacement does not have
    quantize_dynamic(
        model,
        copy,
        per_channel=True,
        # signed weights overflow 16 bits on processors without VNNI: 58 of 126 masks of emoji-tiny, in place of 27
        weight_type=QuantType.QUInt8,
        op_types_to_quantize=["MatMul", "Gemm"],
        nodes_to_exclude=[*kept, *(f"{name}_MatMul" for name in kept)],  # what it makes of a Gemm
    )


def _decoding(model: Any) -> list[str]:
    """The names of the nodes that are the decoder's."""
    return [
        node.name
        for node in model.graph.node
        if any(
            entry.key == "namespace" and any(part in entry.value for part in _DECODERS) for entry in node.metadata_props
        )
    ]


@contextmanager
def _quiet() -> Iterator[None]:
    """onnxruntime warns of numbers that float16 cuts, and advises on a preparation that torch's exporter has done."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.setLevel(level)
