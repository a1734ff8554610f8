"""Protocol 3, one-shot segmentation (paper, section 5.3): one example image shows a class that was never trained on.

Pascal-5i and COCO-20i, or any rows: each episode asks one image for a class by an example from another one, and for
comparison by the class's name. Means are over the classes of a fold, then over folds, as in the literature.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from clipseg_hf.data.images import decode_image, undecoded
from clipseg_hf.data.phrases import concept_key
from clipseg_hf.data.sampling import generator_for
from clipseg_hf.evaluation.asking import Asker, Place, Question, batches, check_kinds, true_mask
from clipseg_hf.evaluation.histogram import DEFAULT_THRESHOLDS
from clipseg_hf.evaluation.label_maps import bare_name
from clipseg_hf.evaluation.prompting import DEFAULT_TEMPLATES, PromptedModel
from clipseg_hf.evaluation.results import ALL, PromptResults

MEAN = "mean of folds"


@dataclass(frozen=True)
class OneShotSettings:
    """What is asked, and how.

    Attributes:
        prompts: which of "image", "text" and "mix".
        episodes: of each fold.
        templates: sentences around the class name.
        image_prompt_weight: for "mix".
        thresholds: at which pixels are counted.
        batch_size: episodes asked at once.
        seed: of the episodes.
    """

    prompts: tuple[str, ...] = ("image", "text")
    episodes: int = 1000
    templates: tuple[str, ...] = DEFAULT_TEMPLATES
    image_prompt_weight: float = 0.5
    thresholds: tuple[float, ...] = DEFAULT_THRESHOLDS
    batch_size: int = 4
    seed: int = 0

    def __post_init__(self):
        check_kinds(self.prompts)
        if self.episodes < 1 or self.batch_size < 1:
            raise ValueError(f"episodes and batch_size are at least 1, got {self.episodes} and {self.batch_size}.")


class Episode(NamedTuple):
    """One question: which pixels of the query are what the support's mask shows."""

    fold: str
    name: str  # of the class
    query: Place
    support: Place


def draw_episodes(
    places: Mapping[str, Sequence[Place]], folds: Mapping[str, Sequence[str]], count: int, seed: int = 0
) -> list[Episode]:
    """Draw `count` episodes of each fold: a class, then two different images with it, all equally probable.

    Args:
        places: class -> where it is; see `find_classes`.
        folds: fold -> its test classes.

    Raises:
        ValueError: no class of a fold is on two images.
    """
    episodes = []
    for number, (fold, classes) in enumerate(folds.items()):
        usable = [name for name in classes if len(places.get(name, ())) > 1]
        if not usable:
            raise ValueError(f"No class of {fold} ({', '.join(classes)}) is on two images: nothing can be drawn.")
        generator = generator_for(seed, 0, number)
        for _ in range(count):
            name = usable[int(torch.randint(len(usable), (), generator=generator))]
            query, support = torch.randperm(len(places[name]), generator=generator)[:2].tolist()
            episodes.append(Episode(fold, name, places[name][query], places[name][support]))
    return episodes


def read_episodes(path: str | Path, rows, folds: Mapping[str, Sequence[str]]) -> list[Episode]:
    """Episodes from a list: JSON, `[{"query": image_id, "support": image_id, "class": name}, ...]`.

    Raises:
        ValueError: an image or a class is not in the data, or the class is in no fold.
    """
    places = find_classes(rows, [name for classes in folds.values() for name in classes])
    ids = [row["image_id"] for row in (rows[n] for n in range(len(rows)))]
    by_image = {(name, ids[row]): (row, number) for name, spots in places.items() for row, number in spots}
    fold_of = {name: fold for fold, classes in folds.items() for name in classes}
    episodes = []
    for n, entry in enumerate(json.loads(Path(path).read_text(encoding="utf-8"))):
        name = entry["class"]
        found = [by_image.get((name, entry[side])) for side in ("query", "support")]
        if None in found or name not in fold_of:
            raise ValueError(
                f"Episode {n} of {path} asks for {name!r} on image {entry['query']!r} by {entry['support']!r}, but the "
                "data has not both, or no fold tests that class: does the list belong to these images?"
            )
        episodes.append(Episode(fold_of[name], name, *found))
    return episodes


