"""Original checkpoints of anybody's making."""

import functools
import io
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from transformers import CLIPConfig, CLIPModel

from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.modeling.conversion import convert_original_checkpoint
from fuzz import rounds
from fuzz.damage import ODD, Case, broken_bytes
from fuzz.sandbox import check

_SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
_VISION, _TEXT = {**_SMALL, "image_size": 32, "patch_size": 16}, {**_SMALL, "vocab_size": 50}
_WIDTH, _HIDDEN, _BLOCKS = 8, 12, 2

TENSORS = (
    *(torch.zeros(()), torch.zeros(0), torch.zeros(3, 8, 12), torch.zeros(1).expand(10**9), torch.zeros(10**9, 0)),
    *(torch.zeros(8, 8).to_sparse(), torch.zeros(8, 8, dtype=torch.complex64), torch.zeros(8, 8, device="meta")),
    *(torch.full((8, 8), float("nan")), torch.ones(8, 8, dtype=torch.bool), torch.zeros(8, 8, dtype=torch.int64)),
    *(torch.zeros(300, 300), torch.zeros(7, 7), torch.zeros(1, 1)),
)


@functools.cache
def _clip() -> CLIPModel:
    return CLIPModel(CLIPConfig(text_config=_TEXT, vision_config=_VISION, projection_dim=8)).eval()


@functools.cache
def _names() -> dict[str, torch.Tensor]:
    """What `torch.save` holds of a decoder of the original implementation."""
    sizes = {"film_mul": (_WIDTH, 8), "film_add": (_WIDTH, 8), **{f"reduces.{n}": (_WIDTH, 16) for n in range(_BLOCKS)}}
    sizes |= {"trans_conv": (_WIDTH, 1, 16, 16)}
    names = {}
    for n in range(_BLOCKS):
        sizes |= {f"blocks.{n}.{norm}": (_WIDTH,) for norm in ("norm1", "norm2")}
        sizes |= {f"blocks.{n}.linear1": (_HIDDEN, _WIDTH), f"blocks.{n}.linear2": (_WIDTH, _HIDDEN)}
        sizes |= {f"blocks.{n}.self_attn.out_proj": (_WIDTH, _WIDTH)}
        names[f"blocks.{n}.self_attn.in_proj_weight"] = torch.zeros(3 * _WIDTH, _WIDTH)
        names[f"blocks.{n}.self_attn.in_proj_bias"] = torch.zeros(3 * _WIDTH)
    for name, size in sizes.items():
        names |= {f"{name}.weight": torch.zeros(size), f"{name}.bias": torch.zeros(1 if "conv" in name else size[0])}
    return names


@functools.cache
def _file(is_zip: bool) -> bytes:
    stream = io.BytesIO()
    torch.save(_names(), stream, _use_new_zipfile_serialization=is_zip)
    return stream.getvalue()


def convert(path: Path) -> CLIPSegForImageSegmentation:
    return convert_original_checkpoint(path, _clip(), extract_layers=(0, 1))


@st.composite
def checkpoints(draw: st.DrawFn) -> Case:
    """Files with damaged bytes, or with something else in them."""
    if draw(st.booleans()):
        data, changes = _file(draw(st.booleans())), []
        for _ in range(draw(st.integers(1, 3))):
            data, change = draw(broken_bytes(data))
            changes.append(change)
        return Case({"a.pth": data}, changes)
    weights: dict[Any, Any] = dict(_names())
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from([*_names(), "film_mul.weight", "blocks.0.linear1.weight", "x", 3, ""]))
        weights[name] = draw(st.sampled_from(TENSORS) | st.sampled_from(ODD) | st.just(_names()))
        if draw(st.integers(0, 3)) == 0:
            del weights[name]
    changes = [
        f"{name} is {type(value).__name__}" for name, value in weights.items() if value is not _names().get(name)
    ]
    held = draw(st.sampled_from([weights, weights, weights, OrderedDict(weights), [weights], {"state_dict": weights}]))
    stream = io.BytesIO()
    torch.save(held, stream, _use_new_zipfile_serialization=draw(st.booleans()))
    return Case({"a.pth": stream.getvalue()}, changes)


def try_checkpoint(root: Path, case: Case) -> None:
    folder = case.plant(root)
    check(lambda: convert(folder / "a.pth"), folder)


@pytest.mark.slow
@pytest.mark.timeout(rounds.TIMEOUT, method="thread")
def test_any_checkpoint_is_converted_or_named(root, tmp_path):
    (tmp_path / "sound.pth").write_bytes(_file(True))
    assert convert(tmp_path / "sound.pth").config.reduce_dim == _WIDTH
    rounds.fuzz(checkpoints(), lambda case: try_checkpoint(root, case))
