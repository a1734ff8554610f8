"""Pictures, masks and arrays of anybody's making, handed to the processor."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from clipseg_hf import CLIPSegProcessor
from clipseg_hf.processing import load_image
from clipseg_hf.processing.images import measure_turned, read_image
from clipseg_hf.processing.masks.mask_files import load_map
from clipseg_hf.processing.masks.rle import decode_rle
from fuzz import rounds, seeds
from fuzz.damage import ODD, Case, Link, broken
from fuzz.sandbox import check

WAYS = ("image", "bytes", "mask", "grey mask", "measure", "small", "segmentation_maps", "visual_prompt", "masks")
NAMES = ("image", "mask", "visual_prompt", "segmentation_map")


@functools.cache
def _processor() -> CLIPSegProcessor:
    return CLIPSegProcessor.from_pretrained("emoji-tiny")


def give(image: Any, way: str) -> None:
    """Hand something to a reader of pictures."""
    sound = np.zeros((seeds.HEIGHT, seeds.WIDTH, 3), np.uint8)
    if way == "bytes" and isinstance(image, Path) and image.is_file():
        load_image(image.read_bytes())
    elif way in ("mask", "grey mask"):
        load_map(image, colors="grey" if way == "grey mask" else "refused")
    elif way == "measure":
        measure_turned(image)
    elif way == "small":
        read_image(image, at_least=(2, 2))
    elif way == "segmentation_maps":
        _processor()(images=sound, text="a box", segmentation_maps=image, return_tensors="pt")
    elif way == "masks":
        _processor()(images=sound, visual_prompt=sound, visual_prompt_masks=image, return_tensors="pt")
    elif way == "visual_prompt":
        _processor()(images=sound, visual_prompt=image, return_tensors="pt")
    else:
        _processor()(images=image, text="a box", return_tensors="pt")


def try_file(root: Path, given: tuple[Case, str]) -> None:
    case, way = given
    folder = case.plant(root)
    has_links = any(isinstance(content, Link) for content in case.files.values())
    image = folder / case.changes[0]
    check(lambda: give(image, way), folder, names=[*NAMES, image.name], allowed=[root.parent] if has_links else [])


@pytest.mark.slow
@pytest.mark.timeout(rounds.TIMEOUT, method="thread")
def test_any_picture_is_read_or_named(root):
    cases = st.tuples(broken(seeds.PICTURES), st.sampled_from(WAYS))
    rounds.fuzz(cases, lambda given: try_file(root, given), share=0.5)


SIDES = st.integers(0, 4) | st.sampled_from([20, 30])
DTYPES = ("bool", "u1", "i1", "u2", "i4", "i8", "u8", "f2", "f4", "f8", "c8", "U1", "O", "M8[s]")
VALUES = (0, 1, -1, 0.5, 255, 256, 65535, 65536, float("nan"), float("inf"), -0.1, 1e308, 2**63)


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """Arrays, tensors, lists and what is no picture at all."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from([value for value in ODD if not isinstance(value, str)]))
    shape = draw(st.lists(SIDES, max_size=4).map(tuple) | st.tuples(SIDES, SIDES, SIDES))
    with np.errstate(all="ignore"):
        values = np.full(shape, draw(st.sampled_from(VALUES)), object)
        if values.size:
            values.flat[0] = draw(st.sampled_from(VALUES))
        try:
            values = values.astype(draw(st.sampled_from(DTYPES)))
        except (ValueError, OverflowError, TypeError):
            values = values.astype("f8")
    way = draw(st.sampled_from(["array", "array", "tensor", "list", "lists", "dict"]))
    if way == "tensor":
        try:
            return torch.from_numpy(values)
        except TypeError:
            return values
    return {"array": values, "list": [values], "lists": values.tolist(), "dict": {"bytes": values, "path": None}}.get(
        way, values
    )


def try_array(root: Path, given: tuple[Any, str]) -> None:
    image, way = given
    check(lambda: give(image, way), root, names=NAMES)


@pytest.mark.slow
@pytest.mark.timeout(rounds.TIMEOUT, method="thread")
def test_any_array_is_taken_or_named(root):
    cases = st.tuples(arrays(), st.sampled_from(WAYS))
    rounds.fuzz(cases, lambda given: try_array(root, given), share=0.25)


NUMBERS = st.integers(-2, 40) | st.sampled_from([10**9, 2**63, 2**64, float("nan"), float("inf"), None, "1", [1]])
codes = st.fixed_dictionaries(
    {},
    optional={
        "size": st.lists(NUMBERS, max_size=3) | NUMBERS,
        "counts": st.text(max_size=20) | st.binary(max_size=20) | st.lists(NUMBERS, max_size=5) | NUMBERS,
    },
)


@pytest.mark.slow
@pytest.mark.timeout(rounds.TIMEOUT, method="thread")
def test_any_rle_is_decoded_or_refused(root):
    rounds.fuzz(codes, lambda rle: check(lambda: decode_rle(rle), root, names=["RLE", "COCO string"]), share=0.25)
