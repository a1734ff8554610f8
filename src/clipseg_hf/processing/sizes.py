"""How large a picture becomes: the sizes that a patch grid allows."""

from collections.abc import Mapping

MAX_PIXELS = 2048 * 2048  # of one pass; more is a slip rather than a wish


def round_to_patch(pixels: float, patch_size: int) -> int:
    """The multiple of `patch_size` nearest to `pixels`, at least one patch."""
    return max(1, int(pixels / patch_size + 0.5)) * patch_size


def resized_size(
    original: tuple[int, int], size: Mapping[str, int | None], patch_size: int, name: str = "image"
) -> tuple[int, int]:
    """The size that a picture is brought to.

    Args:
        original: (height, width) of the picture.
        size: `{"height", "width"}`, taken as it is; or `{"shortest_edge"}`, with `"longest_edge"` as a limit if there
            is one, which keeps the aspect ratio, each side rounded to a multiple of the patch size.
        patch_size: of the model, in pixels.
        name: what to call the picture in errors.

    Returns:
        (height, width).

    Raises:
        ValueError: another size, or one that makes an endless strip of the picture.
    """
    height, width = original
    given = {key: value for key, value in dict(size).items() if value}
    if "height" in given and "width" in given:
        return given["height"], given["width"]
    if "shortest_edge" not in given:
        raise ValueError(f"size is {{'height', 'width'}} or {{'shortest_edge'}}, got {given}.")
    scale = given["shortest_edge"] / min(height, width)
    if "longest_edge" in given:
        scale = min(scale, given["longest_edge"] / max(height, width))
    target = round_to_patch(height * scale, patch_size), round_to_patch(width * scale, patch_size)
    if target[0] * target[1] > MAX_PIXELS:
        raise ValueError(
            f"{name} of {height} x {width} pixels would become {target[0]} x {target[1]} with shortest_edge "
            f"{given['shortest_edge']}: too large for one pass. Crop it, set a longest_edge, or use a fixed size "
            "such as size={'height': 352, 'width': 352}."
        )
    return target


def input_size(size: Mapping[str, int | None]) -> tuple[int, int]:
    """(height, width) of the pictures that a `size` asks for; a square where it names the shortest edge alone."""
    given = {side: pixels for side, pixels in dict(size).items() if pixels}
    height, width = (given.get(side) or given["shortest_edge"] for side in ("height", "width"))
    return height, width


def working_size(original: tuple[int, int], shortest_edge: int) -> tuple[int, int]:
    """The size at which a visual prompt is cut out: the shorter side scaled to `shortest_edge`, the longer one to four
    times that at most. (height, width) -> (height, width), each at least 1."""
    scale = min(shortest_edge / min(original), 4 * shortest_edge / max(original))
    height, width = (max(1, round(side * scale)) for side in original)
    return height, width
