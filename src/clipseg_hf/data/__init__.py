"""Rows of images with their phrases, wherever they come from, and the samples drawn of them. No model in here."""

from clipseg_hf.data.collate import PromptCollator
from clipseg_hf.data.filters import PhraseFilter
from clipseg_hf.data.flaws import FLAWS, BuildSummary, FlawError
from clipseg_hf.data.phrase_index import PhraseIndex
from clipseg_hf.data.phrasecut_plus import PhraseCutPlus, load_phrasecut_plus
from clipseg_hf.data.rows import ROW_FEATURES, make_phrase
from clipseg_hf.data.samples import PromptedSample, SampleError, Support
from clipseg_hf.data.sampling import PromptedDataset, PromptSampler
from clipseg_hf.data.sampling_settings import SamplingSettings
from clipseg_hf.data.sources import load_segmentation_dataset

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
