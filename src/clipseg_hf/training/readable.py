"""Rows whose images can be read: what is validated on is looked through once, before the first step."""

from clipseg_hf.data.rows.row_images import decode_image, undecoded
from clipseg_hf.data.rows.rows import evenly, take
from clipseg_hf.data.sampling.samples import SampleError
from clipseg_hf.processing.masks.rle import decode_rle
from clipseg_hf.training.devices.processes import from_main


def readable_rows(accelerator, rows, count: int, strict: bool = False):
    """Some rows, evenly spread, without those whose image is broken or does not fit its masks.

    Args:
        accelerator: the main process reads, and the others leave out what it does.
        rows: of which `count` are chosen.
        count: at most so many.
        strict: raise the first error instead.

    Returns:
        the rows, and image id -> what is wrong with those that are left out.

    Raises:
        SampleError: with `strict`, a broken row; without, where all are broken.
    """
    chosen = evenly(undecoded(rows), count)
    flaws, _ = from_main(accelerator, lambda: (_flaws(chosen), {}))
    broken = {int(number): cause for number, cause in flaws.items()}
    ids = {number: chosen[number]["image_id"] for number in broken}
    if broken and (strict or len(broken) == len(chosen)):
        number = min(broken)
        raise SampleError.of(number, ids[number], broken[number])
    if broken:
        chosen = take(chosen, [number for number in range(len(chosen)) if number not in broken])
    return chosen, {ids[number]: cause for number, cause in broken.items()}


def _flaws(rows) -> dict[str, str]:
    found = {str(number): _flaw(rows[number]) for number in range(len(rows))}
    return {number: cause for number, cause in found.items() if cause}


def _flaw(row: dict) -> str | None:
    try:
        size = decode_image(row["image"], at_least=(1, 1))[1]
        masks = [decode_rle(entry["mask"]).shape for entry in row["phrases"]]
    except (OSError, ValueError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    other = next((mask for mask in masks if tuple(mask) != tuple(size)), None)
    return None if other is None else f"a mask is {other[0]} x {other[1]}, the image {size[0]} x {size[1]}"
