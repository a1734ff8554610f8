"""A look at the samples themselves: the best, the middling and the worst."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from clipseg_hf.data.images import decode_image, undecoded
from clipseg_hf.evaluation.prompting import DEFAULT_TEMPLATES, PromptedModel, load_example, resize_probabilities
from clipseg_hf.evaluation.results import PromptResults
from clipseg_hf.processing.rle import decode_rle

TILE = 176  # pixels, height and width of a picture
_GAP, _LINE = 8, 18
_TRUTH, _FOUND = (34, 197, 94), (239, 68, 68)  # green, red


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
    found; above it the phrase and the IoU.

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
    width = 3 * TILE + 2 * 2  # picture and truth, probabilities, found
    columns = max(len(samples) for samples in picked.values())
    height = TILE + 2 * _LINE
    sheet = Image.new("RGB", (columns * (width + 2 * _GAP), len(picked) * (height + _LINE + _GAP) + _GAP), "white")
    with prompted.evaluating():
        for band, (name, samples) in enumerate(picked.items()):
            top = _GAP + band * (height + _LINE + _GAP)
            _write(sheet, (_GAP, top), name, bold=True)
            for column, (number, iou) in enumerate(samples):
                panel = _panel(prompted, rows, result.samples[number], prompt, threshold, image_prompt_weight)
                left = _GAP + column * (width + 2 * _GAP)
                _write(sheet, (left, top + _LINE), f"{result.samples[number]['phrase']}", limit=width)
                _write(sheet, (left, top + 2 * _LINE), f"IoU {iou:.2f}   image {result.samples[number]['image_id']}")
                sheet.paste(panel, (left, top + 3 * _LINE))
    sheet.save(path)
    return Path(path)


def _panel(prompted: PromptedModel, rows, sample: dict, prompt: str, threshold: float, weight: float) -> Image.Image:
    row = rows[sample["row"]]
    pixels = decode_image(row["image"])[0]
    truth = decode_rle(row["phrases"][sample["phrase_number"]]["mask"])
    vectors = _vectors(prompted, rows, sample, prompt, weight)
    logits = prompted.logits(prompted.encode_images([pixels]), vectors, [0])
    probabilities = resize_probabilities(logits.sigmoid(), truth.shape)[0].cpu().numpy()
    panel = Image.new("RGB", (3 * TILE + 4, TILE), "white")
    tiles = (
        _outlined(pixels, truth, _TRUTH),
        _heat(probabilities),
        _outlined(pixels, probabilities > threshold, _FOUND),
    )
    for n, tile in enumerate(tiles):
        panel.paste(tile, (n * (TILE + 2), 0))
    return panel


def _vectors(prompted: PromptedModel, rows, sample: dict, prompt: str, weight: float):
    """The sample's prompt vector, (1, D)."""
    if prompt == "text":
        return prompted.text_vectors([sample["phrase"]])
    images = prompted.image_vectors([load_example(rows, sample["example"])])
    return images if prompt == "image" else weight * images + (1 - weight) * prompted.text_vectors([sample["phrase"]])


def _outlined(pixels: np.ndarray, mask: np.ndarray, color: tuple[int, int, int]) -> Image.Image:
    """The picture, tinted inside of the mask, with its outline."""
    picture = np.asarray(Image.fromarray(pixels).convert("RGB").resize((TILE, TILE)), dtype=np.float32)
    inside = np.asarray(Image.fromarray(mask).resize((TILE, TILE), Image.Resampling.NEAREST))
    grown = np.pad(inside, 1)
    edge = inside & ~(grown[:-2, 1:-1] & grown[2:, 1:-1] & grown[1:-1, :-2] & grown[1:-1, 2:])
    picture[inside] = 0.6 * picture[inside] + 0.4 * np.array(color)
    picture[edge] = color
    return Image.fromarray(picture.astype(np.uint8))


def _heat(probabilities: np.ndarray) -> Image.Image:
    """Probabilities as shades from white to blue."""
    values = np.asarray(Image.fromarray(probabilities.astype(np.float32)).resize((TILE, TILE)))[..., None]
    shades = (1 - values) * 255 + values * np.array([30, 64, 175])
    return Image.fromarray(shades.clip(0, 255).astype(np.uint8))


def _write(sheet: Image.Image, place: tuple[int, int], text: str, limit: int | None = None, bold: bool = False) -> None:
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    if limit is not None and draw.textlength(text, font=font) > limit:
        while text and draw.textlength(text + " ...", font=font) > limit:
            text = text[:-1]
        text += " ..."
    draw.text(place, text, fill="black", font=font, stroke_width=0.3 if bold else 0, stroke_fill="black")
