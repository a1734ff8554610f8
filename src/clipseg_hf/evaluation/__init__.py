"""How good a model is: metrics, the paper's protocols, reports."""

from clipseg_hf.evaluation.metrics import SegmentationCounts
from clipseg_hf.evaluation.presence import PresenceScores, auroc
from clipseg_hf.evaluation.referring import ReferringSettings, evaluate_referring, summarize

__all__ = [
    "PresenceScores",
    "ReferringSettings",
    "SegmentationCounts",
    "auroc",
    "evaluate_referring",
    "summarize",
]