def find_classes(rows, classes: Sequence[str]) -> dict[str, list[Place]]:
    """Where each class is: its bare name as a phrase."""
    names = {concept_key(name): name for name in classes}
    places: dict[str, list[Place]] = {name: [] for name in classes}
    words = rows.select_columns(["phrases"]) if hasattr(rows, "select_columns") else rows
    for row in range(len(rows)):
        for number, entry in enumerate(words[row]["phrases"]):
            name = names.get(bare_name(entry))
            if name is not None:
                places[name].append((row, number))
    return places


def evaluate_one_shot(
    model,
    processor,
    rows: Sequence[dict],
    folds: Mapping[str, Sequence[str]],
    settings: OneShotSettings | None = None,
    *,
    episodes: Sequence[Episode] | None = None,
    shard: tuple[int, int] = (0, 1),
    progress: bool = False,
) -> dict[str, PromptResults]:
    """Ask episodes.

    Args:
        rows: see `clipseg_hf.data.rows`; a class is a phrase that is its bare name.
        folds: fold -> its test classes (`PASCAL_FOLDS`, `COCO_FOLDS`, or some of them).
        episodes: a given list; drawn by the seed where left out.
        shard: (rank, processes): this process takes each `processes`-th batch.

    Returns:
        Kind of prompt -> results, each sample counting to its class, with its fold as subset.
    """
    settings = settings or OneShotSettings()
    rows = undecoded(rows)
    if episodes is None:
        places = find_classes(rows, [name for classes in folds.values() for name in classes])
        episodes = draw_episodes(places, folds, settings.episodes, settings.seed)
    results = {kind: PromptResults.at(settings.thresholds) for kind in settings.prompts}
    prompted = PromptedModel(model, processor, settings.templates)
    asker = Asker(prompted, rows, settings.image_prompt_weight, results)
    with prompted.evaluating():
        for numbers in batches(len(episodes), settings.batch_size, shard, "one-shot" if progress else None):
            batch = [episodes[number] for number in numbers]
            queries = [rows[episode.query[0]] for episode in batch]
            questions = [
                _question(n, number, episode, row)
                for n, (number, episode, row) in enumerate(zip(numbers, batch, queries, strict=True))
            ]
            asker.ask([decode_image(row["image"])[0] for row in queries], questions)
    return results


def summarize_one_shot(
    results: Mapping[str, PromptResults], at: Sequence[float] = (0.24, 0.28, 0.3, 0.5), flavor: str = "default"
) -> dict[str, dict]:
    """Kind of prompt -> fold -> numbers of `SegmentationCounts.compute`, and "mean of folds"."""
    summary = {}
    for kind, result in results.items():
        folds = {}
        for fold in (name for name in result.subsets() if name != ALL):
            chosen = [n for n, sample in enumerate(result.samples) if fold in sample["subsets"]]
            folds[fold] = result.counts.select(chosen).compute(flavor, at)
        numbers = folds.values()
        mean = {name: float(np.mean([fold[name] for fold in numbers])) for name in next(iter(numbers))}
        mean |= {name: sum(fold[name] for fold in numbers) for name in ("samples", "classes")}
        summary[kind] = {**folds, MEAN: mean}
    return summary


def _question(image: int, number: int, episode: Episode, row: dict) -> Question:
    entry = row["phrases"][episode.query[1]]
    sample = {
        "row": episode.query[0],
        "phrase_number": episode.query[1],
        "image_id": row["image_id"],
        "phrase_id": f"episode {number}: {entry['phrase_id']}",
        "phrase": episode.name,
    }
    mask = true_mask(row, episode.query[1])
    return Question(image, episode.name, mask, episode.support, episode.name, (episode.fold,), sample)
