"""Protocol 3, one-shot segmentation (paper, section 5.3): one example image shows a class that was never trained on.

Pascal-5i and COCO-20i, or any rows: each episode asks one image for a class by an example from another one, and for
comparison by the class's name. Means are over the classes of a fold, then over folds, as in the literature.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from clipseg_hf._text_files import parse_json, read_text, short_repr
from clipseg_hf.data.rows.foreign_paths import last_part
from clipseg_hf.data.rows.pictures import number_pictures
from clipseg_hf.data.rows.row_images import decode_image, undecoded
from clipseg_hf.data.rows.row_phrases import different_phrases, same_entries
from clipseg_hf.data.rows.rows import only_columns
from clipseg_hf.data.sampling.sampling import generator_for
from clipseg_hf.data.vocabulary.concepts import PASCAL_CLASSES
from clipseg_hf.data.vocabulary.phrases import concept_key
from clipseg_hf.evaluation.benchmarks.benchmark_classes import COCO_CLASSES
from clipseg_hf.evaluation.benchmarks.label_maps import bare_name
from clipseg_hf.evaluation.metrics.histogram import DEFAULT_THRESHOLDS
from clipseg_hf.evaluation.metrics.prompt_results import ALL, PromptResults
from clipseg_hf.evaluation.protocols.prompted_model import DEFAULT_TEMPLATES, PromptedModel
from clipseg_hf.evaluation.protocols.queries import (
    Place,
    Query,
    QueryEvaluator,
    batches,
    check_kinds,
    check_weight,
    true_pixels,
)
from clipseg_hf.processing.masks.rle import is_empty

MEAN = "mean of folds"


@dataclass(frozen=True)
class OneShotSettings:
    """What is asked, and how.

    Attributes:
        prompts: which of "image", "text" and "mix".
        episodes: of each fold.
        templates: sentences around the class name.
        image_prompt_weight: a in x = a s + (1 - a) t, for "mix"; None: the checkpoint's own, or 0.5.
        thresholds: at which pixels are counted.
        batch_size: episodes asked at once.
        guided_filter: let masks follow the pictures' edges, by `GuidedFilter`'s own settings.
        seed: of the episodes.
    """

    prompts: tuple[str, ...] = ("image", "text")
    episodes: int = 1000
    templates: tuple[str, ...] = DEFAULT_TEMPLATES
    image_prompt_weight: float | None = None
    thresholds: tuple[float, ...] = DEFAULT_THRESHOLDS
    batch_size: int = 4
    guided_filter: bool = False
    seed: int = 0

    def __post_init__(self):
        check_kinds(self.prompts)
        check_weight(self.image_prompt_weight)
        if self.episodes < 1 or self.batch_size < 1:
            raise ValueError(f"episodes and batch_size are at least 1, got {self.episodes} and {self.batch_size}.")


class Episode(NamedTuple):
    """One query image and its support: which pixels of the query are what the support's mask shows."""

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
    """Episodes from a list.

    Args:
        path: JSON, `[{"query": image_id, "support": image_id, "class": name}, ...]`; or, of any other ending than
            .json, lines of text with the query, the support and the class (its name, or its number from 1 in the
            order of all classes of the benchmark), separated by white space. Images may be paths of files.

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: the list cannot be read, an image or a class is not in the data, or the class is in no fold.
    """
    places = find_classes(rows, [name for classes in folds.values() for name in classes])
    ids = [row["image_id"] for row in (rows[n] for n in range(len(rows)))]
    by_image = {(name, ids[row]): (row, number) for name, spots in places.items() for row, number in spots}
    fold_of = {name: fold for fold, classes in folds.items() for name in classes}
    episodes = []
    for n, (query, support, name) in enumerate(_read_list(Path(path))):
        name = _numbered(name, folds) or name
        found = [_find(by_image, name, image) for image in (query, support)]
        if None in found or name not in fold_of:
            raise ValueError(
                f"Episode {n} of {path} asks for {name!r} on image {query!r} by {support!r}, but the data has not "
                "both, or no fold tests that class: does the list belong to these images?"
            )
        episodes.append(Episode(fold_of[name], name, *found))
    return episodes


