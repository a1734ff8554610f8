"""Inference on x86 processors by oneDNN, where PyTorch by itself runs slower code for the same sums.

PyTorch multiplies float32 matrices by MKL, which keeps its fastest code for Intel's processors and reaches about half
of oneDNN's speed on some of AMD's. Its fused attention is slow for the same reason, and slower still in bfloat16. There
both go to oneDNN, by nothing but PyTorch's public layout for it (`Tensor.to_mkldnn`). Numbers differ by rounding alone
(1e-6). Where that is no quicker, as on others of AMD's, PyTorch's code is left alone: a measurement decides, once in a
process (`matrix_code`). `torch.backends.mkldnn.flags(enabled=False)` turns all of it off.
"""

import platform
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from clipseg_hf.modeling.layers.matrix_code import decide

_IS_X86 = platform.machine() in ("x86_64", "AMD64")
_MIN_PRODUCTS = 2**20  # multiplications in a linear layer below which changing the layout costs more than it brings
_MIN_TOKENS = 128  # the same for attention, which is computed head by head
_NOT_MEASURED = {("linear", torch.bfloat16)}  # there PyTorch calls oneDNN by itself


def onednn_inference(example: Tensor) -> AbstractContextManager:
    """While this is entered, linear layers and attention on tensors like `example` are computed by oneDNN.

    Does nothing off the CPU, where gradients are recorded, under autocast, compilation, export or tracing, nor where
    oneDNN is not quicker. That is measured here, before anything is sent another way.
    """
    return _OneDnn() if _is_usable(example) and any(choices().values()) else nullcontext()


def records_nothing() -> bool:
    """Whether neither gradients nor a trace are recorded. (`torch.jit.trace` compares what it records with gradients
    on to a second record with gradients off, so that both have to be the same.)"""
    return not torch.is_grad_enabled() and not torch.jit.is_tracing()


def to_onednn(tensor: Tensor) -> Tensor:
    """`tensor` in oneDNN's layout, so that several layers in turn need not change it; as it is where of no use."""
    is_of_use = _is_usable(tensor) and _is_plain(tensor, *fast_dtypes()) and _wins("linear", tensor.dtype)
    return tensor.to_mkldnn() if is_of_use else tensor


def from_onednn(tensor: Tensor) -> Tensor:
    """The way back from `to_onednn`."""
    return tensor.to_dense() if tensor.is_mkldnn else tensor


@cache
def fast_dtypes() -> tuple[torch.dtype, ...]:
    """The kinds of numbers that oneDNN multiplies on this processor: bfloat16 needs AVX-512, and is tried once."""
    number = torch.ones(1, 1, dtype=torch.bfloat16)
    try:
        F.linear(number.to_mkldnn(), number)
    except RuntimeError:
        return (torch.float32,)
    return (torch.float32, torch.bfloat16)


def choices() -> dict[str, bool]:
    """What oneDNN computes here, by name; measured now as far as it has not been."""
    if not (_IS_X86 and torch.backends.mkldnn.is_available()):
        return {}
    with torch.inference_mode():
        return {
            _name(kind, dtype): _wins(kind, dtype)
            for dtype in fast_dtypes()
            for kind in ("linear", "attention")
            if (kind, dtype) not in _NOT_MEASURED
        }


def _wins(kind: str, dtype: torch.dtype) -> bool:
    """Whether oneDNN is the quicker at one of CLIP's products, or at the decoder's attention."""
    make_both = {"linear": _linear_both_ways, "attention": _attention_both_ways}[kind]
    return (kind, dtype) in _NOT_MEASURED or decide(_name(kind, dtype), lambda: make_both(dtype))


def _linear_both_ways(dtype: torch.dtype) -> tuple[Callable, Callable]:
    x, weight = torch.ones(256, 768, dtype=dtype), torch.ones(512, 768, dtype=dtype)
    return partial(_linear, x, weight), partial(F.linear, x, weight)


def _attention_both_ways(dtype: torch.dtype) -> tuple[Callable, Callable]:
    query = torch.ones(1, 4, 485, 16, dtype=dtype)  # one prompt on 352 x 352 pixels
    return (
        partial(_attention, query, query, query, scale=None),
        partial(F.scaled_dot_product_attention, query, query, query),
    )


def _name(kind: str, dtype: torch.dtype) -> str:
    return f"{kind} {str(dtype).removeprefix('torch.')}"


class _OneDnn(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.linear and not kwargs and _is_linear_of_use(*args):
            return _linear(*args)
        if func is F.scaled_dot_product_attention and _is_attention_of_use(*args, **kwargs):
            return _attention(*args, scale=kwargs.get("scale"))
        return func(*args, **kwargs)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(..., in) -> (..., out)."""
    return F.linear(x.flatten(0, -2).to_mkldnn(), weight, bias).to_dense().unflatten(0, x.shape[:-1])


def _attention(query: Tensor, key: Tensor, value: Tensor, *, scale: float | None) -> Tensor:
    """(n, heads, tokens, head) each -> (n, heads, tokens, head), head by head, so that the scores stay in the cache."""
    n, heads, tokens, width = query.shape
    query = (query * (width**-0.5 if scale is None else scale)).contiguous()
    key, value = key.contiguous(), value.transpose(2, 3).contiguous()  # value: (n, heads, head, tokens)
    attended = query.new_empty(n, tokens, heads, width)  # in the order in which the caller joins the heads
    for prompt in range(n):
        for head in range(heads):
            weights = F.linear(query[prompt, head].to_mkldnn(), key[prompt, head]).softmax(-1)  # (tokens, tokens)
            attended[prompt, :, head] = F.linear(weights, value[prompt, head]).to_dense()
    return attended.transpose(1, 2)


def _is_usable(example: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()
        and _IS_X86
        and example.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
        and records_nothing()
        and not torch.is_autocast_enabled("cpu")
    )


def _is_linear_of_use(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    # in bfloat16 PyTorch calls oneDNN by itself
    tensors = (x, weight) if bias is None else (x, weight, bias)
    is_large = all(_is_plain(tensor, torch.float32) for tensor in tensors) and x.numel() * len(weight) >= _MIN_PRODUCTS
    return is_large and _wins("linear", torch.float32)


def _is_attention_of_use(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> bool:
    return (
        attn_mask is None
        and not (dropout_p or is_causal or enable_gqa)
        and all(_is_plain(tensor, *fast_dtypes()) for tensor in (query, key, value))
        and query.ndim == 4
        and query.shape[2] >= _MIN_TOKENS
        and _wins("attention", query.dtype)
    )


def _is_plain(tensor: Tensor, *dtypes: torch.dtype) -> bool:
    return (
        type(tensor) in (Tensor, nn.Parameter)
        and tensor.dtype in dtypes
        and tensor.device.type == "cpu"
        and tensor.layout == torch.strided
        and tensor.numel() > 0
    )
