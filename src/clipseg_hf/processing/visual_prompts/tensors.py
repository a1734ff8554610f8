"""Visual prompts of batches of tensors: pure functions, differentiable in the pixels where that makes sense."""

import torch

from clipseg_hf.processing.visual_prompts.settings import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    LUMA,
    RED,
    Statistics,
    VisualPromptSettings,
)


def make_visual_prompt(
    images: torch.Tensor,
    masks: torch.Tensor,
    size: int | tuple[int, int] | None = None,
    *,
    crop: bool = True,
    context: float = 0.1,
    blur: bool = True,
    background: float = 0.1,
    highlight: str = "dim",
    outline_width: int = 3,
    image_mean: Statistics = IMAGENET_MEAN,
    image_std: Statistics = IMAGENET_STD,
) -> torch.Tensor:
    """Make visual prompts of pictures and the masks of their objects.

    Args:
        images: (N, 3, H, W) normalised pictures, float.
        masks: (N, H, W) the object of each: bool, or numbers in [0, 1].
        size: (height, width) of the prompts, or one number for both; None keeps H x W and is for `crop=False`.
        crop, context, blur, background, highlight, outline_width: see `VisualPromptSettings`.
        image_mean, image_std: with what the pictures were normalised; only the red highlights need to know.

    Returns:
        (N, 3, h, w) visual prompts, normalised, resized by nearest neighbour as in the original.

    Raises:
        ValueError: shapes that do not fit, a mask that is empty or outside [0, 1], a crop without a size, a
            misspelt highlight.
        TypeError: pictures that are not float (normalise them first).
    """
    settings = VisualPromptSettings(crop, context, blur, background, highlight, outline_width)
    masks = _check(images, masks)
    boxes = object_boxes(masks, settings.context)  # refuses empty masks
    if settings.highlight == "red":
        images = dye_red(images, masks, image_mean, image_std)
    elif settings.highlight == "outline":
        images = outline_red(images, masks, image_mean, image_std, settings.outline_width)
    elif settings.blur or settings.background != 1:
        images = dim_background(images, masks, settings.background, settings.blur)
    if settings.crop:
        if size is None:
            raise ValueError("Cropped visual prompts need a size: objects differ in theirs. Pass size=(h, w).")
        return crop_and_resize(images, boxes, size)
    if size is None:
        return images
    height, width = images.shape[-2:]
    whole = torch.tensor([[0, 0, width, height]], device=images.device).expand(len(images), 4)
    return crop_and_resize(images, whole, size, keep_aspect=False)


def dim_background(images: torch.Tensor, masks: torch.Tensor, factor: float = 0.1, blur: bool = True) -> torch.Tensor:
    """(N, 3, H, W), (N, H, W) -> image * mask + factor * (blurred or plain image) * (1 - mask)."""
    inside = masks.unsqueeze(1)  # (N, H, W) -> (N, 1, H, W)
    rest = factor * (gaussian_blur(images) if blur else images)
    if masks.dtype == torch.bool:
        return torch.where(inside, images, rest)
    return torch.lerp(rest, images, inside.to(images.dtype))


def gaussian_blur(images: torch.Tensor, kernel_size: int = 15, sigma: float = 3.0) -> torch.Tensor:
    """Blur (..., H, W) by a Gaussian, one axis after the other; at the borders the picture is mirrored without
    repeating the edge pixel (reflect-101), also where it is smaller than the kernel."""
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size is odd and positive, got {kernel_size}.")
    offsets = torch.arange(kernel_size, dtype=torch.float64) - kernel_size // 2
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    shares = (weights / weights.sum()).tolist()
    return _smooth(_smooth(images, shares, -1), shares, -2)


