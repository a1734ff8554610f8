"""How good a model is: metrics, the paper's protocols, reports."""

from pathlib import Path

from clipseg_hf.evaluation.boundary import BoundaryScores, boundary_iou
from clipseg_hf.evaluation.comparison import Difference, compare, sample_table
from clipseg_hf.evaluation.contact_sheet import draw_contact_sheet
from clipseg_hf.evaluation.distributed import current_shard, merge_processes
from clipseg_hf.evaluation.metrics import SegmentationCounts
from clipseg_hf.evaluation.phrasecut import phrasecut_numbers
from clipseg_hf.evaluation.plots import plot_curves
from clipseg_hf.evaluation.presence import PresenceScores, auroc
from clipseg_hf.evaluation.referring import ReferringSettings, evaluate_referring, summarize
from clipseg_hf.evaluation.report import (
    build_report,
    fingerprint_rows,
    markdown_table,
    model_index,
    read_samples,
    write_report,
)
from clipseg_hf.evaluation.results import Evaluation, PromptResults
from clipseg_hf.evaluation.subsets import ConceptSubsets, PhraseCutSubsets

SEGMENTATION_METRIC = str(Path(__file__).parent / "segmentation_metric")
"""The folder to give to `evaluate.load`."""

__all__ = [
    "SEGMENTATION_METRIC",
    "BoundaryScores",
    "ConceptSubsets",
    "Difference",
    "Evaluation",
    "PhraseCutSubsets",
    "PresenceScores",
    "PromptResults",
    "ReferringSettings",
    "SegmentationCounts",
    "auroc",
    "boundary_iou",
    "build_report",
    "compare",
    "current_shard",
    "draw_contact_sheet",
    "evaluate_referring",
    "fingerprint_rows",
    "markdown_table",
    "merge_processes",
    "model_index",
    "phrasecut_numbers",
    "plot_curves",
    "read_samples",
    "sample_table",
    "summarize",
    "write_report",
]
