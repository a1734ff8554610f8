"""Pixels as numbers, in any layout, type and usual range."""

import sys
import warnings
from typing import Any

import numpy as np


def to_planes(image: Any, name: str = "image", input_data_format: str | None = None) -> np.ndarray:
    """An array of pixels in any layout -> (3, H, W) float32, its values untouched: for pictures that are prepared
    already (`do_rescale=False`)."""
    planes = np.moveaxis(channels_last(numbers_of(image), name, input_data_format), -1, 0)
    if planes.shape[0] == 1:
        planes = np.repeat(planes, 3, axis=0)
    if planes.shape[0] != 3:
        raise ValueError(f"{name} has {planes.shape[0]} channels, expected 3 in a picture that is prepared already.")
    return np.ascontiguousarray(planes, dtype=np.float32)


def scale_to_255(values: np.ndarray, name: str = "image") -> np.ndarray:
    """Numbers from 0 to 255, or floats in [0, 1] -> numbers from 0 to 255.

    Raises:
        ValueError: others, such as those of a normalised picture.
    """
    is_share = np.issubdtype(values.dtype, np.floating) and values.max() <= 1
    values = in_range(values, 1 if is_share else 255, name)
    return values * 255 if is_share else values


def is_array(image: Any) -> bool:
    """Whether a picture comes as numbers rather than as a file or a PIL image."""
    return isinstance(image, np.ndarray) or _is_tensor(image)


def numbers_of(image: Any) -> np.ndarray:
    """An array or tensor, wherever it is, as an array."""
    if not _is_tensor(image):
        return np.asarray(image)
    image = image.detach().cpu()
    return (image.float() if str(image.dtype) == "torch.bfloat16" else image).numpy()


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")  # without it there are no tensors
    return torch is not None and isinstance(value, torch.Tensor)


def channels_last(values: np.ndarray, name: str, input_data_format: str | None) -> np.ndarray:
    """(H, W), (H, W, C) or (C, H, W) -> (H, W, C)."""
    if values.ndim == 2:
        values = values[..., None]
    elif values.ndim != 3:
        raise ValueError(f"{name} has shape {values.shape}, expected (H, W), (H, W, C) or (C, H, W).")
    elif input_data_format is not None:
        if input_data_format not in ("channels_first", "channels_last"):
            raise ValueError(f"input_data_format is 'channels_first' or 'channels_last', got {input_data_format!r}.")
        if input_data_format == "channels_first":
            values = np.moveaxis(values, 0, -1)
    else:
        # the most usual number of channels decides: a picture may be 1 pixel high
        outer = values.shape[0], values.shape[-1]
        channels = next((number for number in (3, 4, 1, 2) if number in outer), None)
        if outer == (3, 3):
            warnings.warn(
                f"{name} of shape {values.shape} may have its channels first or last; taken as first, as transformers "
                "does. Say which with input_data_format.",
                stacklevel=2,
            )
        if outer[0] == channels:
            values = np.moveaxis(values, 0, -1)
    if values.shape[-1] not in (1, 2, 3, 4):
        raise ValueError(f"{name} has shape {values.shape}, in which no outer axis is 1, 3 or 4 channels.")
    if 0 in values.shape:
        raise ValueError(f"{name} has shape {values.shape}: there is nothing in it.")
    return values


def to_bytes(values: np.ndarray, name: str) -> np.ndarray:
    """Pixels of any type and usual range -> uint8."""
    if values.dtype == bool:
        return values.astype(np.uint8) * 255
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:  # 65535 -> 255
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise TypeError(f"{name} holds {values.dtype}, expected bool, integers or floats.")
    return np.rint(scale_to_255(values, name)).astype(np.uint8)


def in_range(values: np.ndarray, top: int, name: str) -> np.ndarray:
    """The values, where all are from 0 to `top`; else a ValueError."""
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= top):  # also where NaN is
        raise ValueError(
            f"{name} holds values from {low:g} to {high:g}, expected bool, 0 to 255, or float in [0, 1]; for a picture "
            "that is normalised already pass do_resize=False, do_rescale=False, do_normalize=False."
        )
    return values
