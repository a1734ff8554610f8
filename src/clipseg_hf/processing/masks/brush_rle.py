"""Label Studio's run lengths of brush strokes: RGBA pixels row by row, packed into bits as `@thi.ng/rle-pack` does.

A header says the number of bytes (32 bits), the size of a word less one (5) and four sizes of lengths less one (4
each). Then come runs: a bit that says whether one word is repeated, two that say which size their length has, the
length less one, and the word or words.
"""

from collections.abc import Sequence

import numpy as np

from clipseg_hf.processing.masks.outlines import mask_runs

_WORD = 8
_SIZES = (3, 4, 8, 16)


def encode_brush(mask: np.ndarray) -> list[int]:
    """Code a mask, (height, width) bool, as bytes that Label Studio reads as a brush's."""
    bits = [f"{4 * mask.size:032b}{_WORD - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    for value, length in mask_runs(mask):
        word, left = f"{255 * value:08b}", 4 * length
        while left:
            step = min(left, 1 << _SIZES[-1])
            place = next(place for place, size in enumerate(_SIZES) if step <= 1 << size)
            bits.append(f"1{place:02b}{step - 1:0{_SIZES[place]}b}{word}")
            left -= step
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def decode_brush(data: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """The mask of a brush: where it is more than half opaque.

    Args:
        data: Bytes as Label Studio exports them.
        size: (height, width) of the image.

    Returns:
        (height, width) bool.

    Raises:
        ValueError: they are no such code, or of another size.
    """
    height, width = size
    try:
        coded = bytes(data)
    except (TypeError, ValueError):
        raise ValueError(f"A brush's code is a list of bytes, found {str(data)[:40]}.") from None
    bits = np.unpackbits(np.frombuffer(coded, dtype=np.uint8))
    text = (bits + ord("0")).tobytes().decode("ascii")
    count = int(text[:32] or "0", 2)
    if count != 4 * height * width:
        raise ValueError(f"A brush's code of {count} bytes does not belong to {width} x {height} pixels of 4.")
    if text[32:37] != f"{_WORD - 1:05b}":
        raise ValueError(f"A brush's code has words of 8 bits, found {int(text[32:37] or '0', 2) + 1}.")
    sizes = [int(text[start : start + 4] or "0", 2) + 1 for start in range(37, 53, 4)]
    pixels, filled, place = np.empty(count, dtype=np.uint8), 0, 53
    while filled < count:
        head, length_size = text[place : place + 3], sizes[int(text[place + 1 : place + 3] or "0", 2)]
        start = place + 3 + length_size
        length = int(text[place + 3 : start] or "0", 2) + 1
        place = start + _WORD * (1 if head.startswith("1") else length)
        if place > len(text) or filled + length > count:
            raise ValueError(f"A brush's code ends after {filled} of {count} bytes: is it cut off?")
        pixels[filled : filled + length] = np.packbits(bits[start:place])
        filled += length
    return pixels.reshape(height, width, 4)[..., 3] > 127
