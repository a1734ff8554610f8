"""Queries about images: by text, by example image and by both, and their counts. What the protocols share."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from clipseg_hf.data.rows.row_images import decode_image
from clipseg_hf.data.rows.row_phrases import phrase_mask, truth_of
from clipseg_hf.evaluation.metrics.prompt_results import PromptResults
from clipseg_hf.evaluation.protocols.prompted_model import PromptedModel, resize_masks, resize_probabilities
from clipseg_hf.processing.postprocessing import presence_scores

PROMPT_KINDS = ("text", "image", "mix")
SHARED = "shared"
Place = tuple[int, int]
"""Where a phrase stands: (row, number of the phrase in it)."""


class Query(NamedTuple):
    """Something asked of one image of a batch.

    Attributes:
        image: the image's number in the batch.
        phrase: what is asked for by text.
        mask: the truth, (h, w) bool of the image's size; None where the thing is absent.
        example: where an example image stands; None where there is none, and only text can ask.
        label: the class that the query counts to, for means over classes.
        ignored: (h, w) bool, pixels that do not count; None where all do.
        subsets: names of the subsets that it belongs to.
        sample: what the report says of it; see `PromptResults.samples`.
    """

    image: int
    phrase: str
    mask: torch.Tensor | None
    example: Place | None = None
    label: Hashable = None
    ignored: torch.Tensor | None = None
    subsets: tuple[str, ...] = ()
    sample: Mapping = {}


@dataclass
class QueryEvaluator:
    """Puts the queries of one batch after the other to a model, and counts the answers.

    Attributes:
        prompted: the model.
        rows: where examples stand.
        image_prompt_weight: a in x = a s + (1 - a) t, for "mix"; None: the checkpoint's own.
        results: kind of prompt -> what was counted so far.
        name_shared: make those queries by text that are asked by image, too, a subset "shared": there the kinds of
            prompts can be compared.
    """

    prompted: PromptedModel
    rows: Sequence[dict]
    image_prompt_weight: float | None
    results: dict[str, PromptResults] = field(default_factory=dict)
    name_shared: bool = False

    def evaluate(self, images: Sequence[np.ndarray], queries: Sequence[Query]) -> None:
        """Answer queries about images (h, w, 3) uint8, each encoded once. Queries without an example are left out
        of the kinds that need one."""
        if not queries:
            return
        features = self.prompted.encode_images(images)
        vectors = self._vectors(queries)
        for kind, result in self.results.items():
            chosen = [n for n, q in enumerate(queries) if kind == "text" or q.example is not None]
            if chosen:
                asked = [self._named(queries[n], kind) for n in chosen]
                owners = [q.image for q in asked]
                logits = self.prompted.logits(features, vectors[kind][chosen], owners)
                _count(result, logits, self.prompted.at_edges(logits, owners, images), asked, images)

    def _named(self, query: Query, kind: str) -> Query:
        if self.name_shared and kind == "text" and len(self.results) > 1 and query.example is not None:
            return query._replace(subsets=(*query.subsets, SHARED))
        return query

    def _vectors(self, queries: Sequence[Query]) -> dict[str, torch.Tensor]:
        """Kind of prompt -> prompt vectors of all queries, (N, D); zero where there is no example."""
        vectors = {}
        if "text" in self.results or "mix" in self.results:
            vectors["text"] = self.prompted.text_vectors([q.phrase for q in queries])
        shared = [n for n, q in enumerate(queries) if q.example is not None]
        if shared and set(self.results) != {"text"}:
            places = list(dict.fromkeys(queries[n].example for n in shared))
            shown = self.prompted.image_vectors([load_example(self.rows, place) for place in places])
            vectors["image"] = shown.new_zeros(len(queries), shown.shape[1])
            vectors["image"][shared] = shown[[places.index(queries[n].example) for n in shared]]
        if "mix" in self.results and "image" in vectors:
            vectors["mix"] = self.prompted.mix(vectors["text"], vectors["image"], self.image_prompt_weight)
        return vectors


def load_example(rows: Sequence[dict], place: Place) -> tuple[np.ndarray, np.ndarray]:
    """An example image (h, w, 3) uint8 and the mask (h, w) bool of its object."""
    row = rows[place[0]]
    return decode_image(row["image"])[0], phrase_mask(row["phrases"], place[1])


def true_pixels(row: Mapping, numbers: Sequence[int] = ()) -> dict[str, torch.Tensor | None]:
    """The `mask` and `ignored` of a query for some of a row's phrases as one; of none, for what is not there."""
    truth = truth_of(row["phrases"], numbers)
    return {name: None if part is None else torch.from_numpy(part) for name, part in truth._asdict().items()}


