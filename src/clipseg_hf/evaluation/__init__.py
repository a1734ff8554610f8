"""How good a model is: metrics, the paper's protocols, reports."""

from clipseg_hf.evaluation.boundary import BoundaryScores, boundary_iou
from clipseg_hf.evaluation.metrics import SegmentationCounts
from clipseg_hf.evaluation.phrasecut import phrasecut_numbers
from clipseg_hf.evaluation.presence import PresenceScores, auroc
from clipseg_hf.evaluation.referring import ReferringSettings, evaluate_referring, summarize
from clipseg_hf.evaluation.subsets import ConceptSubsets, PhraseCutSubsets

__all__ = [
    "BoundaryScores",
    "ConceptSubsets",
    "PhraseCutSubsets",
    "PresenceScores",
    "ReferringSettings",
    "SegmentationCounts",
    "auroc",
    "boundary_iou",
    "evaluate_referring",
    "phrasecut_numbers",
    "summarize",
]
