"""Which row belongs to which prompt and which prompt to which image; how a text and an image become one prompt."""

from typing import Any

import torch
from torch import Tensor

from clipseg_hf._counted import counted


def resolve_prompt_to_image(
    prompt_to_image: Tensor | None, num_prompts: int, num_images: int, device: torch.device | str
) -> Tensor:
    """The image that each prompt asks about, (N,), int64.

    Left out, as many prompts as images pair one to one, and a single image is asked by all prompts.

    Raises:
        ValueError: if the pairing cannot be guessed, or the one given has another length or leaves the batch.
    """
    if prompt_to_image is not None:
        return _check_rows("prompt_to_image", prompt_to_image, num_prompts, "prompt", num_images, "image").to(device)
    if num_prompts == num_images:
        return torch.arange(num_images, device=device)
    if num_images == 1:
        return torch.zeros(num_prompts, dtype=torch.long, device=device)
    raise ValueError(
        f"{counted(num_prompts, 'prompt')} for {counted(num_images, 'image')} do not pair one to one: pass "
        f"prompt_to_image, the number of the image that each of the {num_prompts} prompts asks about"
    )


def mix_prompts(
    text_embeds: Tensor | None,
    image_embeds: Tensor | None,
    text_to_prompt: Tensor | None = None,
    image_to_prompt: Tensor | None = None,
    image_prompt_weight: float | Tensor = 0.5,
    num_prompts: int | None = None,
) -> Tensor:
    """One vector for each prompt: the mean of its texts and the mean of its images, mixed.

    As in the paper's section 3, "image-text interpolation": x = a s + (1 - a) t, where s is the images' vector, t the
    texts' and a the weight. A prompt that has only one of both uses that one, whatever the weight.

    Args:
        text_embeds: (T, D) or None.
        image_embeds: (S, D) or None.
        text_to_prompt: (T,), the prompt of each text; None: text n belongs to prompt n.
        image_to_prompt: (S,), the prompt of each image; None: image n belongs to prompt n.
        image_prompt_weight: a, in [0, 1], one for all or (N,).
        num_prompts: N; None: as many as the rows speak of.

    Returns:
        (N, D).
    """
    if text_embeds is None and image_embeds is None:
        raise ValueError("no prompt: pass input_ids, conditional_pixel_values or both")
    num_prompts = _count_prompts(text_embeds, image_embeds, text_to_prompt, image_to_prompt, num_prompts)
    texts, has_text = _mean_by_prompt("text_to_prompt", text_embeds, text_to_prompt, num_prompts, "text")
    images, has_image = _mean_by_prompt("conditional_to_prompt", image_embeds, image_to_prompt, num_prompts, "image")

    weight = _check_weight(image_prompt_weight, num_prompts)
    if missing := _missing_prompts(has_text, has_image):
        raise ValueError(f"prompt(s) {missing} of {num_prompts} have neither a text nor an image")
    given = [vectors for vectors in (texts, images) if vectors is not None]
    if len(given) == 1:
        return given[0]
    texts, images = given
    weight = weight.to(images)  # (N,) or ()
    if has_text is not None:
        weight = torch.where(has_text, weight, 1.0)
    if has_image is not None:
        weight = torch.where(has_image, weight, 0.0)
    weight = weight.expand(num_prompts)[:, None]  # (N, 1)
    return weight * images + (1 - weight) * texts


def _count_prompts(
    text_embeds: Tensor | None,
    image_embeds: Tensor | None,
    text_to_prompt: Tensor | None,
    image_to_prompt: Tensor | None,
    num_prompts: int | None,
) -> int:
    """N: given, or as many as there are rows that stand for themselves, or one more than the highest number named."""
    texts = text_embeds.shape[0] if text_embeds is not None and text_to_prompt is None else None
    images = image_embeds.shape[0] if image_embeds is not None and image_to_prompt is None else None
    if texts is not None and images is not None and texts != images:
        raise ValueError(
            f"{texts} text(s) and {images} image(s) do not pair one to one: pass text_to_prompt and "
            "conditional_to_prompt, the number of the prompt that each text and each image belongs to"
        )
    for rows, name, pairing in ((texts, "text(s)", "text_to_prompt"), (images, "image(s)", "conditional_to_prompt")):
        if rows is not None and num_prompts is not None and rows != num_prompts:
            raise ValueError(
                f"{rows} {name} for {num_prompts} prompt(s): pass one for each, or say by {pairing} which prompt each "
                "belongs to"
            )
    for count in (num_prompts, texts, images):
        if count is not None:
            return count
    given = [rows for rows in (text_to_prompt, image_to_prompt) if rows is not None]
    return 1 + max((int(rows.max()) for rows in map(torch.as_tensor, given) if rows.shape[0]), default=-1)


