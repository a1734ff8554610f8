"""Inference by oneDNN: the same numbers, and only where it is inference."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clipseg_hf.modeling.layers import matrix_code, onednn
from clipseg_hf.modeling.layers.matrix_code import keep_choices
from clipseg_hf.modeling.layers.onednn import choices, fast_dtypes, from_onednn, onednn_inference, to_onednn

EXAMPLE = torch.zeros(1)

needs_onednn = pytest.mark.skipif(
    not (onednn._IS_X86 and torch.backends.mkldnn.is_available()), reason="a processor without oneDNN"
)


@pytest.fixture(autouse=True)
def always_quicker(monkeypatch):
    """Whatever a measurement would say here."""
    monkeypatch.setattr(matrix_code, "_kept", {})
    keep_choices(dict.fromkeys(["linear float32", "attention float32", "attention bfloat16"], True))


@pytest.fixture
def calls(monkeypatch):
    """Names of what was computed by oneDNN."""
    names = []
    for name in ("_linear", "_attention"):
        function = getattr(onednn, name)
        monkeypatch.setattr(onednn, name, lambda *a, f=function, n=name, **k: (names.append(n), f(*a, **k))[1])
    return names


@needs_onednn
@torch.no_grad()
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(400,), (2, 200), (1, 2, 1, 2, 5, 20)])
def test_linear_layers(calls, shape, bias):
    layer, x = nn.Linear(64, 64, bias=bias), torch.randn(*shape, 64)
    expected = layer(x)
    with onednn_inference(x):
        found = layer(x)
    assert calls == ["_linear"]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert found.is_contiguous()


@needs_onednn
@torch.no_grad()
@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_attention(calls, dtype, tolerance, scale):
    # as views of (n, tokens, heads, head), the way models make them
    query, key, value = (torch.randn(2, 150, 3, 16, dtype=dtype).transpose(1, 2) for _ in range(3))
    expected = F.scaled_dot_product_attention(query, key, value, scale=scale)
    with onednn_inference(query):
        found = F.scaled_dot_product_attention(query, key, value, scale=scale)
    assert calls == (["_attention"] if dtype in fast_dtypes() else [])
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)


@torch.no_grad()
def test_attention_of_another_kind_is_left_alone(calls):
    query, key, value = torch.randn(3, 1, 2, 150, 16)
    with onednn_inference(query):
        F.scaled_dot_product_attention(query, key, value, is_causal=True)
        F.scaled_dot_product_attention(query, key, value, attn_mask=torch.ones(150, 150, dtype=torch.bool))
        F.scaled_dot_product_attention(query, key, value, None, 0.5)
        F.scaled_dot_product_attention(query[:, :, :9], key, value)  # too few tokens to gain anything
        F.scaled_dot_product_attention(query.double(), key.double(), value.double())
    assert calls == []


@torch.no_grad()
def test_linear_layers_of_another_kind_are_left_alone(calls):
    x = torch.randn(400, 64)
    with onednn_inference(x):
        nn.Linear(64, 64).double()(x.double())
        nn.Linear(64, 64).bfloat16()(x.bfloat16())  # which PyTorch gives to oneDNN by itself
        nn.Linear(64, 2)(x)  # too small to gain anything
        nn.Linear(64, 64)(x[:0])
        F.linear(x, weight=torch.randn(64, 64))
        nn.Linear(64, 64, device="meta")(x.to("meta"))
    assert calls == []


def test_training_is_left_alone(calls):
    layer, x = nn.Linear(64, 64), torch.randn(400, 64)
    with onednn_inference(x):
        layer(x).sum().backward()
    assert layer.weight.grad.abs().max() > 0
    assert calls == []
    assert to_onednn(x) is x


@pytest.mark.filterwarnings("ignore:TF32 acceleration", "ignore:`torch.jit.trace` is deprecated")
@torch.no_grad()
def test_autocast_compilation_and_a_switch_turn_it_off(calls):
    layer, x = nn.Linear(64, 64).requires_grad_(False), torch.randn(400, 64)

    def run(x):
        with onednn_inference(x):
            return layer(x)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert run(x).dtype == torch.bfloat16
    with torch.backends.mkldnn.flags(enabled=False):
        run(x)
    torch.compile(run, fullgraph=True, backend="eager")(x)
    torch.jit.trace(run, x, check_trace=False)
    assert calls == []


@needs_onednn
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_there_and_back(context):
    with context():
        for dtype in fast_dtypes():
            x = torch.randn(2, 3, dtype=dtype)
            assert to_onednn(x).is_mkldnn
            assert torch.equal(from_onednn(to_onednn(x)), x)
        assert to_onednn(torch.zeros(2, dtype=torch.float64)).dtype == torch.float64


@needs_onednn
@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@torch.no_grad()
def test_a_model_uses_it_in_inference(tiny, calls):
    wide = {"hidden_size": 64, "intermediate_size": 256}
    model = tiny.model(vision_config=wide, decoder_intermediate_size=512, reduce_dim=32)
    inputs = {"pixel_values": tiny.images(1, 192, 192), "input_ids": tiny.tokens(2)}
    found = model(**inputs).logits
    assert {"_linear", "_attention"} == set(calls)
    calls.clear()
    with torch.backends.mkldnn.flags(enabled=False):
        expected = model(**inputs).logits
    assert calls == []
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_bfloat16_is_left_alone_where_the_processor_lacks_it(calls, monkeypatch):
    """oneDNN refuses it without AVX-512; PyTorch has code of its own."""
    monkeypatch.setattr(onednn, "fast_dtypes", lambda: (torch.float32,))
    query = torch.randn(1, 2, 150, 16, dtype=torch.bfloat16)
    with onednn_inference(query):
        F.scaled_dot_product_attention(query, query, query)
    assert calls == [] and to_onednn(query) is query


def test_dropout_without_gradients_is_still_dropout(tiny):
    """As in Monte Carlo dropout: training mode under no_grad."""
    model = tiny.model(decoder_dropout=0.5).train()
    inputs = {"pixel_values": tiny.images(1), "input_ids": tiny.tokens(1)}
    with torch.no_grad():
        assert not torch.equal(model(**inputs).logits, model(**inputs).logits)


@needs_onednn
@torch.no_grad()
def test_what_is_no_quicker_is_left_alone(calls):
    query = torch.randn(1, 2, 150, 16)
    keep_choices({"linear float32": False})
    with onednn_inference(query):
        nn.Linear(64, 64)(torch.randn(400, 64))
        F.scaled_dot_product_attention(query, query, query)
    assert calls == ["_attention"] and to_onednn(query) is query
    keep_choices({"attention float32": False, "attention bfloat16": False})
    with onednn_inference(query):
        F.scaled_dot_product_attention(query, query, query)
    assert calls == ["_attention"]


@needs_onednn
def test_the_choice_is_measured_once_and_on_nothing_that_is_drawn(calls, monkeypatch):
    monkeypatch.setattr(matrix_code, "_kept", {})
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with torch.no_grad(), onednn_inference(EXAMPLE):
        assert {"_linear", "_attention"} == set(calls)
    calls.clear()
    found = choices()
    assert {"linear float32", "attention float32"} <= set(found) and calls == []
    assert torch.equal(before, torch.get_rng_state())
