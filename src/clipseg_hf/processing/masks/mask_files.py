"""The one reader of masks: any picture or array -> its numbers, and of these what is object.

By default it is strict, as a caller who gives one mask wants it: what does not say which pixels are object is refused.
Files of data sets are what they are, so their reader asks for more lenient rules:

| | strict | lenient |
| --- | --- | --- |
| colours, transparency | refused, where they are more than grey | `colors`: kept, or as bright as they are |
| palette | its indices, which have to be 0 and 1 | all but index 0, whatever its colour, is object |
| shades | floats are kept; of black and white with blurred edges the brighter half, else refused | the brighter half |
"""

from typing import Literal

import numpy as np
from PIL import Image

from clipseg_hf.processing.images import TRANSPARENT_MODES, ImageLike, explaining, open_image, upright
from clipseg_hf.processing.pixel_arrays import is_array, numbers_of

Colors = Literal["refused", "kept", "shown", "grey"]

_COLOR_MODES = ("RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")


def load_map(image: ImageLike, name: str = "mask", colors: Colors = "refused") -> np.ndarray:
    """Load a mask or an index map without touching its numbers (a palette picture gives its indices).

    Args:
        image: as for `load_image`, with one channel; three equal channels (a grey picture saved as RGB) count as one.
        name: what to call it in errors.
        colors: what is done about a picture in colour. "kept": (H, W, 3) uint8; others are int32. "shown": the same of
            any picture, of a palette its colours. "grey": how bright they are, of a palette whether it is not index 0;
            where transparency alone says what is object, how opaque. It is passed over otherwise.

    Returns:
        (H, W) array; bool, integer or float as it came.

    Raises:
        ValueError: colours or transparency, which do not say what is object; all else as `load_image`.
    """
    if is_array(image):
        values = numbers_of(image)
        if values.ndim == 3 and 1 in (values.shape[0], values.shape[-1]):
            values = values[0] if values.shape[0] == 1 else values[..., 0]
        elif values.ndim == 3 and values.shape[-1] == 3 and (values == values[..., :1]).all():
            values = values[..., 0]  # as from a grey picture that was read as RGB
        if values.ndim != 2:
            raise ValueError(f"{name} has shape {values.shape}, expected (height, width): one number for each pixel.")
        return values
    opened, name = open_image(image, name)
    with explaining(name):
        opened = upright(opened, name)
        if colors == "shown" or (colors == "kept" and opened.mode in _COLOR_MODES):
            return np.asarray(opened.convert("RGB"))
        if colors == "kept":
            return np.asarray(opened.getchannel(0) if opened.mode in TRANSPARENT_MODES else opened).astype(np.int32)
        if colors == "grey":
            if opened.mode == "P":
                return np.asarray(opened) > 0
            if opened.mode in TRANSPARENT_MODES:
                return _brightness_or_opacity(opened)
            return np.asarray(opened if opened.mode in ("1", "L", "I", "F", "I;16") else opened.convert("L"))
        if opened.mode in TRANSPARENT_MODES:
            if np.asarray(opened.convert("RGBA"))[..., 3].min() < 255:
                raise ValueError(f"{name} is partly transparent, which does not say what is object: save it as grey.")
            opened = opened.convert("RGB")
        values = np.array(opened)
    if values.ndim == 3:
        if (values != values[..., :1]).any():
            raise ValueError(f"{name} has colours (mode {opened.mode}): save it as grey, one number for each pixel.")
        values = values[..., 0]
    return values


def read_mask(values: np.ndarray, name: str, ignore_index: int | None = None, lenient: bool = False) -> np.ndarray:
    """One mask of bool, 0/1, 0/255, 0/65535 or float in [0, 1] -> (h, w) float32 in [0, 1], and `ignore_index` where it
    was. Of a mask whose edges are blurred (by JPEG or anti-aliasing), the brighter half; of any mask where `lenient`.

    Raises:
        ValueError: other values; or 0/255 where 255 is also to be ignored.
    """
    if values.dtype == bool:
        return values.astype(np.float32)
    if lenient:
        return _brighter_half(values)
    ignored = np.zeros(values.shape, dtype=bool) if ignore_index is None else values == ignore_index
    counted = values[~ignored]
    if ignore_index == 255 and ignored.any() and not counted.any():
        raise ValueError(
            f"{name} holds only 0 and 255, and ignore_index is 255: a 0/255 mask would lose its object. Pass "
            "mask > 127, or mark what to ignore by another number."
        )
    top = 1
    if np.issubdtype(values.dtype, np.floating):
        is_valid = bool(((counted >= 0) & (counted <= 1)).all())
    else:
        top = next((top for top in (65535, 255) if (counted == top).any()), 1)
        is_valid = bool(((counted == 0) | (counted == top)).all())
        if not is_valid and ignore_index is None and _is_blurred(values):
            return _brighter_half(values)
    if not is_valid:
        raise ValueError(
            f"{name} holds {some_of(counted)}, expected a mask of bool, 0/1, 0/255 or float in [0, 1]"
            + (f", or {ignore_index} to ignore. " if ignore_index is not None else ". ")
            + "Compare it (mask > 127) if it is grey; for an index map give one for each image, its prompts counted "
            "from 1, and ignore_index for pixels that do not count."
        )
    mask = values.astype(np.float32) / top
    mask[ignored] = ignore_index
    return mask


def some_of(values: np.ndarray) -> str:
    """The first few of the different values, for an error."""
    distinct = np.unique(values)
    shown = ", ".join(f"{value:g}" for value in distinct[:5])
    return f"{shown}, ... ({len(distinct)} different values)" if len(distinct) > 5 else shown


def _brightness_or_opacity(picture: Image.Image) -> np.ndarray:
    """(H, W) uint8 of a transparent picture: its brightness where what is opaque is a mask, in black and white; else
    (an object of one colour, or a photo that was cut out) its opacity."""
    grey, opacity = np.asarray(picture.convert("L")), np.asarray(picture.convert("RGBA"))[..., 3]
    if opacity.min() == opacity.max():
        return grey
    opaque = grey[opacity > 127]
    is_mask = opaque.size and opaque.min() < 64 and opaque.max() > 191 and ((opaque > 63) & (opaque < 192)).mean() < 0.1
    return np.where(opacity > 127, grey, 0) if is_mask else opacity


def _brighter_half(values: np.ndarray) -> np.ndarray:
    """Numbers from 0 upwards -> 1 where they are above half of the highest; of 0 and 1, the ones."""
    top = values.max(initial=0)
    return (values > (top / 2 if top > 1 else 0)).astype(np.float32)


def _is_blurred(values: np.ndarray) -> bool:
    """Whether integers of 8 or 16 bits are clearly black and white with shades between, and no index map: nearly all
    are close to an end, and some near the bright end are not at it (the numbers of classes are small, 255 apart)."""
    shares = values / (255 if values.max(initial=0) <= 255 else 65535)
    between = (shares > 0.25) & (shares < 0.75)
    near_white = (shares > 0.5) & (shares < 1)
    return bool(shares.min() >= 0 and shares.max() > 0.75 and near_white.any() and between.mean() < 0.1)
