"""Validation on a fixed part of the rows, by the evaluation's own protocol; at the end, thresholds."""

import math
from dataclasses import dataclass

import numpy as np

from clipseg_hf.data.rows.rows import evenly
from clipseg_hf.evaluation.metrics.prompt_results import PromptResults
from clipseg_hf.evaluation.protocols.distributed import current_shard, merge_processes
from clipseg_hf.evaluation.protocols.prompted_model import DEFAULT_TEMPLATES
from clipseg_hf.evaluation.protocols.queries import check_weight
from clipseg_hf.evaluation.protocols.referring import ReferringSettings, evaluate_referring
from clipseg_hf.processing.thresholds import read_thresholds

THRESHOLD_NAMES = {"text": "text", "image": "image", "mix": "mixed"}
"""The evaluation's kinds of prompts, and what `mask_thresholds` in config.json calls them."""


@dataclass(frozen=True)
class ValidationSettings:
    """How validation rows are asked about.

    Attributes:
        samples: images that are asked about, evenly spread over the rows.
        batch_size: images at once.
        templates: sentences with one {} for the phrase.
        weights: of an example beside a text, from which the calibration takes the one that serves best; () keeps the
            model's own.
    """

    samples: int = 256
    batch_size: int = 8
    templates: tuple[str, ...] = DEFAULT_TEMPLATES
    weights: tuple[float, ...] = ()

    def __post_init__(self):
        for weight in self.weights:
            check_weight(weight)

    def referring(self, prompts: tuple[str, ...], weight: float | None = None) -> ReferringSettings:
        """The protocol's settings for some kinds of prompts, with a weight for mixtures."""
        return ReferringSettings(
            prompts=prompts,
            image_prompt_weight=weight,
            boundary_thresholds=(),
            batch_size=self.batch_size,
            templates=self.templates,
        )


@dataclass(frozen=True)
class Calibration:
    """What serves best on validation rows.

    Attributes:
        thresholds: for text, image and mixed prompts that with the highest mean IoU over phrases; for presence, over
            all of them, that with the highest balanced accuracy. A kind that could not be asked is left out.
        image_prompt_weight: of an example beside a text, that with the highest mean IoU at its best threshold; None
            where there was nothing to choose from.
    """

    thresholds: dict[str, float]
    image_prompt_weight: float | None = None

    def put_into(self, model, processor) -> None:
        """Make it what model and processor go by, and what they will be saved with."""
        model.config.mask_thresholds = dict(self.thresholds)
        processor.mask_thresholds = read_thresholds(self.thresholds)
        if self.image_prompt_weight is not None:
            model.config.image_prompt_weight = self.image_prompt_weight

    def numbers(self) -> dict[str, float]:
        """For the run's records."""
        found = {f"threshold_{kind}": value for kind, value in self.thresholds.items()}
        weight = self.image_prompt_weight
        return found if weight is None else found | {"image_prompt_weight": weight}


class Validation:
    """The same questions about the same images each time: each phrase by text, and by an example where there is one;
    one absent phrase for each image. The processes share the work, and each has all numbers.

    Args:
        rows: the validation rows.
        settings: see there.
    """

    def __init__(self, rows, settings: ValidationSettings):
        self.rows = evenly(rows, settings.samples)
        self.settings = settings.referring(("text", "image"))

    def __call__(self, model, processor) -> dict[str, float]:
        """The numbers named in `METRICS`; those that nothing was asked for are left out."""
        numbers: dict[str, float] = {}
        for kind, result in _ask(model, processor, self.rows, self.settings).items():
            if result.samples:
                found = result.counts.compute()
                numbers |= {f"{kind}_{name}": found[name] for name in ("miou_best", "miou_0.5", "ap")}
                numbers[f"{kind}_auroc"] = result.presence.compute()["auroc"]
        return {name: value for name, value in numbers.items() if not math.isnan(value)}


def calibrate(model, processor, rows, settings: ValidationSettings) -> Calibration:
    """Find what serves best on the validation rows.

    Each weight costs a look at them of its own. The first of several that are as good is taken; what the model has now
    is among them only if it is named.

    Args:
        model, processor: as they will be saved.
        rows: the validation rows.
        settings: see there.
    """
    rows, first, *others = evenly(rows, settings.samples), *(settings.weights or (None,))
    results = _ask(model, processor, rows, settings.referring(tuple(THRESHOLD_NAMES), first))
    weight = first if results["mix"].samples else None
    for other in others if results["mix"].samples else ():
        mixed = _ask(model, processor, rows, settings.referring(("mix",), other))["mix"]
        if _best_miou(mixed) > _best_miou(results["mix"]):
            results["mix"], weight = mixed, other
    thresholds = {}
    for kind, result in results.items():
        if result.samples:
            curves = result.counts.curves()
            thresholds[THRESHOLD_NAMES[kind]] = float(curves["thresholds"][curves["miou"].argmax()])
    scores = [score for result in results.values() for score in result.presence.scores]
    present = [flag for result in results.values() for flag in result.presence.present]
    if any(present) and not all(present):
        thresholds["presence"] = best_split(scores, present)
    return Calibration(thresholds, weight)


def best_split(scores: list[float], present: list[bool]) -> float:
    """The threshold t that makes (share of present above t + share of absent not above t) / 2 highest.

    It lies half-way between two neighbouring scores; of equals the one in the middle.
    """
    order = np.argsort(scores, kind="stable")
    sorted_scores, flags = np.asarray(scores, float)[order], np.asarray(present, bool)[order]
    kept = 1 - np.cumsum(flags) / flags.sum()  # present that stay above a cut behind each score
    rejected = np.cumsum(~flags) / (~flags).sum()
    cuts = np.flatnonzero(np.diff(sorted_scores) > 0)  # equal scores cannot be told apart
    if not len(cuts):
        return float(sorted_scores[0])
    quality = (kept + rejected)[cuts]
    best = cuts[np.isclose(quality, quality.max())]
    cut = best[len(best) // 2]
    return float((sorted_scores[cut] + sorted_scores[cut + 1]) / 2)


def _best_miou(result: PromptResults) -> float:
    return float(result.counts.curves()["miou"].max())


def _ask(model, processor, rows, settings: ReferringSettings) -> dict[str, PromptResults]:
    return merge_processes(evaluate_referring(model, processor, rows, settings, shard=current_shard()))
