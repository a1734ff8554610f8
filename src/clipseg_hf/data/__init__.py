"""Rows of images with their phrases, wherever they come from, and the samples drawn of them. No model in here.

In come files of any layout, out come rows, and from rows batches for a model. The public names are those below,
resolved on first use; `inspection` tells what a data set holds.
"""

from typing import TYPE_CHECKING

from clipseg_hf._lazy import import_on_first_use

if TYPE_CHECKING:
    from clipseg_hf.data.phrasecut.phrasecut_plus import PhraseCutPlus, load_phrasecut_plus
    from clipseg_hf.data.rows.flaws import FLAWS, BuildSummary, FlawError
    from clipseg_hf.data.rows.rows import ROW_FEATURES, make_phrase
    from clipseg_hf.data.sampling.collate import PromptCollator
    from clipseg_hf.data.sampling.phrase_index import PhraseIndex
    from clipseg_hf.data.sampling.samples import PromptedSample, SampleError, Support
    from clipseg_hf.data.sampling.sampling import PromptedDataset, PromptSampler
    from clipseg_hf.data.sampling.sampling_settings import SamplingSettings
    from clipseg_hf.data.sources import load_segmentation_dataset
    from clipseg_hf.data.vocabulary.filters import PhraseFilter
else:
    __getattr__, __dir__ = import_on_first_use(__name__)

__all__ = [
    "FLAWS",
    "ROW_FEATURES",
    "BuildSummary",
    "FlawError",
    "PhraseCutPlus",
    "PhraseFilter",
    "PhraseIndex",
    "PromptCollator",
    "PromptSampler",
    "PromptedDataset",
    "PromptedSample",
    "SampleError",
    "SamplingSettings",
    "Support",
    "load_phrasecut_plus",
    "load_segmentation_dataset",
    "make_phrase",
]
