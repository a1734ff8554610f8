"""Any picture -> an upright RGB picture of 8 bits; any mask -> its numbers.

Every error names the input (its argument and, where it has one, its file), what was found and what would work.
"""

import base64
import http.client
import io
import struct
import urllib.request
import warnings
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

ImageLike = Any  # PIL.Image.Image | numpy.ndarray | torch.Tensor | str | Path | bytes

_DOWNLOAD_SECONDS = 30
_TRANSPARENT_MODES = ("LA", "PA", "La", "RGBA", "RGBa")


def load_image(image: ImageLike, name: str = "image", input_data_format: str | None = None) -> Image.Image:
    """Load one picture and bring it to RGB, 8 bits a channel, the right way up.

    Args:
        image: a PIL image; a NumPy array or torch tensor of shape (H, W), (H, W, C) or (C, H, W) with C in 1, 2
            (grey and alpha), 3, 4 and values bool, 0 ... 255, 0 ... 65535 (uint16) or float in [0, 1] or [0, 255];
            a path, an http(s) or data URL, the bytes of an image file, or such a file opened in binary mode.
        name: what to call it in errors.
        input_data_format: "channels_first" or "channels_last", for arrays whose shape leaves it open.

    Returns:
        An RGB picture: turned as its EXIF orientation says, transparency composited on white, grey, palette, CMYK and
        16 bits converted; of several frames the first, with a warning.

    Raises:
        FileNotFoundError: the path leads nowhere.
        ConnectionError: the URL cannot be fetched.
        ValueError: not an image, damaged, a decompression bomb, an empty side, values out of range.
        TypeError: nothing of the above.
    """
    opened, name = _open(image, name, input_data_format)
    with _explaining(name):
        if getattr(opened, "n_frames", 1) > 1 and opened.format != "MPO":  # a phone's photo with its depth map
            warnings.warn(f"{name} has {opened.n_frames} frames; the first is used.", stacklevel=2)
        return _to_rgb(_upright(opened, name), name)


def load_map(image: ImageLike, name: str = "mask") -> np.ndarray:
    """Load a mask or an index map without touching its numbers (a palette picture gives its indices).

    Args:
        image: as for `load_image`, with one channel; three equal channels (a grey picture saved as RGB) count as one.
        name: what to call it in errors.

    Returns:
        (H, W) array; bool, integer or float as it came.

    Raises:
        as `load_image`; and ValueError for colours or transparency, which do not say what is object.
    """
    if isinstance(image, (np.ndarray, torch.Tensor)):
        values = _numbers(image)
        if values.ndim == 3 and 1 in (values.shape[0], values.shape[-1]):
            values = values[0] if values.shape[0] == 1 else values[..., 0]
        elif values.ndim == 3 and values.shape[-1] == 3 and (values == values[..., :1]).all():
            values = values[..., 0]  # as from a grey picture that was read as RGB
        if values.ndim != 2:
            raise ValueError(f"{name} has shape {values.shape}, expected (height, width): one number for each pixel.")
        return values
    opened, name = _open(image, name, None)
    with _explaining(name):
        opened = _upright(opened, name)
        if opened.mode in _TRANSPARENT_MODES:
            if np.asarray(opened.convert("RGBA"))[..., 3].min() < 255:
                raise ValueError(f"{name} is partly transparent, which does not say what is object: save it as grey.")
            opened = opened.convert("RGB")
        values = np.array(opened)
    if values.ndim == 3:
        if (values != values[..., :1]).any():
            raise ValueError(f"{name} has colours (mode {opened.mode}): save it as grey, one number for each pixel.")
        values = values[..., 0]
    return values


def to_planes(image: np.ndarray | torch.Tensor, name: str = "image", input_data_format: str | None = None):
    """An array of pixels in any layout -> (3, H, W) float32, its values untouched: for pictures that are prepared
    already (`do_rescale=False`)."""
    planes = np.moveaxis(_channels_last(_numbers(image), name, input_data_format), -1, 0)
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
    values = _in_range(values, 1 if is_share else 255, name)
    return values * 255 if is_share else values


def is_array(image) -> bool:
    """Whether a picture comes as numbers rather than as a file or a PIL image."""
    return isinstance(image, (np.ndarray, torch.Tensor))


