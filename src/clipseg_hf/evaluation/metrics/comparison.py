"""Is one model better than another? Paired bootstrap over the images that both were asked about."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

METRICS = ("miou", "iou_fg")
_CHUNK = 200  # resamples at once


class Difference(NamedTuple):
    """Second minus first, with its interval.

    Attributes:
        first, second: the metric of each.
        difference: second minus first.
        low, high: ends of the interval that holds the true difference with the given confidence.
        better: share of resamples in which the second is better.
        samples, groups: how many samples were compared, and of how many images.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    better: float
    samples: int
    groups: int

    def __str__(self) -> str:
        return f"{self.difference:+.4f} [{self.low:+.4f}, {self.high:+.4f}] ({self.first:.4f} -> {self.second:.4f})"


def sample_table(results: dict, at: Sequence[float] = (0.3, 0.5)) -> list[dict]:
    """One line for each sample of each kind of prompt: what it is, and intersection and union in pixels at the model's
    size, at each threshold. JSON-ready; what `compare` reads."""
    lines = []
    for kind, result in results.items():
        counts = result.counts.counts()
        columns = {}
        for threshold in at:
            k = result.counts.threshold_index(threshold)
            columns[f"intersection_{threshold:g}"] = counts["tp"][:, k].tolist()
            columns[f"union_{threshold:g}"] = (counts["tp"] + counts["fp"] + counts["fn"])[:, k].tolist()
        for n, sample in enumerate(result.samples):
            lines.append({"prompt": kind, **sample, **{name: column[n] for name, column in columns.items()}})
    return lines


def compare(
    first: Sequence[dict],
    second: Sequence[dict],
    prompt: str = "text",
    threshold: float = 0.5,
    metric: str = "miou",
    *,
    subset: str | None = None,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Compare two models on the samples that both have.

    Images are drawn with repeats, with all their phrases, since phrases of one image are not independent.

    Args:
        first, second: tables of `sample_table`, of the same data with the same seed.
        prompt: the kind of prompt.
        threshold: among those of the tables.
        metric: "miou" (mean over samples) or "iou_fg" (cumulative).
        subset: only the samples of one subset.
        resamples, confidence, seed: of the bootstrap.

    Raises:
        ValueError: an unknown metric or subset, a threshold that a table does not hold, different samples, or different
            examples for the same sample.
    """
    if metric not in METRICS:
        raise ValueError(f"metric is one of {', '.join(METRICS)}, got {metric!r}.")
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(f"confidence is in (0, 1) and resamples at least 1, got {confidence} and {resamples}.")
    ours, theirs = (_choose(table, prompt, subset, threshold) for table in (first, second))
    if subset is not None and not ours and not theirs:
        there = sorted({name for line in (*first, *second) if line["prompt"] == prompt for name in line["subsets"]})
        raise ValueError(f"There is no subset {subset!r} by {prompt!r}; there are {', '.join(there) or 'none'}.")
    if ours.keys() != theirs.keys() or not ours:
        only = len(ours.keys() - theirs.keys()), len(theirs.keys() - ours.keys())
        raise ValueError(
            f"The models were not asked the same by {prompt!r}: {len(ours)} and {len(theirs)} samples, {only[0]} and "
            f"{only[1]} of which the other does not have. Evaluate both on the same data with the same seed."
        )
    keys = sorted(ours)
    other = [] if prompt == "text" else [key for key in keys if ours[key].get("example") != theirs[key].get("example")]
    if other:
        raise ValueError(
            f"{len(other)} of {len(keys)} samples were shown another example by {prompt!r}, such as {other[0][1]!r}"
            ": evaluate both with the same seed on the same images."
        )
    columns = [f"intersection_{threshold:g}", f"union_{threshold:g}"]
    counts = np.array([[[side[key][c] for c in columns] for key in keys] for side in (ours, theirs)], dtype=np.float64)
    images, group = np.unique([key[0] for key in keys], return_inverse=True)
    sums = _sums_by_image(counts, group, len(images), metric)  # (2 models, G images, 2)
    values = _metric(sums.sum(axis=1))
    generator = np.random.default_rng(seed)
    differences = np.concatenate(
        [_resample(sums, min(_CHUNK, resamples - start), generator) for start in range(0, resamples, _CHUNK)]
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    return Difference(
        float(values[0]),
        float(values[1]),
        float(values[1] - values[0]),
        float(low),
        float(high),
        float((differences > 0).mean()),
        len(keys),
        len(images),
    )


def _choose(table: Sequence[dict], prompt: str, subset: str | None, threshold: float) -> dict[tuple, dict]:
    column = f"union_{threshold:g}"
    chosen = {
        (line["image_id"], line["phrase_id"]): line
        for line in table
        if line["prompt"] == prompt and (subset is None or subset in line["subsets"])
    }
    lacking = next((line for line in chosen.values() if column not in line), None)
    if lacking is not None:
        there = [name.removeprefix("union_") for name in lacking if name.startswith("union_")]
        raise ValueError(f"The tables hold no counts at threshold {threshold:g}, but at {', '.join(there)}.")
    return chosen


def _sums_by_image(counts: np.ndarray, group: np.ndarray, images: int, metric: str) -> np.ndarray:
    """(2, S, 2) intersections and unions -> (2, G, 2): per image what is divided, and by what."""
    if metric == "miou":  # sums of IoUs, and how many
        whole = np.where(counts[..., 1] > 0, counts[..., 1], 1)
        ious = np.where(counts[..., 1] > 0, counts[..., 0] / whole, 1.0)
        counts = np.stack([ious, np.ones_like(ious)], axis=-1)
    sums = np.zeros((2, images, 2))
    for side in range(2):
        np.add.at(sums[side], group, counts[side])
    return sums


def _resample(sums: np.ndarray, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """Differences of the metric in some resamples, (R,); both models see the same images."""
    images = sums.shape[1]
    weights = generator.multinomial(images, np.full(images, 1 / images), size=resamples).astype(np.float64)  # (R, G)
    first, second = (_metric(weights @ side) for side in sums)
    return second - first


def _metric(sums: np.ndarray) -> np.ndarray:
    """(..., 2) -> (...); 0 / 0 is 1, as everywhere."""
    return np.where(sums[..., 1] > 0, sums[..., 0] / np.where(sums[..., 1] > 0, sums[..., 1], 1), 1.0)
