"""Protocol 1, referring expressions (paper, section 5.1): phrases about images, asked by text, by example, by both.

Any rows will do. Each image is encoded once, whatever is asked of it. Examples come from other images with the same
phrase, never from the query. Absent phrases tell how well the model knows that a thing is not there.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from clipseg_hf.data.images import decode_image, undecoded
from clipseg_hf.data.phrase_index import PhraseIndex
from clipseg_hf.data.sampling import generator_for
from clipseg_hf.evaluation.histogram import DEFAULT_THRESHOLDS
from clipseg_hf.evaluation.prompting import (
    DEFAULT_TEMPLATES,
    PromptedModel,
    load_example,
    resize_masks,
    resize_probabilities,
)
from clipseg_hf.evaluation.results import PromptResults
from clipseg_hf.processing.postprocessing import presence_scores
from clipseg_hf.processing.rle import decode_rle

PROMPT_KINDS = ("text", "image", "mix")
SHARED = "shared"  # subset of the phrases asked by text that other images have too: those that images can ask for

SubsetFunction = Callable[[dict, dict], Iterable[str]]


@dataclass(frozen=True)
class ReferringSettings:
    """What is asked, and how.

    Attributes:
        prompts: which of "text", "image" and "mix". Images and mixtures are asked of phrases that another image has.
        templates: sentences around the phrase; vectors of several are averaged.
        image_prompt_weight: a in x = a s + (1 - a) t, for "mix".
        negatives_per_image: absent phrases asked of each image.
        thresholds: at which pixels are counted.
        boundary_thresholds: at which the masks' rims are compared; () for not at all.
        batch_size: images encoded at once.
        seed: of the examples and the absent phrases; the same for every model that is to be compared.
    """

    prompts: tuple[str, ...] = PROMPT_KINDS
    templates: tuple[str, ...] = DEFAULT_TEMPLATES
    image_prompt_weight: float = 0.5
    negatives_per_image: int = 1
    thresholds: tuple[float, ...] = DEFAULT_THRESHOLDS
    boundary_thresholds: tuple[float, ...] = (0.3, 0.5)
    batch_size: int = 4
    seed: int = 0

    def __post_init__(self):
        unknown = [kind for kind in self.prompts if kind not in PROMPT_KINDS]
        if isinstance(self.prompts, str) or unknown or not self.prompts:
            raise ValueError(f"prompts are some of {', '.join(PROMPT_KINDS)}, got {self.prompts!r}.")
        if not 0 <= self.image_prompt_weight <= 1:
            raise ValueError(f"image_prompt_weight is in [0, 1], got {self.image_prompt_weight}.")
        if self.negatives_per_image < 0 or self.batch_size < 1:
            raise ValueError(
                f"negatives_per_image is at least 0 and batch_size at least 1, got {self.negatives_per_image} and "
                f"{self.batch_size}."
            )


class Question(NamedTuple):
    """A phrase asked of one image of a batch."""

    image: int  # its number in the batch
    entry: dict  # of a row's phrases: the image's own, or for an absent phrase one of another row's
    number: int | None  # of the image's phrase; None for an absent one
    example: tuple[int, int] | None  # (row, phrase number) of another image with the phrase
    subsets: tuple[str, ...]


def evaluate_referring(
    model,
    processor,
    rows: Sequence[dict],
    settings: ReferringSettings | None = None,
    *,
    subsets: SubsetFunction | None = None,
    index: PhraseIndex | None = None,
    shard: tuple[int, int] = (0, 1),
    progress: bool = False,
) -> dict[str, PromptResults]:
    """Ask all phrases of all rows.

    Args:
        model, processor: a `CLIPSegForImageSegmentation` and its `CLIPSegProcessor`.
        rows: see `clipseg_hf.data.rows`.
        subsets: (row, phrase entry) -> names of the subsets that the phrase belongs to; numbers come for each. An
            absent phrase counts to the subsets that it has where it was taken from. By text there is "shared" besides:
            the phrases that are asked by image, too.
        index: of the rows, where it is at hand.
        shard: (rank, processes): this process takes each `processes`-th batch. Merge the results; the numbers are
            those of one process, exactly.
        progress: show a bar.

    Returns:
        Kind of prompt -> results.

    Raises:
        ValueError: no rows, or no phrase of them occurs on two images though prompts by image alone are asked.
    """
    settings = settings or ReferringSettings()
    if not len(rows):
        raise ValueError("There are no rows to evaluate on: is the split empty, or did a filter drop all of them?")
    asker = _Asker(rows, settings, subsets, PhraseIndex(rows) if index is None else index)
    prompted = PromptedModel(model, processor, settings.templates)
    results = {kind: PromptResults.at(settings.thresholds, settings.boundary_thresholds) for kind in settings.prompts}
    rank, processes = shard
    # Whole batches are dealt out, so that an image has the same company, and the same last bits, in every process.
    batches = [range(len(rows))[n : n + settings.batch_size] for n in range(0, len(rows), settings.batch_size)]
    with prompted.evaluating():
        for batch in _with_progress(batches[rank::processes], progress):
            _evaluate_batch(prompted, asker, list(batch), settings, results)
    if processes == 1 and not any(result.samples for result in results.values()):
        raise ValueError(
            f"Nothing could be asked by {' or '.join(settings.prompts)}: no phrase of the {len(rows)} rows occurs on "
            "two images, so that there are no examples. Add rows, or ask by text."
        )
    return results


def summarize(results: dict[str, PromptResults], at: Iterable[float] = (0.3, 0.5), flavor: str = "default") -> dict:
    """Kind of prompt -> subset -> numbers; see `PromptResults.summary`."""
    return {kind: result.summary(tuple(at), flavor) for kind, result in results.items()}


class _Asker:
    """Draws the questions of a row: its own phrases, absent ones, and an example for each."""

    def __init__(self, rows, settings: ReferringSettings, subsets: SubsetFunction | None, index: PhraseIndex):
        self.rows, self.settings, self.subsets, self.index = undecoded(rows), settings, subsets, index

    def questions(self, number: int, row: dict, image: int) -> list[Question]:
        generator = generator_for(self.settings.seed, 0, number)
        asked = [self._ask(row, n, number, image, generator) for n in range(len(row["phrases"]))]
        absent: list[str] = []
        for _ in range(self.settings.negatives_per_image):
            phrase = self.index.draw_negative(number, generator, without=absent)
            if phrase is not None:
                absent.append(phrase)
                other, n = self.index[phrase][0]
                asked.append(self._ask(self.rows[other], n, number, image, generator, absent=True))
        return asked

    def _ask(self, row: dict, n: int, number: int, image: int, generator, absent: bool = False) -> Question:
        """Ask of row `number` what is phrase `n` of `row`: of itself, or for an absent phrase of another row."""
        entry = row["phrases"][n]
        example = self.index.draw_support(entry["phrase"], number, generator)
        names = () if self.subsets is None else tuple(self.subsets(row, entry))
        return Question(image, entry, None if absent else n, example, names)


def _evaluate_batch(
    prompted: PromptedModel,
    asker: _Asker,
    numbers: list[int],
    settings: ReferringSettings,
    results: dict[str, PromptResults],
) -> None:
    batch = [asker.rows[number] for number in numbers]
    images = [decode_image(row["image"])[0] for row in batch]
    asked = [q for n, row in enumerate(batch) for q in asker.questions(numbers[n], row, n)]
    if not asked:
        return
    features = prompted.encode_images(images)
    masks = [_mask(q, images[q.image].shape[:2]) for q in asked]
    vectors = _vectors(prompted, asker, asked, settings)
    for kind, result in results.items():
        chosen = [n for n, q in enumerate(asked) if kind == "text" or q.example is not None]
        if chosen:
            questions = [asked[n] for n in chosen]
            logits = prompted.logits(features, vectors[kind][chosen], [q.image for q in questions])
            _count(result, kind, logits, questions, [masks[n] for n in chosen], numbers, batch)


def _vectors(
    prompted: PromptedModel, asker: _Asker, asked: list[Question], settings: ReferringSettings
) -> dict[str, torch.Tensor]:
    """Kind of prompt -> prompt vectors of all questions, (N, D); zero where there is no example."""
    vectors = {}
    if "text" in settings.prompts or "mix" in settings.prompts:
        vectors["text"] = prompted.text_vectors([q.entry["phrase"] for q in asked])
    shared = [n for n, q in enumerate(asked) if q.example is not None]
    if shared and set(settings.prompts) != {"text"}:
        shown = prompted.image_vectors([load_example(asker.rows, asked[n].example) for n in shared])
        vectors["image"] = shown.new_zeros(len(asked), shown.shape[1])
        vectors["image"][shared] = shown
    if "mix" in settings.prompts and "image" in vectors:
        weight = settings.image_prompt_weight
        vectors["mix"] = weight * vectors["image"] + (1 - weight) * vectors["text"]
    return vectors


def _mask(question: Question, size: tuple[int, int]) -> torch.Tensor:
    """The truth about a question, (h, w) bool; nothing for an absent phrase."""
    if question.number is None:
        return torch.zeros(size, dtype=torch.bool)
    mask = torch.from_numpy(decode_rle(question.entry["mask"]))
    if tuple(mask.shape) != tuple(size):
        raise ValueError(
            f"The mask of {question.entry['phrase']!r} (phrase {question.entry['phrase_id']}) is {mask.shape[0]} x "
            f"{mask.shape[1]}, its image {size[0]} x {size[1]} (height x width): do they belong together?"
        )
    return mask


def _count(
    result: PromptResults,
    kind: str,
    logits: torch.Tensor,
    questions: list[Question],
    masks: list[torch.Tensor],
    numbers: list[int],
    batch: list[dict],
) -> None:
    probabilities = logits.sigmoid()
    present = [question.number is not None for question in questions]
    result.presence.update(probabilities, present, presence_scores(logits).tolist())
    subsets = [q.subsets + ((SHARED,) if kind == "text" and q.example is not None else ()) for q in questions]
    result.presence_subsets += subsets
    for n, (probability, question, mask) in enumerate(zip(probabilities, questions, masks, strict=True)):
        if question.number is None:
            continue
        mask = mask[None].to(probability.device)
        result.counts.update(probability[None], resize_masks(mask, probability.shape))
        at_image = resize_probabilities(probability[None], mask.shape[1:])
        result.image_counts.update(at_image, mask)
        result.boundary.update(at_image, mask)
        result.samples.append(
            {
                "row": numbers[question.image],
                "phrase_number": question.number,
                "image_id": batch[question.image]["image_id"],
                "phrase_id": question.entry["phrase_id"],
                "phrase": question.entry["phrase"],
                "subsets": list(subsets[n]),
                "example": question.example,
            }
        )


def _with_progress(batches: list, progress: bool) -> Iterable:
    if not progress:
        return batches
    from tqdm.auto import tqdm

    return tqdm(batches, desc="referring expressions", unit="batch")