def _smooth(images: torch.Tensor, weights: list[float], axis: int) -> torch.Tensor:
    # A sum of shifted views: several times faster on a CPU than a depthwise convolution, and linear in the pixels.
    length, radius = images.shape[axis], len(weights) // 2
    padded = images.index_select(axis, _reflect_101(length, radius, images.device))
    total = padded.narrow(axis, radius, length) * weights[radius]
    for i in range(radius):  # the kernel is symmetric
        pair = padded.narrow(axis, i, length) + padded.narrow(axis, 2 * radius - i, length)
        total.add_(pair, alpha=weights[i])
    return total


def _reflect_101(length: int, radius: int, device: torch.device) -> torch.Tensor:
    """Source index of each place of an axis of `length`, padded by `radius` on both sides: 2 1 | 0 1 2 3 | 2 1."""
    places = torch.arange(-radius, length + radius, device=device)
    period = max(2 * (length - 1), 1)
    places = places % period
    return torch.where(places < length, places, period - places)


def object_boxes(masks: torch.Tensor, context: float = 0.0) -> torch.Tensor:
    """The box around each mask, widened by `context` of its width and height on each side.

    Args:
        masks: (N, H, W), bool or numbers; what is not 0 is object.
        context: share of the box's size.

    Returns:
        (N, 4) int64: left, top, right, bottom in pixels, right and bottom exclusive, cut off at the border.

    Raises:
        ValueError: a mask is empty; the message says which.
    """
    masks = masks if masks.dtype == torch.bool else masks != 0
    left, right = _extent(masks.any(dim=1))  # (N, H, W) -> (N, W) -> (N,)
    top, bottom = _extent(masks.any(dim=2))  # (N, H, W) -> (N, H) -> (N,)
    _refuse_empty(left < right)
    wider, higher = context * (right - left), context * (bottom - top)
    boxes = torch.stack((left - wider, top - higher, right + wider, bottom + higher), dim=1)
    height, width = masks.shape[-2:]
    limits = torch.tensor([width, height, width, height], device=masks.device)
    return torch.minimum(boxes.clamp(min=0).long(), limits)