def _mean_by_prompt(
    name: str, embeds: Tensor | None, rows: Tensor | None, num_prompts: int, noun: str
) -> tuple[Tensor | None, Tensor | None]:
    """(R, D) rows -> their means (N, D), and which of the N prompts have any, (N,) or None for all of them."""
    if embeds is None:
        return None, torch.zeros(num_prompts, dtype=torch.bool)
    if rows is None:
        return embeds, None
    rows = _check_rows(name, rows, embeds.shape[0], noun, num_prompts, "prompt").to(embeds.device)
    counts = torch.zeros(num_prompts, dtype=torch.long, device=embeds.device).index_add(0, rows, torch.ones_like(rows))
    sums = embeds.new_zeros(num_prompts, embeds.shape[1]).index_add(0, rows, embeds)
    return sums / counts.clamp(min=1)[:, None].to(sums.dtype), counts > 0


def kinds_of_prompts(
    num_prompts: int, texts: Tensor | None, images: Tensor | None, text_to_prompt: Any, image_to_prompt: Any
) -> list[str]:
    """For each prompt "text", "image" or "mixed", by which rows it has."""

    def numbers(rows: Tensor | None, owners: Any) -> set[int]:
        if rows is None:
            return set()
        return set(range(num_prompts) if owners is None else torch.as_tensor(owners).tolist())

    with_text, with_image = numbers(texts, text_to_prompt), numbers(images, image_to_prompt)
    return [
        "mixed" if n in with_text and n in with_image else "text" if n in with_text else "image"
        for n in range(num_prompts)
    ]


def _missing_prompts(has_text: Tensor | None, has_image: Tensor | None) -> list[int]:
    """Numbers of the prompts without any row; None stands for "all have one"."""
    if has_text is None or has_image is None or torch.compiler.is_compiling():
        return []
    return (~(has_text.cpu() | has_image.cpu())).nonzero()[:, 0].tolist()


def _check_rows(name: str, rows: Tensor, count: int, noun: str, limit: int, target: str) -> Tensor:
    """`rows` as int64, if there is one for each of `count` things and all are numbers of one of `limit` targets."""
    rows = torch.as_tensor(rows)
    if rows.dtype.is_floating_point or rows.dtype == torch.bool:
        raise TypeError(
            f"{name} has the type {rows.dtype}, expected integers: the number of a {target} for each {noun}"
        )
    if tuple(rows.shape) != (count,):
        raise ValueError(
            f"{name} has the shape {tuple(rows.shape)}, expected ({count},): one for each of {counted(count, noun)}"
        )
    if not torch.compiler.is_compiling() and count:
        low, high = int(rows.min()), int(rows.max())
        if low < 0 or high >= limit:
            raise ValueError(f"{name} names the {target}s {low} to {high}, but there are {limit}, numbered from 0")
    return rows.long()


def _check_weight(weight: float | Tensor, num_prompts: int) -> Tensor:
    weight = torch.as_tensor(weight)
    if weight.ndim and tuple(weight.shape) != (num_prompts,):
        raise ValueError(
            f"image_prompt_weight has the shape {tuple(weight.shape)}, expected one number or ({num_prompts},)"
        )
    if not torch.compiler.is_compiling() and not bool(((weight >= 0) & (weight <= 1)).all()):
        raise ValueError(
            f"image_prompt_weight={weight.tolist()} must be in [0, 1]: 0 is the text alone, 1 the image alone"
        )
    return weight