def _read_list(path: Path) -> list[tuple[str, str, str]]:
    """Query, support and class of each episode."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no list of episodes {path}.")
    text = read_text(path)
    if path.suffix != ".json":
        split = [line.split(maxsplit=2) for line in text.splitlines() if line.strip()]
    else:
        try:
            split = [[entry[key] for key in ("query", "support", "class")] for entry in parse_json(text, path)]
        except (KeyError, TypeError) as error:
            raise ValueError(
                f'{path} is no list of {{"query": image, "support": image, "class": name}}: {error!r}.'
            ) from error
    wrong = next((n for n, parts in enumerate(split) if len(parts) != 3), None)
    if wrong is not None:
        raise ValueError(
            f"Episode {wrong} of {path} is {short_repr(split[wrong])}, expected a query, a support and a class."
        )
    return [(str(query), str(support), str(name).strip()) for query, support, name in split]


def _find(by_image: Mapping[tuple[str, str], Place], name: str, image: str) -> Place | None:
    """Where a class is on an image: by its id, by the name of its file, or by the number at the end of that, as in
    COCO's."""
    stem = Path(last_part(image)).stem
    candidates = (image, stem, stem.rpartition("_")[2].lstrip("0"))
    return next((by_image[name, candidate] for candidate in candidates if (name, candidate) in by_image), None)


def _numbered(text: str, folds: Mapping[str, Sequence[str]]) -> str | None:
    """The class that a number stands for; None where the text is no number of a benchmark's class."""
    if not text.isdecimal():
        return None
    tested = {name for classes in folds.values() for name in classes}
    for order in (tuple(PASCAL_CLASSES), COCO_CLASSES):
        if tested <= set(order) and 1 <= int(text) <= len(order):
            return order[int(text) - 1]
    return None


def find_classes(rows, classes: Sequence[str]) -> dict[str, list[Place]]:
    """Where each class is: its bare name as a phrase, whose mask is not empty."""
    names = {concept_key(name): name for name in classes}
    places: dict[str, list[Place]] = {name: [] for name in classes}
    words = only_columns(rows, "phrases")
    for row in range(len(rows)):
        entries = words[row]["phrases"]
        for number in different_phrases(entries):
            name = names.get(bare_name(entries[number]))
            same = same_entries(entries, number)
            if name is not None and not all(is_empty(entry["mask"]["counts"]) for entry in same):
                places[name].append((row, number))
    return places


def _once_a_picture(places: Mapping[str, Sequence[Place]], rows) -> dict[str, list[Place]]:
    """Of the rows that show a class on the same picture the first, so that no picture is its own example."""
    pictures = number_pictures(rows).tolist()
    return {
        name: list({pictures[place[0]]: place for place in reversed(spots)}.values())[::-1]
        for name, spots in places.items()
    }


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
        rows: see `clipseg_hf.data.rows.rows`; a class is a phrase that is its bare name.
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
        places = _once_a_picture(places, rows)
        episodes = draw_episodes(places, folds, settings.episodes, settings.seed)
    results = {kind: PromptResults.at(settings.thresholds) for kind in settings.prompts}
    prompted = PromptedModel.asked_by(model, processor, settings)
    evaluator = QueryEvaluator(prompted, rows, settings.image_prompt_weight, results)
    with prompted.evaluating():
        for numbers in batches(len(episodes), settings.batch_size, shard, "one-shot" if progress else None):
            batch = [episodes[number] for number in numbers]
            query_rows = [rows[episode.query[0]] for episode in batch]
            queries = [
                _make_query(n, number, episode, row)
                for n, (number, episode, row) in enumerate(zip(numbers, batch, query_rows, strict=True))
            ]
            evaluator.evaluate([decode_image(row["image"])[0] for row in query_rows], queries)
    return results


def summarize_one_shot(
    results: Mapping[str, PromptResults], at: Sequence[float] = (0.24, 0.28, 0.3, 0.5), arithmetic: str = "default"
) -> dict[str, dict]:
    """Kind of prompt -> fold -> numbers of `SegmentationCounts.compute`, and "mean of folds"."""
    summary = {}
    for kind, result in results.items():
        folds = {}
        for fold in (name for name in result.subsets() if name != ALL):
            chosen = [n for n, sample in enumerate(result.samples) if fold in sample["subsets"]]
            folds[fold] = result.counts.select(chosen).compute(arithmetic, at)
        numbers = folds.values()
        mean = {name: float(np.mean([fold[name] for fold in numbers])) for name in next(iter(numbers))}
        mean |= {name: sum(fold[name] for fold in numbers) for name in ("samples", "classes")}
        summary[kind] = {**folds, MEAN: mean}
    return summary


def _make_query(image: int, number: int, episode: Episode, row: dict) -> Query:
    entry = row["phrases"][episode.query[1]]
    sample = {
        "row": episode.query[0],
        "phrase_number": episode.query[1],
        "image_id": row["image_id"],
        "phrase_id": f"episode {number}: {entry['phrase_id']}",
        "phrase": episode.name,
    }
    truth = true_pixels(row, [episode.query[1]])
    return Query(
        image,
        episode.name,
        **truth,
        example=episode.support,
        label=episode.name,
        subsets=(episode.fold,),
        sample=sample,
    )
