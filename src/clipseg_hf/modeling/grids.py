"""The grid of patches that an image is cut into."""

from typing import Any


def patch_grid(pixel_values: Any, patch_size: int, name: str = "pixel_values") -> tuple[int, int]:
    """Rows and columns of patches in (B, 3, H, W) images, a tensor or an array.

    Raises:
        ValueError: if the images are not such a batch, or the patch size does not divide H and W; the text names the
            nearest sizes that work.
    """
    if pixel_values.ndim != 4:
        raise ValueError(
            f"{name} have the shape {tuple(pixel_values.shape)}, expected (images, channels, height, width)"
        )
    height, width = pixel_values.shape[2:]
    if height % patch_size or width % patch_size or not height or not width:
        near = " or ".join(f"{h} x {w}" for h, w in dict.fromkeys(_near_sizes(height, width, patch_size)))
        raise ValueError(
            f"{name} are {height} x {width}, but height and width must be multiples of the patch size {patch_size}: "
            f"resize them to {near}"
        )
    return height // patch_size, width // patch_size


def _near_sizes(height: int, width: int, patch_size: int) -> list[tuple[int, int]]:
    down_height, down_width = (max(side // patch_size, 1) * patch_size for side in (height, width))
    up_height, up_width = (-(-max(side, 1) // patch_size) * patch_size for side in (height, width))
    return [(down_height, down_width), (up_height, up_width)]
