"""A look at the samples themselves: the best, the middling and the worst."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from clipseg_hf.data.inspection_sheet import cut_to_width
from clipseg_hf.data.rows.row_images import decode_image, undecoded
from clipseg_hf.drawing.fonts import font_for
from clipseg_hf.evaluation.metrics.prompt_results import PromptResults
from clipseg_hf.evaluation.protocols.prompted_model import DEFAULT_TEMPLATES, PromptedModel, resize_probabilities
from clipseg_hf.evaluation.protocols.queries import load_example
from clipseg_hf.processing.masks.rle import decode_rle

TILE = 176  # pixels, the longer side of a picture
_GAP, _LINE, _SIZE = 10, 19, 14
_TRUTH, _FOUND, _EXAMPLE = (34, 197, 94), (239, 68, 68), (37, 99, 235)  # green, red, blue
_PAPER = (243, 244, 246)
_ASKED = {"text": "asked by text", "image": "asked by the example alone", "mix": "asked by text and example"}


def pick_samples(result: PromptResults, threshold: float, each: int = 4) -> dict[str, list[tuple[int, float]]]:
    """Numbers and IoUs of the best, median and worst samples, at most one of an image in each group."""
    ious = result.counts.per_sample(threshold)
    order = np.argsort(-ious, kind="stable")
    from_the_middle = sorted(order, key=lambda n: abs(ious[n] - np.median(ious)))
    ranked = {"best": order, "median": from_the_middle, "worst": order[::-1]}
    picked: dict[str, list[tuple[int, float]]] = {}
    for name, numbers in ranked.items():
        images: dict[str, int] = {}
        for n in numbers:
            if len(images) < each:
                images.setdefault(result.samples[n]["image_id"], int(n))
        picked[name] = [(n, float(ious[n])) for n in images.values()]
    return picked


def draw_contact_sheet(
    model,
    processor,
    rows,
    result: PromptResults,
    path: str | Path,
    *,
    prompt: str = "text",
    threshold: float = 0.5,
    each: int = 4,
    templates: Sequence[str] = DEFAULT_TEMPLATES,
    image_prompt_weight: float = 0.5,
) -> Path:
    """Ask the picked samples again and draw them: the picture with the true outline, the probabilities, the outline
    found; before them the example, where it was asked by one; above it the phrase and the IoU.

    Args:
        rows, result, templates, image_prompt_weight: what was evaluated, and how.
        path: of the picture.
        prompt: the kind of prompt that `result` is of: "text", "image" or "mix".
        threshold: above which a pixel is foreground.
        each: how many best, how many median and how many worst.

    Raises:
        ValueError: no samples.
    """
    if not len(result.counts):
        raise ValueError(f"There is nothing to draw: nothing was asked by {prompt!r}.")
    rows = undecoded(rows)
    prompted = PromptedModel(model, processor, templates)
    picked = pick_samples(result, threshold, each)
    width = (3 if prompt == "text" else 4) * (TILE + 2) - 2
    columns = max(len(samples) for samples in picked.values())
    height = TILE + 3 * _LINE + _GAP  # of a band
    head = 2 * _GAP + _LINE
    sheet = Image.new("RGB", (columns * (width + 2 * _GAP), head + len(picked) * (height + _GAP)), "white")
    title = f"{len(result.counts):,} samples {_ASKED.get(prompt, prompt)}, foreground above {threshold:g}"
    _write(sheet, (_GAP, _GAP), title, limit=sheet.width - 2 * _GAP)
    with prompted.evaluating():
        for band, (name, samples) in enumerate(picked.items()):
            top = head + band * (height + _GAP)
            _write(sheet, (_GAP, top), name, bold=True)
            for column, (number, iou) in enumerate(samples):
                panel = _panel(prompted, rows, result.samples[number], prompt, threshold, image_prompt_weight)
                left = _GAP + column * (width + 2 * _GAP)
                _write(sheet, (left, top + _LINE), f"{result.samples[number]['phrase']}", limit=width)
                caption = f"IoU {iou:.2f}   image {result.samples[number]['image_id']}"
                _write(sheet, (left, top + 2 * _LINE), caption, limit=width)
                sheet.paste(panel, (left, top + 3 * _LINE))
    sheet.save(path)
    return Path(path)


def _panel(prompted: PromptedModel, rows, sample: dict, prompt: str, threshold: float, weight: float) -> Image.Image:
    row = rows[sample["row"]]
    pixels = decode_image(row["image"])[0]
    numbers = sample.get("phrase_numbers", [sample["phrase_number"]])  # a generalised prompt asks for several
    truth = np.any([decode_rle(row["phrases"][n]["mask"]) for n in numbers], axis=0)
    vectors = _vectors(prompted, rows, sample, prompt, weight)
    logits = prompted.logits(prompted.encode_images([pixels]), vectors, [0])
    probabilities = resize_probabilities(logits.sigmoid(), truth.shape)[0].cpu().numpy()
    tiles = {
        "truth": _outlined(pixels, truth, _TRUTH),
        "probability": _heat(probabilities),
        "found": _outlined(pixels, probabilities > threshold, _FOUND),
    }
    if prompt != "text":
        tiles = {"example": _outlined(*load_example(rows, sample["example"]), _EXAMPLE), **tiles}
    panel = Image.new("RGB", (len(tiles) * (TILE + 2) - 2, TILE), "white")
    for n, (title, tile) in enumerate(tiles.items()):
        left = n * (TILE + 2)
        panel.paste(_PAPER, (left, 0, left + TILE, TILE))
        panel.paste(tile, (left + (TILE - tile.width) // 2, (TILE - tile.height) // 2))
        _write(panel, (left + 4, TILE - _LINE), title, halo=True)
    return panel


def _vectors(prompted: PromptedModel, rows, sample: dict, prompt: str, weight: float):
    """The sample's prompt vector, (1, D)."""
    if prompt == "text":
        return prompted.text_vectors([sample["phrase"]])
    images = prompted.image_vectors([load_example(rows, sample["example"])])
    return images if prompt == "image" else weight * images + (1 - weight) * prompted.text_vectors([sample["phrase"]])


