"""How good a model is: metrics, the paper's protocols, reports."""

from clipseg_hf.evaluation.metrics import SegmentationCounts
from clipseg_hf.evaluation.presence import PresenceScores, auroc

__all__ = ["PresenceScores", "SegmentationCounts", "auroc"]
