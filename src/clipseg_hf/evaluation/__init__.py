"""How good a model is: metrics, the paper's protocols, reports."""

from pathlib import Path

from clipseg_hf.evaluation.boundary import BoundaryScores, boundary_iou
from clipseg_hf.evaluation.distributed import current_shard, merge_processes
from clipseg_hf.evaluation.metrics import SegmentationCounts
from clipseg_hf.evaluation.phrasecut import phrasecut_numbers
from clipseg_hf.evaluation.presence import PresenceScores, auroc
from clipseg_hf.evaluation.referring import ReferringSettings, evaluate_referring, summarize
from clipseg_hf.evaluation.subsets import ConceptSubsets, PhraseCutSubsets

SEGMENTATION_METRIC = str(Path(__file__).parent / "segmentation_metric")
"""The folder to give to `evaluate.load`."""

__all__ = [
    "SEGMENTATION_METRIC",
    "BoundaryScores",
    "ConceptSubsets",
    "PhraseCutSubsets",
    "PresenceScores",
    "ReferringSettings",
    "SegmentationCounts",
    "auroc",
    "boundary_iou",
    "current_shard",
    "evaluate_referring",
    "merge_processes",
    "phrasecut_numbers",
    "summarize",
]
