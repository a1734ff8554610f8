"""Any picture -> an upright RGB picture of 8 bits; the one reader of image files.

Every error names the input (its argument and, where it has one, its file), what was found and what would work.
"""

import base64
import http.client
import io
import os
import traceback
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from clipseg_hf._text_files import require_regular
from clipseg_hf.processing.pixel_arrays import channels_last, in_range, is_array, numbers_of, to_bytes

ImageLike = Any  # PIL.Image.Image | numpy.ndarray | torch.Tensor | str | Path | bytes | {"bytes": ..., "path": ...}

TRANSPARENT_MODES = ("LA", "PA", "La", "RGBA", "RGBa")
_DOWNLOAD_SECONDS = 30
_ORIENTATION = 0x0112  # the EXIF tag; from 5 on, the picture is to be turned by a quarter


class UnreadableImageError(ValueError, OSError):
    """What should hold an image holds none, or one that is damaged or too large."""


def load_image(image: ImageLike, name: str = "image", input_data_format: str | None = None) -> Image.Image:
    """Load one picture and bring it to RGB, 8 bits a channel, the right way up.

    Args:
        image: a PIL image; a NumPy array or torch tensor of shape (H, W), (H, W, C) or (C, H, W) with C in 1, 2
            (grey and alpha), 3, 4 and values bool, 0 ... 255, 0 ... 65535 (uint16) or float in [0, 1] or [0, 255];
            a path, an http(s) or data URL, the bytes of an image file, such a file opened in binary mode, or
            `{"bytes", "path"}` as `datasets` keeps it.
        name: what to call it in errors.
        input_data_format: "channels_first" or "channels_last", for arrays whose shape leaves it open.

    Returns:
        An RGB picture: turned as its EXIF orientation says, transparency composited on white, grey, palette, CMYK and
        16 bits converted; of several frames the first, with a warning.

    Raises:
        FileNotFoundError: the path leads nowhere.
        ConnectionError: the URL cannot be fetched.
        UnreadableImageError: not an image, damaged, a decompression bomb. It is a ValueError and an OSError.
        ValueError: an empty side, values out of range.
        TypeError: nothing of the above.
    """
    return read_image(image, name, input_data_format)[0].copy()  # it may be the caller's own


