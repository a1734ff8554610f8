"""Pictures -> pixel values: the image processor, told the size of each picture; visual prompts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from clipseg_hf.processing.images import ImageLike, load_image
from clipseg_hf.processing.masks.mask_files import load_map, read_mask
from clipseg_hf.processing.masks.mask_images import resize_map
from clipseg_hf.processing.pixel_arrays import is_array, scale_to_255, to_planes
from clipseg_hf.processing.sizes import resized_size, round_to_patch, working_size
from clipseg_hf.processing.visual_prompts.arrays import draw_visual_prompt
from clipseg_hf.processing.visual_prompts.settings import VisualPromptSettings


class PixelReader:
    """An image processor with the options of one call.

    Args:
        image_processor: of transformers, or `PlainImageProcessor`; for resizing, rescaling and normalising.
        options: what the call overrides in it.
        patch_size: of the model.
    """

    def __init__(self, image_processor: Any, options: Mapping[str, Any], patch_size: int):
        self.image_processor = image_processor
        self.options = {key: value for key, value in options.items() if key not in ("return_tensors", "size")}
        self.patch_size = patch_size
        self.size = self._standard_size(options.get("size"))
        self.do_resize = self._option("do_resize")
        self.do_rescale = self._option("do_rescale")
        self.do_center_crop = self._option("do_center_crop")

    def _option(self, name: str) -> Any:
        value = self.options.get(name)
        return getattr(self.image_processor, name, None) if value is None else value

    def _standard_size(self, size: Any) -> dict[str, int]:
        size = self.image_processor.size if size is None else size
        if isinstance(size, int):
            size = {"height": size, "width": size}
        elif isinstance(size, (list, tuple)):
            size = {"height": size[0], "width": size[1]}
        return {key: value for key, value in dict(size).items() if value is not None}

    def load(self, image: ImageLike, name: str) -> Image.Image | np.ndarray:
        """-> an upright RGB picture; or (3, H, W) numbers as they came, where nobody will rescale them."""
        layout = self.options.get("input_data_format")
        if is_array(image):
            if not self.do_rescale:
                return to_planes(image, name, layout)
            if not self.do_resize and "float" in str(image.dtype):  # no need to round to 8 bits
                return scale_to_255(to_planes(image, name, layout), name)
        return load_image(image, name, layout)

    def target_size(self, original: tuple[int, int], name: str) -> tuple[int, int]:
        """The size that a picture is brought to."""
        return resized_size(original, self.size, self.patch_size, name) if self.do_resize else original

    def prompt_size(self) -> tuple[int, int]:
        """The one size of all visual prompts; a square where queries keep their aspect ratio."""
        if self.size.get("shortest_edge"):
            side = round_to_patch(self.size["shortest_edge"], self.patch_size)
            return side, side
        return resized_size((1, 1), self.size, self.patch_size)

    def pixel_values(self, pictures: list, sizes: list[tuple[int, int]]) -> list[np.ndarray]:
        """Loaded pictures and the sizes they are brought to -> (3, h, w) arrays."""
        if self.do_center_crop:  # the crop decides on the size, and resizing is the image processor's own
            return self._process(pictures, self.size)
        if len(set(sizes)) == 1:
            return self._process(pictures, {"height": sizes[0][0], "width": sizes[0][1]})
        return [
            self._process([picture], {"height": height, "width": width})[0]
            for picture, (height, width) in zip(pictures, sizes, strict=True)
        ]

    def _process(self, pictures: list, size: dict[str, int], **more: Any) -> list[np.ndarray]:
        options = self.options | {"size": size} | more
        if any(is_array(picture) for picture in pictures):
            options["input_data_format"] = "channels_first"
        return list(self.image_processor(pictures, **options)["pixel_values"])

    def visual_prompts(
        self, examples: list[tuple[ImageLike, Any, str]], settings: VisualPromptSettings
    ) -> list[np.ndarray]:
        """(picture, mask or None, name) each -> (3, h, w) arrays of one size.

        As in the original, a picture is first brought to the model's scale - its shorter side to that of the prompt,
        unless `do_resize` is off -, so that the blur has the same strength whatever camera took it.
        """
        return [self._visual_prompt(*example, settings) for example in examples]

    def _visual_prompt(self, image: ImageLike, mask: Any, name: str, settings: VisualPromptSettings) -> np.ndarray:
        picture, size = self.load(image, name), self.prompt_size()
        if mask is None:
            return self.pixel_values([picture], [size if self.do_resize else size_of(picture)])[0]
        values = _prompt_mask(mask, size_of(picture), name)
        work = size_of(picture)
        if self.do_resize:
            work = working_size(work, min(size)) if settings.crop else size
        (pixels,) = self._process([picture], {"height": work[0], "width": work[1]}, do_center_crop=False)
        return draw_visual_prompt(
            np.asarray(pixels, dtype=np.float32),
            _shrink_mask(values, work),
            size if settings.crop or self.do_resize else None,
            settings,
            self.image_processor.image_mean,
            self.image_processor.image_std,
        )


def size_of(picture: Image.Image | np.ndarray) -> tuple[int, int]:
    """(height, width) of a loaded picture."""
    return (picture.height, picture.width) if isinstance(picture, Image.Image) else picture.shape[-2:]


def _prompt_mask(mask: Any, picture_size: tuple[int, int], name: str) -> np.ndarray:
    """-> (H, W) float32 in [0, 1]."""
    name = name.replace("visual_prompt", "visual_prompt_masks", 1)
    values = load_map(mask, name)
    if values.shape != tuple(picture_size):
        raise ValueError(
            f"{name} is {values.shape[0]} x {values.shape[1]} pixels (height x width), but its picture is "
            f"{picture_size[0]} x {picture_size[1]} after its EXIF rotation: they have to agree."
        )
    inside = read_mask(values, name)
    if not inside.any():
        raise ValueError(
            f"{name} is empty: it has to mark the object to look for with at least one pixel. For the whole picture "
            "as prompt give None as its mask."
        )
    return inside


def _shrink_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) -> (h, w) by nearest neighbour; an object so small that this misses it keeps the pixels it touches."""
    resized = resize_map(mask, size)
    if not resized.any():
        for axis, (old, new) in enumerate(zip(mask.shape, size, strict=True)):
            parts = [mask.take(range(n * old // new, -(-(n + 1) * old // new)), axis).max(axis) for n in range(new)]
            mask = np.stack(parts, axis)
        resized = mask
    return resized
