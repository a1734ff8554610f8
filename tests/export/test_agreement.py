"""Smaller copies: what they are, and what is said of them."""

import numpy as np
import onnx
import pytest

from clipseg_hf.export.agreement import Agreement
from clipseg_hf.inference import Segmenter

SMALLER = {onnx.TensorProto.FLOAT16, onnx.TensorProto.UINT8}


def test_the_agreement_of_masks_by_hand():
    mask, half, none = (np.arange(4).reshape(2, 2) < number for number in (4, 2, 0))
    found = Agreement.of("int8", [mask, half, none], [mask, mask, none])
    assert found == Agreement("int8", 3, 1.0, 0.5, 1)
    assert found.describe() == (
        "int8: IoU with float32's masks 1.000 (median), 0.500 (worst) of 3; 1 are below 0.97. Compare both on your own "
        "pictures before you use int8."
    )
    good = Agreement.of("float16", [mask], [mask])
    assert good.describe() == "float16: IoU with float32's masks 1.000 (median), 1.000 (worst) of 1."


@pytest.mark.slow
def test_half_precision_gives_the_same_masks_and_8_bits_say_that_they_do_not(exported):
    lines = (exported / "report.txt").read_text().splitlines()
    (half,) = [line for line in lines if line.startswith("float16: ")]
    (eight,) = [line for line in lines if line.startswith("int8: ")]
    assert "below" not in half
    assert "are below 0.97. Compare both" in eight and float(eight.split()[5]) > 0.98  # the median
    card = (exported / "README.md").read_text()
    assert '| float16 | "fp16" | ' in card and '| int8 | "q8" | ' in card and "# emoji-tiny in ONNX" in card


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "share"), [("_fp16", 0.6), ("_quantized", 0.4)])
def test_copies_are_smaller_and_keep_the_decoder(exported, suffix, share):
    sizes = [(exported / "onnx" / f"image_encoder{end}.onnx").stat().st_size for end in (suffix, "")]
    assert sizes[0] < share * sizes[1]
    decoders = [(exported / "onnx" / f"decoder{end}.onnx").read_bytes() for end in (suffix, "")]
    assert decoders[0] == decoders[1]
    whole = onnx.load(exported / "onnx" / f"model{suffix}.onnx")
    smaller = [node for node in whole.graph.node if SMALLER & _weights(whole, node)]
    assert len(smaller) > 40 and not [node.name for node in smaller if "model.decoder" in str(node.metadata_props)]
    kept = [each.data_type for each in whole.graph.initializer if each.name.startswith("model.decoder.film_")]
    assert set(kept) == {onnx.TensorProto.FLOAT}


def _weights(model, node) -> set[int]:
    """The types of the constants that a node reads."""
    return {each.data_type for each in model.graph.initializer if each.name in node.input}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_copies_run_whole_and_in_steps(exported, dtype):
    import onnxruntime

    from clipseg_hf.inference.onnx_model import SUFFIXES

    segmenter = Segmenter.from_pretrained(exported, backend="onnx", dtype=dtype)
    inputs = segmenter.processor(text=["dog"], images=np.zeros((160, 160, 3), np.uint8))
    names = ("pixel_values", "input_ids", "attention_mask")
    session = onnxruntime.InferenceSession(exported / "onnx" / f"model{SUFFIXES[dtype]}.onnx")
    (whole,) = session.run(None, {name: inputs[name] for name in names})
    steps = segmenter(np.zeros((160, 160, 3), np.uint8), "dog")[0].logits
    np.testing.assert_allclose(whole, steps, atol=0.05 if dtype == "float16" else 1.5)