def _outlined(pixels: np.ndarray, mask: np.ndarray, color: tuple[int, int, int]) -> Image.Image:
    """The picture with the outline of the mask, and a breath of its colour inside."""
    size = _fit(mask.shape)
    picture = np.asarray(Image.fromarray(pixels).convert("RGB").resize(size), dtype=np.float32)
    inside = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    picture[inside] = 0.8 * picture[inside] + 0.2 * np.array(color)
    within = _shrink(_shrink(inside))
    picture[inside & ~within] = color
    picture[within & ~_shrink(within)] = 255  # seen on any ground, the colour alone is not
    return Image.fromarray(picture.astype(np.uint8))


def _shrink(mask: np.ndarray) -> np.ndarray:
    """The mask without its outermost pixels; the picture's border is no edge."""
    around = np.pad(mask, 1, mode="edge")
    return mask & around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]


def _heat(probabilities: np.ndarray) -> Image.Image:
    """Probabilities as shades from white to blue."""
    size = _fit(probabilities.shape)
    values = np.asarray(Image.fromarray(probabilities.astype(np.float32)).resize(size))[..., None]
    shades = (1 - values) * 255 + values * np.array([30, 64, 175])
    return Image.fromarray(shades.clip(0, 255).astype(np.uint8))


def _fit(shape: tuple[int, int]) -> tuple[int, int]:
    """(height, width) -> (width, height) of the picture on its tile."""
    height, width = shape
    scale = TILE / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _write(
    sheet: Image.Image,
    place: tuple[int, int],
    text: str,
    limit: int | None = None,
    bold: bool = False,
    halo: bool = False,
) -> None:
    """Write a line, cut to a width in pixels; with a halo it can be read on a picture."""
    draw, font = ImageDraw.Draw(sheet), font_for(text, _SIZE)
    if limit is not None:
        text = cut_to_width(draw, text, font, limit)
    stroke = {"stroke_width": 2, "stroke_fill": "white"} if halo else {"stroke_width": 0.4 if bold else 0}
    draw.text(place, text, fill="black", font=font, **stroke)
