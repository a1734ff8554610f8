"""Validation on a fixed part of the rows, by the evaluation's own protocol; at the end, thresholds."""

import math
from dataclasses import dataclass

import numpy as np

from clipseg_hf.data.rows.rows import evenly
from clipseg_hf.evaluation.metrics.prompt_results import PromptResults
from clipseg_hf.evaluation.protocols.distributed import current_shard, merge_processes
from clipseg_hf.evaluation.protocols.prompted_model import DEFAULT_TEMPLATES
from clipseg_hf.evaluation.protocols.referring import ReferringSettings, evaluate_referring

THRESHOLD_NAMES = {"text": "text", "image": "image", "mix": "mixed"}
"""The evaluation's kinds of prompts, and what `mask_thresholds` in config.json calls them."""


@dataclass(frozen=True)
class ValidationSettings:
    """How validation rows are asked about.

    Attributes:
        samples: images that are asked about, evenly spread over the rows.
        batch_size: images at once.
        templates: sentences with one {} for the phrase.
    """

    samples: int = 256
    batch_size: int = 8
    templates: tuple[str, ...] = DEFAULT_TEMPLATES

    def referring(self, prompts: tuple[str, ...]) -> ReferringSettings:
        """The protocol's settings for some kinds of prompts."""
        return ReferringSettings(
            prompts=prompts, boundary_thresholds=(), batch_size=self.batch_size, templates=self.templates
        )


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


def calibrate(model, processor, rows, settings: ValidationSettings) -> dict[str, float]:
    """Find the thresholds that serve best on the validation rows.

    Args:
        model, processor: as they will be saved.
        rows: the validation rows.
        settings: see there.

    Returns:
        For text, image and mixed prompts the threshold with the highest mean IoU over phrases; for presence, over all
        of them, the one with the highest balanced accuracy. A kind that could not be asked is left out.
    """
    results = _ask(model, processor, evenly(rows, settings.samples), settings.referring(tuple(THRESHOLD_NAMES)))
    thresholds = {}
    for kind, result in results.items():
        if result.samples:
            curves = result.counts.curves()
            thresholds[THRESHOLD_NAMES[kind]] = float(curves["thresholds"][curves["miou"].argmax()])
    scores = [score for result in results.values() for score in result.presence.scores]
    present = [flag for result in results.values() for flag in result.presence.present]
    if any(present) and not all(present):
        thresholds["presence"] = best_split(scores, present)
    return thresholds


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


def _ask(model, processor, rows, settings: ReferringSettings) -> dict[str, PromptResults]:
    return merge_processes(evaluate_referring(model, processor, rows, settings, shard=current_shard()))
