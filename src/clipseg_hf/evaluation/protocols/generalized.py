"""Protocol 4, generalised prompts (paper, section 5.4): what one can do with things, how they are, what they have.

A prompt stands for several categories; its truth is the union of their masks. Training leaves out every phrase with a
word of the prompts (`clipseg_hf.data.vocabulary.concepts.GENERALISED_PROMPT_WORDS`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from clipseg_hf.data.rows.row_images import decode_image, undecoded
from clipseg_hf.data.rows.rows import only_columns
from clipseg_hf.data.vocabulary.phrases import concept_key
from clipseg_hf.evaluation.benchmarks.benchmark_classes import GENERALIZED_PROMPTS, PromptMap
from clipseg_hf.evaluation.metrics.histogram import DEFAULT_THRESHOLDS
from clipseg_hf.evaluation.metrics.prompt_results import PromptResults
from clipseg_hf.evaluation.protocols.prompted_model import PromptedModel
from clipseg_hf.evaluation.protocols.queries import Query, QueryEvaluator, batches, true_pixels


@dataclass(frozen=True)
class GeneralizedSettings:
    """What is asked, and how.

    Attributes:
        templates: sentences around the prompt.
        images_per_prompt: at most so many, evenly spread over the rows; None for all.
        thresholds: at which pixels are counted.
        batch_size: images encoded at once.
        guided_filter: let masks follow the pictures' edges, by `GuidedFilter`'s own settings.
    """

    templates: tuple[str, ...] = ("{}",)
    images_per_prompt: int | None = None
    thresholds: tuple[float, ...] = DEFAULT_THRESHOLDS
    batch_size: int = 4
    guided_filter: bool = False

    def __post_init__(self):
        if self.images_per_prompt is not None and self.images_per_prompt < 1:
            raise ValueError(f"images_per_prompt is at least 1 or None, got {self.images_per_prompt}.")


def evaluate_generalized(
    model,
    processor,
    rows: Sequence[dict],
    prompts: PromptMap = GENERALIZED_PROMPTS,
    settings: GeneralizedSettings | None = None,
    *,
    shard: tuple[int, int] = (0, 1),
    progress: bool = False,
) -> dict[str, PromptResults]:
    """Ask each prompt of the images that show one of its categories.

    Args:
        rows: see `clipseg_hf.data.rows.rows`; a phrase's name is its category.
        prompts: group -> prompt -> categories.
        shard: (rank, processes): this process takes each `processes`-th batch.

    Returns:
        {"text": results}; a sample counts to its prompt as class, with group and prompt as subsets.

    Raises:
        ValueError: no row shows any of the categories.
    """
    settings = settings or GeneralizedSettings()
    rows = undecoded(rows)
    asked = _where(rows, prompts, settings.images_per_prompt)
    if not asked:
        wanted = sorted({name for group in prompts.values() for names in group.values() for name in names})
        raise ValueError(
            f"None of the {len(rows)} rows shows a category of the prompts, such as {', '.join(wanted[:6])}: the rows' "
            "phrases should bear the names of LVIS or COCO categories, or those of the map that is given."
        )
    results = {"text": PromptResults.at(settings.thresholds)}
    prompted = PromptedModel.asked_by(model, processor, settings)
    evaluator = QueryEvaluator(prompted, rows, 0.0, results)
    numbers = sorted(asked)
    with prompted.evaluating():
        for chosen in batches(len(numbers), settings.batch_size, shard, "generalised prompts" if progress else None):
            batch = [(numbers[n], rows[numbers[n]]) for n in chosen]
            queries = [
                _make_query(image, number, row, *query)
                for image, (number, row) in enumerate(batch)
                for query in asked[number]
            ]
            evaluator.evaluate([decode_image(row["image"])[0] for _, row in batch], queries)
    return results


def _where(rows, prompts: PromptMap, limit: int | None) -> dict[int, list[tuple[str, str, list[int]]]]:
    """Row -> (group, prompt, numbers of the phrases it stands for)."""
    words = only_columns(rows, "phrases")
    found: dict[tuple[str, str], list[tuple[int, list[int]]]] = {}
    keys = {(g, p): {concept_key(name) for name in names} for g, group in prompts.items() for p, names in group.items()}
    for row in range(len(rows)):
        categories = [_category(entry["name"]) for entry in words[row]["phrases"]]
        for query, wanted in keys.items():
            matching = [n for n, category in enumerate(categories) if category in wanted]
            if matching:
                found.setdefault(query, []).append((row, matching))
    asked: dict[int, list[tuple[str, str, list[int]]]] = {}
    for (group, prompt), places in found.items():
        kept = places if limit is None else [places[n * len(places) // limit] for n in range(min(limit, len(places)))]
        for row, matching in kept:
            asked.setdefault(row, []).append((group, prompt, matching))
    return asked


def _category(name: str) -> str:
    """The key of a category's name; LVIS writes "bus_(vehicle)"."""
    return concept_key(re.sub(r"\(.*?\)", "", name.replace("_", " ")))


def _make_query(image: int, number: int, row: dict, group: str, prompt: str, matching: list[int]) -> Query:
    sample = {
        "row": number,
        "phrase_number": matching[0],
        "phrase_numbers": matching,
        "image_id": row["image_id"],
        "phrase_id": f"{prompt}: {row['phrases'][matching[0]]['phrase_id']}",
        "phrase": prompt,
    }
    truth = true_pixels(row, matching)
    return Query(image, prompt, **truth, label=prompt, subsets=(group, prompt), sample=sample)