def _open(image: ImageLike, name: str, input_data_format: str | None) -> tuple[Image.Image, str]:
    """-> a PIL image, perhaps not read yet, and its name with the file in it."""
    if isinstance(image, Image.Image):
        return image, name
    if isinstance(image, (np.ndarray, torch.Tensor)):
        return _from_array(_numbers(image), name, input_data_format), name
    if isinstance(image, bytes):
        source: Any = io.BytesIO(image)
    elif isinstance(image, str) and image.startswith(("http://", "https://")):
        name = f"{name} ({image})"
        source = io.BytesIO(_download(image, name))
    elif isinstance(image, str) and image.startswith("data:"):
        name = f"{name} (a data URL)"
        source = io.BytesIO(_decode_data_url(image, name))
    elif hasattr(image, "read"):
        source = image
    elif isinstance(image, (str, Path)):
        name = f"{name} ({image})"
        source = Path(image)
        if not source.exists():
            raise FileNotFoundError(f"{name}: there is no such file.")
        if source.is_dir():
            raise ValueError(f"{name} is a folder, expected an image file.")
    else:
        raise TypeError(
            f"{name} is a {type(image).__name__}, expected a PIL image, an array, a tensor, a path, a URL, bytes "
            "or an open file."
        )
    with _explaining(name):
        return Image.open(source), name


@contextmanager
def _explaining(name: str):
    """Pillow's many ways to fail -> one ValueError that names the input."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{name} is too large: {error} Scale it down first, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it."
        ) from error
    except UnidentifiedImageError as error:
        raise ValueError(f"{name} is not an image that Pillow can read.") from error
    except (OSError, EOFError, SyntaxError, struct.error, zlib.error) as error:
        raise ValueError(f"{name} is damaged or cut off: {error}.") from error


def _download(url: str, name: str) -> bytes:
    request = urllib.request.Request(url, headers={"User-Agent": "clipseg-hf"})  # some hosts refuse nameless clients
    try:
        with urllib.request.urlopen(request, timeout=_DOWNLOAD_SECONDS) as answer:
            return answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(f"{name} cannot be fetched: {error}") from error


def _decode_data_url(url: str, name: str) -> bytes:
    head, _, body = url.partition(",")
    if not head.endswith(";base64"):
        raise ValueError(f"{name} is not in base64, expected data:image/...;base64,...")
    try:
        return base64.b64decode(body, validate=True)
    except ValueError as error:
        raise ValueError(f"{name} is not valid base64: {error}.") from error


def _upright(image: Image.Image, name: str) -> Image.Image:
    if 0 in image.size:
        raise ValueError(f"{name} is {image.height} x {image.width} pixels (height x width): there is nothing in it.")
    _refuse_bomb(image.height, image.width)
    image.load()
    return ImageOps.exif_transpose(image)


def _refuse_bomb(height: int, width: int) -> None:
    """Pillow's own limit, which it applies to files only, for pictures that are in memory already: converting and
    normalising them takes many times as much."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and height * width > 2 * limit:
        raise Image.DecompressionBombError(
            f"Image size ({height * width} pixels) exceeds limit of {2 * limit} pixels, could be decompression bomb."
        )


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode in _TRANSPARENT_MODES or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        values = np.array(image)
        # Pillow before 11 opens PNGs of 16 bits as 32-bit integers
        if image.mode != "F" and (image.mode != "I" or image.format == "PNG" or values.max() > 255):
            values = _in_range(values, 65535, name).astype(np.uint16)
        image = Image.fromarray(_to_bytes(values, name))
    return image.convert("RGB")


def _numbers(image: np.ndarray | torch.Tensor) -> np.ndarray:
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu()
        image = (image.float() if image.dtype == torch.bfloat16 else image).numpy()
    return image


def _from_array(values: np.ndarray, name: str, input_data_format: str | None) -> Image.Image:
    values = _channels_last(values, name, input_data_format)
    with _explaining(name):
        _refuse_bomb(*values.shape[:2])
    values = _to_bytes(values, name)
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[values.shape[-1]]
    height, width = values.shape[:2]
    return Image.frombytes(mode, (width, height), np.ascontiguousarray(values).tobytes())


def _channels_last(values: np.ndarray, name: str, input_data_format: str | None) -> np.ndarray:
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


def _to_bytes(values: np.ndarray, name: str) -> np.ndarray:
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


def _in_range(values: np.ndarray, top: int, name: str) -> np.ndarray:
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= top):  # also where NaN is
        raise ValueError(
            f"{name} holds values from {low:g} to {high:g}, expected bool, 0 to 255, or float in [0, 1]; for a picture "
            "that is normalised already pass do_resize=False, do_rescale=False, do_normalize=False."
        )
    return values