def check_kinds(prompts: Sequence[str]) -> None:
    """Raises ValueError unless all are kinds of prompts, and there are some."""
    unknown = [kind for kind in prompts if kind not in PROMPT_KINDS]
    if isinstance(prompts, str) or unknown or not prompts:
        raise ValueError(f"prompts are some of {', '.join(PROMPT_KINDS)}, got {prompts!r}.")


def check_weight(image_prompt_weight: float | None) -> None:
    """Raises ValueError for a weight outside of [0, 1]."""
    if image_prompt_weight is not None and not 0 <= image_prompt_weight <= 1:
        raise ValueError(f"image_prompt_weight is in [0, 1], got {image_prompt_weight}.")


def batches(count: int, size: int, shard: tuple[int, int] = (0, 1), progress: str | None = None) -> Iterable[range]:
    """The numbers 0 ... count - 1 in ranges of `size`, of which the process `shard` = (rank, processes) gets every
    `processes`-th: whole batches are handed out, so that an image has the same company, and the same last bits,
    in every process. With a text, `progress` shows a bar."""
    rank, processes = shard
    mine = [range(count)[n : n + size] for n in range(0, count, size)][rank::processes]
    if progress is None:
        return mine
    from tqdm.auto import tqdm

    return tqdm(mine, desc=progress, unit="batch")


def _count(
    result: PromptResults,
    logits: torch.Tensor,
    filtered: torch.Tensor,
    queries: Sequence[Query],
    images: Sequence[np.ndarray],
) -> None:
    """Count masks by the filtered logits; how sure the model is that a thing is there, by its own."""
    probabilities = filtered.sigmoid()
    for query in queries:
        _check_sizes(query, images[query.image].shape[:2])
    ignored = [None if q.ignored is None else q.ignored[None].to(logits.device) for q in queries]  # (1, h, w) each
    present = [q.mask is not None for q in queries]
    result.presence.update(probabilities, present, presence_scores(logits).tolist(), _resized(ignored, logits))
    result.presence_subsets += [q.subsets for q in queries]
    for n, query in enumerate(queries):
        if query.mask is None or (query.ignored is not None and not query.mask.any()):
            continue  # not there, or only where nothing counts
        probability, mask = probabilities[n : n + 1], query.mask[None].to(logits.device)  # (1, H, W), (1, h, w)
        labels = None if query.label is None else [query.label]
        size = logits.shape[1:]
        result.counts.update(probability, resize_masks(mask, size), labels, _resized(ignored[n : n + 1], logits))
        at_image = resize_probabilities(probability, mask.shape[1:])
        result.image_counts.update(at_image, mask, labels, ignored[n])
        result.boundary.update(at_image, mask, ignored[n])
        result.samples.append({**query.sample, "subsets": list(query.subsets), "example": query.example})


def _resized(ignored: Sequence[torch.Tensor | None], logits: torch.Tensor) -> torch.Tensor | None:
    """N times (1, h, w) or None -> (N, H, W) of the logits' size, False where there is none; None of none at all."""
    size = logits.shape[1:]
    if all(part is None for part in ignored):
        return None
    nothing = logits.new_zeros(1, *size, dtype=torch.bool)
    return torch.cat([nothing if part is None else resize_masks(part, size) for part in ignored])


def _check_sizes(query: Query, size: tuple[int, int]) -> None:
    for part, name in ((query.mask, "mask"), (query.ignored, "ignore")):
        if part is not None and tuple(part.shape) != size:
            raise ValueError(
                f"The {name} of {query.phrase!r} is {part.shape[0]} x {part.shape[1]}, its image "
                f"{query.sample.get('image_id')!r} {size[0]} x {size[1]} (height x width): do they belong together?"
            )