def _extent(hit: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, L) bool -> first hit and one past the last hit, (N,) float64 each; L and 0 where there is none."""
    places = torch.arange(hit.shape[1], device=hit.device)
    first = torch.where(hit, places, hit.shape[1]).amin(dim=1)
    last = torch.where(hit, places, -1).amax(dim=1) + 1
    return first.double(), last.double()


def crop_and_resize(
    images: torch.Tensor, boxes: torch.Tensor, size: int | tuple[int, int], *, keep_aspect: bool = True
) -> torch.Tensor:
    """Cut one box out of each image and bring it to one size by nearest neighbour.

    Args:
        images: (N, C, H, W).
        boxes: (N, 4) left, top, right, bottom; right and bottom exclusive.
        size: (height, width) of the result, or one number for both.
        keep_aspect: pad the box with zeros (the mean colour of a normalised image) to the shape of `size`, the smaller
            half before it; else stretch it.

    Returns:
        (N, C, h, w).
    """
    # what lies outside of the box is taken from a row and a column of zeros, added at the end
    rows, columns = (
        torch.where(places < 0, extent, places)
        for places, extent in zip(nearest_places(boxes, size, keep_aspect=keep_aspect), images.shape[2:], strict=True)
    )
    padded = torch.nn.functional.pad(images, (0, 1, 0, 1))
    # one axis after the other, several times faster on a CPU than one index for each pixel
    taken = [image.index_select(2, x).index_select(1, y) for image, y, x in zip(padded, rows, columns, strict=True)]
    return torch.stack(taken) if taken else images.new_empty(0, images.shape[1], rows.shape[1], columns.shape[1])


def nearest_places(
    boxes: torch.Tensor, size: int | tuple[int, int], *, keep_aspect: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where `crop_and_resize` takes its pixels from: for each box the source rows (N, h) and columns (N, w), -1 for
    what is outside of the box. The arguments are the same."""
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"A visual prompt's size is at least 1 x 1, got {height} x {width}.")
    left, top, right, bottom = boxes.unbind(1)
    box_height, box_width = bottom - top, right - left
    if keep_aspect:  # smallest frame of the shape height : width that the box fits in
        frame_height = torch.maximum(box_height, -(-box_width * height // width))
        frame_width = torch.maximum(box_width, -(-box_height * width // height))
    else:
        frame_height, frame_width = box_height, box_width
    return _nearest(top, box_height, frame_height, height), _nearest(left, box_width, frame_width, width)


def _nearest(start: torch.Tensor, length: torch.Tensor, frame: torch.Tensor, size: int) -> torch.Tensor:
    """For each of `size` places of a frame around [start, start + length): the source index, or -1 where the frame is
    wider. (N,) each -> (N, size)."""
    scale = frame.float()[:, None] / size  # float32, as in torch's own nearest neighbour
    places = (torch.arange(size, device=start.device)[None] * scale).floor().long()
    places = torch.minimum(places, frame[:, None] - 1) - ((frame - length) // 2)[:, None]
    inside = (places >= 0) & (places < length[:, None])
    return torch.where(inside, start[:, None] + places, -1)


def dye_red(
    images: torch.Tensor, masks: torch.Tensor, mean: Statistics = IMAGENET_MEAN, std: Statistics = IMAGENET_STD
) -> torch.Tensor:
    """The object in red, the rest grey: grey * (1, 0.2, 0.2) inside and grey outside, in [0, 1], normalised again."""
    mean_color, deviation, red = (_channels(values, images) for values in (mean, std, RED))
    inside = masks.to(images.dtype).unsqueeze(1)
    plain = (images * deviation + mean_color).clamp(0, 1)
    grey = (plain * _channels(LUMA, images)).sum(dim=1, keepdim=True)  # (N, 3, H, W) -> (N, 1, H, W)
    return (grey * (red * inside + (1 - inside)) - mean_color) / deviation


def outline_red(
    images: torch.Tensor,
    masks: torch.Tensor,
    mean: Statistics = IMAGENET_MEAN,
    std: Statistics = IMAGENET_STD,
    width: int = 3,
) -> torch.Tensor:
    """A red line of `width` pixels just outside of the object. (The paper shows one; its exact shape is ours.)"""
    mean_color, deviation, red = (_channels(values, images) for values in (mean, std, RED))
    inside = (masks != 0).to(images.dtype).unsqueeze(1)  # (N, 1, H, W)
    grown = torch.nn.functional.max_pool2d(inside, 2 * width + 1, stride=1, padding=width)
    line = grown - inside
    return images * (1 - line) + (red - mean_color) / deviation * line


def _channels(values: Statistics, like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, 3, 1, 1)


def _check(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"Visual prompts are made of images of shape (N, 3, H, W), got {tuple(images.shape)}.")
    if not images.is_floating_point():
        raise TypeError(f"Visual prompts are made of normalised images (float), got {images.dtype}.")
    if masks.shape != (images.shape[0], *images.shape[2:]):
        raise ValueError(
            f"Masks of shape {tuple(masks.shape)} do not fit images of shape {tuple(images.shape)}: "
            f"expected {(images.shape[0], *images.shape[2:])}, one mask of the image's own size for each."
        )
    if masks.numel() and masks.dtype != torch.bool and not (masks.min() >= 0 and masks.max() <= 1):
        raise ValueError(
            f"Masks hold values in [0, 1], got {masks.min().item():g} to {masks.max().item():g}; "
            "divide a 0/255 mask by 255, or compare it (mask > 127)."
        )
    return masks


def _refuse_empty(has_object: torch.Tensor) -> None:
    """Raise for the masks (N,) that have no object."""
    if not has_object.all():
        empty = (~has_object).nonzero().flatten().tolist()
        raise ValueError(
            f"The mask of visual prompt {', '.join(map(str, empty))} (counted from 0) is empty: it has to mark the "
            "object to look for with at least one pixel. For a whole image as prompt pass no mask."
        )
