"""A look at the samples themselves: the best, the middling and the worst."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from clipseg_hf.data.rows.row_images import decode_image, undecoded
from clipseg_hf.data.rows.row_phrases import phrase_mask
from clipseg_hf.drawing.contact_sheet import Card, Line, draw_sheet, fit
from clipseg_hf.drawing.overlay import EXAMPLE, FOUND, TRUTH, Color, heat_map
from clipseg_hf.evaluation.metrics.prompt_results import PromptResults
from clipseg_hf.evaluation.protocols.prompted_model import DEFAULT_TEMPLATES, PromptedModel, resize_probabilities
from clipseg_hf.evaluation.protocols.queries import load_example

PLACE = (176, 176)  # width and height for a picture, in pixels
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
    image_prompt_weight: float | None = None,
) -> Path:
    """Ask the picked samples again and draw them: the picture with the true outline, the probabilities, the outline
    found; before them the example, where it was asked by one; below it the phrase and the IoU.

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
    picked, asked = pick_samples(result, threshold, each), (prompt, threshold, image_prompt_weight)
    with prompted.evaluating():
        bands = {
            name: [_card(prompted, rows, result.samples[n], iou, *asked) for n, iou in samples]
            for name, samples in picked.items()
        }
    title = f"{len(result.counts):,} samples {_ASKED.get(prompt, prompt)}"
    sheet = draw_sheet(bands, title, f"foreground above {threshold:g}", place=PLACE, columns=each)
    sheet.save(path)
    return Path(path)


def _card(
    prompted: PromptedModel, rows, sample: dict, iou: float, prompt: str, threshold: float, weight: float | None
) -> Card:
    row = rows[sample["row"]]
    pixels = decode_image(row["image"])[0]
    numbers = sample.get("phrase_numbers", [sample["phrase_number"]])  # a generalised prompt asks for several
    truth = np.any([phrase_mask(row["phrases"], n) for n in numbers], axis=0)
    vectors = _vectors(prompted, rows, sample, prompt, weight)
    logits = prompted.logits(prompted.encode_images([pixels]), vectors, [0])
    probabilities = resize_probabilities(logits.sigmoid(), truth.shape)[0].cpu().numpy()
    pictures = {
        "truth": _outlined(pixels, truth, TRUTH),
        "probability": fit(heat_map(Image.fromarray(pixels), probabilities), PLACE),
        "found": _outlined(pixels, probabilities > threshold, FOUND),
    }
    if prompt != "text":
        pictures = {"example": _outlined(*load_example(rows, sample["example"]), EXAMPLE), **pictures}
    return Card(pictures, [Line(sample["phrase"]), Line(f"IoU {iou:.2f}   image {sample['image_id']}", is_pale=True)])


def _outlined(pixels: np.ndarray, mask: np.ndarray, color: Color) -> Image.Image:
    """The picture with the outline of the mask, and a breath of its colour inside."""
    return fit(pixels, PLACE, [(mask, color)], opacity=0.2, halo=1)


def _vectors(prompted: PromptedModel, rows, sample: dict, prompt: str, weight: float | None):
    """The sample's prompt vector, (1, D)."""
    if prompt == "text":
        return prompted.text_vectors([sample["phrase"]])
    images = prompted.image_vectors([load_example(rows, sample["example"])])
    if prompt == "image":
        return images
    return prompted.mix(prompted.text_vectors([sample["phrase"]]), images, weight)
