"""Counts -> IoU, precision, recall, average precision: the definitions, and what holds when there is nothing to count.

Two kinds of arithmetic:

- `"default"`: plain ratios. Where both ground truth and prediction are empty the IoU is 1 (the model was right to
  find nothing); with an empty prediction the precision is 1, with an empty ground truth the recall is 1. Average
  precision is the step-wise sum of precision x gain in recall, from the strictest threshold down to "everything";
  without any foreground in the whole data it is NaN.
- `"clipseg"`: the original's arithmetic: 1 is added to every denominator (so two empty masks give 0), and average
  precision is Simpson's rule over the distinct (recall, precision) pairs sorted by recall, of those thresholds that any
  pixel passes; 0 where none passes any (the original stops there).
"""

from operator import itemgetter

import numpy as np

ARITHMETICS = ("default", "clipseg")


def check_arithmetic(arithmetic: str) -> None:
    """Raises ValueError for an arithmetic that does not exist."""
    if arithmetic not in ARITHMETICS:
        raise ValueError(f"Unknown arithmetic {arithmetic!r}: choose one of {', '.join(ARITHMETICS)}.")


def ratio(part: np.ndarray, whole: np.ndarray, arithmetic: str = "default") -> np.ndarray:
    """`part / whole` in the arithmetic chosen; 0 / 0 is 1 by default, 0 in the original's."""
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    if arithmetic == "clipseg":
        return part / (whole + 1)
    return np.divide(part, whole, out=np.ones(np.broadcast_shapes(part.shape, whole.shape)), where=whole > 0)


def average_precision(true_positives, false_positives, false_negatives, negatives, arithmetic="default") -> float:
    """Area under the precision-recall curve.

    Args:
        true_positives, false_positives, false_negatives: (K,) counts at increasing thresholds.
        negatives: number of background pixels (default arithmetic: the curve's end, where everything is foreground).
    """
    tp, fp, fn = (np.asarray(counts, dtype=np.float64) for counts in (true_positives, false_positives, false_negatives))
    if arithmetic == "clipseg":
        passed = tp + fp > 0
        if not passed.any():
            return 0.0
        recall, precision = (ratio(tp, whole, arithmetic)[passed].tolist() for whole in (tp + fn, tp + fp))
        pairs = sorted(set(zip(recall, precision, strict=True)), key=itemgetter(0))  # ties stay as the set has them
        recall, precision = np.array(pairs).T
        return simpson(precision, recall)
    positives = float(tp[0] + fn[0])
    if positives == 0:
        return float("nan")
    # strictest first, and at the end "everything is foreground"
    recall = np.append(tp[::-1], positives) / positives
    precision = ratio(np.append(tp[::-1], positives), np.append((tp + fp)[::-1], positives + negatives))
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def simpson(y: np.ndarray, x: np.ndarray) -> float:
    """Composite Simpson's rule over points of uneven distance, a last interval that has no partner by Cartwright's
    correction. A quotient by a distance of 0 counts as 0, as in the library that the original calls."""
    if len(x) < 3:
        return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2)) if len(x) == 2 else 0.0
    pairs = (len(x) - 1) // 2 * 2
    h0, h1 = np.diff(x)[0:pairs:2], np.diff(x)[1:pairs:2]
    y0, y1, y2 = y[0 : pairs - 1 : 2], y[1:pairs:2], y[2 : pairs + 1 : 2]
    both = h0 + h1
    area = both / 6 * (y0 * (2 - _over(h1, h0)) + y1 * _over(both * both, h0 * h1) + y2 * (2 - _over(h0, h1)))
    total = float(area.sum())
    if pairs < len(x) - 1:
        before, last = x[-2] - x[-3], x[-1] - x[-2]
        total += float(
            y[-1] * _over(2 * last**2 + 3 * before * last, 6 * (before + last))
            + y[-2] * _over(last**2 + 3 * before * last, 6 * before)
            - y[-3] * _over(last**3, 6 * before * (before + last))
        )
    return total


def _over(numerator, denominator) -> np.ndarray:
    numerator, denominator = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    return np.divide(numerator, denominator, out=np.zeros_like(denominator), where=denominator != 0)


def exact_mean(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis that does not depend on the order: (S, ...) -> (...). So samples may be counted by any
    number of processes, in any order, and the result is the same to the last bit."""
    return np.sort(np.asarray(values, dtype=np.float64), axis=0).mean(axis=0)