def read_image(
    image: ImageLike, name: str = "image", input_data_format: str | None = None, at_least: tuple[int, int] | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    """As `load_image`, for those who only look at the pixels and may not need all of them.

    Args:
        at_least: (height, width). A JPEG file of 2, 4 or 8 times that or more is decoded at 1/2, 1/4 or 1/8 of its
            size, which is several times faster. None decodes all of it.

    Returns:
        the picture, which is the given one itself where nothing had to be changed, and the (height, width) of the
        whole image.
    """
    opened, name = open_image(image, name, input_data_format)
    with explaining(name):
        whole = None
        if at_least is not None and opened.format == "JPEG" and opened is not image:
            height, width = whole = _upright_size(opened)
            shrink = max((n for n in (2, 4, 8) if height >= n * at_least[0] and width >= n * at_least[1]), default=1)
            opened.draft(None, (opened.width // shrink, opened.height // shrink))
        frames = getattr(opened, "n_frames", 1)
        if frames > 1 and opened.format != "MPO":  # a phone's photo with its depth map
            warnings.warn(f"{name} has {frames} frames; the first is used.", stacklevel=3)
        picture = _to_rgb(upright(opened, name), name)
        return picture, whole or (picture.height, picture.width)


def measure_image(image: ImageLike, name: str = "image") -> tuple[int, int]:
    """The (height, width) of an image, upright, without decoding it. It raises what `load_image` does."""
    return measure_turned(image, name)[0]


def measure_turned(image: ImageLike, name: str = "image") -> tuple[tuple[int, int], int]:
    """As `measure_image`, and the number of the EXIF orientation by which the image was turned for it, 1 for not."""
    opened, name = open_image(image, name)
    with explaining(name), nullcontext() if opened is image else opened:
        is_late = opened.format == "PNG" and "exif" not in opened.info  # see _upright_size
        orientation = 1 if is_late else opened.getexif().get(_ORIENTATION, 1)
        return _upright_size(opened), orientation if orientation in range(1, 9) else 1


def open_image(image: ImageLike, name: str, input_data_format: str | None = None) -> tuple[Image.Image, str]:
    """-> a PIL image, perhaps not read yet, and its name with the file in it."""
    is_kept = isinstance(image, dict)
    if is_kept:
        image = image.get("path") if image.get("bytes") is None else image["bytes"]
    if isinstance(image, Image.Image):
        return image, name
    if is_array(image):
        return _from_array(numbers_of(image), name, input_data_format), name
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
    elif isinstance(image, (str, os.PathLike)):
        name = f"{name} ({image})"
        source = Path(image)
        if not source.exists():
            raise FileNotFoundError(f"{name}: there is no such file.")
        if source.is_dir():
            raise ValueError(f"{name} is a folder, expected an image file.")
        require_regular(source)
    else:
        found = "dict without bytes or path" if is_kept else type(image).__name__
        raise TypeError(
            f"{name} is a {found}, expected a PIL image, an array, a tensor, a path, a URL, bytes or an open file."
        )
    with explaining(name):
        return Image.open(source), name


@contextmanager
def explaining(name: str) -> Iterator[None]:
    """Pillow's many ways to fail -> one that names the input."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(
            f"{name} is too large: {error} Scale it down first, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it."
        ) from error
    except UnidentifiedImageError as error:
        raise UnreadableImageError(
            f"{name} is not an image that Pillow can read. It says: cannot identify image file."
        ) from error
    except PermissionError as error:
        raise UnreadableImageError(f"{name} may not be read by this user: {error.strerror or error}.") from error
    except (
        Exception
    ) as error:  # each of Pillow's formats has its own: SyntaxError, zlib.error, ValueError, KeyError ...
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).startswith("clipseg_hf."):  # one of ours, which has the name in it
            raise
        raise UnreadableImageError(f"{name} is damaged or cut off: {str(error) or type(error).__name__}.") from error


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


def _upright_size(image: Image.Image) -> tuple[int, int]:
    # asking a PNG for its EXIF would decode the picture, unless it has been found already; a TIFF's size is turned
    is_told = image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info)
    exif = {} if is_told else image.getexif()
    size = (image.height, image.width)
    return size[::-1] if exif.get(_ORIENTATION, 1) >= 5 else size


def upright(image: Image.Image, name: str) -> Image.Image:
    """A picture that is read and turned as its EXIF orientation says; the given one where it stands upright."""
    if 0 in image.size:
        raise ValueError(f"{name} is {image.height} x {image.width} pixels (height x width): there is nothing in it.")
    _refuse_bomb(image.height, image.width)
    image.load()
    return image if image.getexif().get(_ORIENTATION, 1) == 1 else ImageOps.exif_transpose(image)


def _refuse_bomb(height: int, width: int) -> None:
    """Pillow's own limit, which it applies to files only, for pictures that are in memory already: converting and
    normalising them takes many times as much."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and height * width > 2 * limit:
        raise Image.DecompressionBombError(
            f"Image size ({height * width} pixels) exceeds limit of {2 * limit} pixels, could be decompression bomb."
        )


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode in TRANSPARENT_MODES or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        values = np.array(image)
        if image.mode != "F" and (image.mode != "I" or values.max() > 255):
            values = in_range(values, 65535, name).astype(np.uint16)
        image = Image.fromarray(to_bytes(values, name))
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_array(values: np.ndarray, name: str, input_data_format: str | None) -> Image.Image:
    values = channels_last(values, name, input_data_format)
    with explaining(name):
        _refuse_bomb(*values.shape[:2])
    values = to_bytes(values, name)
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[values.shape[-1]]
    height, width = values.shape[:2]
    return Image.frombytes(mode, (width, height), np.ascontiguousarray(values).tobytes())
