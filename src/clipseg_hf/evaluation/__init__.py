"""How good a model is: metrics, benchmarks, the paper's protocols, reports.

In come a model, its processor and rows or a data set's name, out come numbers, and a report as files. The public names
are those below; `python -m clipseg_hf.evaluation` runs a benchmark, by one process or several.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from clipseg_hf._lazy import import_on_first_use

if TYPE_CHECKING:
    from clipseg_hf.evaluation.benchmarks.benchmark_classes import (
        COCO_FOLDS,
        EMOJI_PROMPTS,
        GENERALIZED_PROMPTS,
        PASCAL_FOLDS,
        ZERO_SHOT_SPLITS,
    )
    from clipseg_hf.evaluation.benchmarks.label_maps import LabelMap, PascalVOC, RowLabelMaps
    from clipseg_hf.evaluation.benchmarks.subsets import ConceptSubsets, PhraseCutSubsets
    from clipseg_hf.evaluation.evaluating import evaluate_model
    from clipseg_hf.evaluation.metrics.boundary import BoundaryScores, boundary_iou
    from clipseg_hf.evaluation.metrics.comparison import Difference, compare, sample_table
    from clipseg_hf.evaluation.metrics.phrasecut_metrics import phrasecut_numbers
    from clipseg_hf.evaluation.metrics.presence import PresenceScores, auroc
    from clipseg_hf.evaluation.metrics.prompt_results import Evaluation, PromptResults
    from clipseg_hf.evaluation.metrics.segmentation_counts import SegmentationCounts
    from clipseg_hf.evaluation.protocols.benchmark_runner import BENCHMARKS, BenchmarkOptions, run_benchmark
    from clipseg_hf.evaluation.protocols.distributed import current_shard, merge_processes, process_group
    from clipseg_hf.evaluation.protocols.generalized import GeneralizedSettings, evaluate_generalized
    from clipseg_hf.evaluation.protocols.one_shot import (
        Episode,
        OneShotSettings,
        draw_episodes,
        evaluate_one_shot,
        find_classes,
        read_episodes,
        summarize_one_shot,
    )
    from clipseg_hf.evaluation.protocols.referring import ReferringSettings, evaluate_referring, summarize
    from clipseg_hf.evaluation.protocols.visual_prompt_study import (
        VISUAL_PROMPTS,
        StudyResult,
        VisualPromptStudySettings,
        study_visual_prompts,
    )
    from clipseg_hf.evaluation.protocols.zero_shot import (
        ConfusionMatrix,
        ZeroShotSettings,
        evaluate_zero_shot,
        summarize_zero_shot,
    )
    from clipseg_hf.evaluation.reports.compared_reports import compare_reports
    from clipseg_hf.evaluation.reports.error_sheet import draw_contact_sheet
    from clipseg_hf.evaluation.reports.plots import plot_classes, plot_curves, plot_gains
    from clipseg_hf.evaluation.reports.report import (
        build_report,
        fingerprint_rows,
        markdown_table,
        model_index,
        read_samples,
        write_report,
    )
else:
    __getattr__, __dir__ = import_on_first_use(__name__)

SEGMENTATION_METRIC = str(Path(__file__).parent / "metrics" / "segmentation_metric")
"""The folder to give to `evaluate.load`."""

__all__ = [
    "BENCHMARKS",
    "COCO_FOLDS",
    "EMOJI_PROMPTS",
    "GENERALIZED_PROMPTS",
    "PASCAL_FOLDS",
    "SEGMENTATION_METRIC",
    "VISUAL_PROMPTS",
    "ZERO_SHOT_SPLITS",
    "BenchmarkOptions",
    "BoundaryScores",
    "ConceptSubsets",
    "ConfusionMatrix",
    "Difference",
    "Episode",
    "Evaluation",
    "GeneralizedSettings",
    "LabelMap",
    "OneShotSettings",
    "PascalVOC",
    "PhraseCutSubsets",
    "PresenceScores",
    "PromptResults",
    "ReferringSettings",
    "RowLabelMaps",
    "SegmentationCounts",
    "StudyResult",
    "VisualPromptStudySettings",
    "ZeroShotSettings",
    "auroc",
    "boundary_iou",
    "build_report",
    "compare",
    "compare_reports",
    "current_shard",
    "draw_contact_sheet",
    "draw_episodes",
    "evaluate_generalized",
    "evaluate_model",
    "evaluate_one_shot",
    "evaluate_referring",
    "evaluate_zero_shot",
    "find_classes",
    "fingerprint_rows",
    "markdown_table",
    "merge_processes",
    "model_index",
    "phrasecut_numbers",
    "plot_classes",
    "plot_curves",
    "plot_gains",
    "process_group",
    "read_episodes",
    "read_samples",
    "run_benchmark",
    "sample_table",
    "study_visual_prompts",
    "summarize",
    "summarize_one_shot",
    "summarize_zero_shot",
    "write_report",
]
