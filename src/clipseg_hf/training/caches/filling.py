"""Fills the caches that a recipe asks for, before the first step."""

from dataclasses import dataclass, replace

from clipseg_hf.training.caches.blocks import CacheSettings
from clipseg_hf.training.caches.feature_cache import FeatureCache
from clipseg_hf.training.caches.prompt_cache import PromptCache
from clipseg_hf.training.model_inputs import ModelInputs
from clipseg_hf.training.stopped import naming_the_cache


@dataclass(frozen=True)
class CachedKinds:
    """What is encoded once: prompts, and images."""

    prompts: bool = False
    features: bool = False


def cached_inputs(accelerator, model, sampler, collator, settings: CacheSettings, kinds: CachedKinds) -> ModelInputs:
    """The model's inputs, with all in the caches that can be encoded beforehand.

    The sampler draws black pictures from then on where an image's features are kept.

    Raises:
        TrainingStopped: the disk has no room for it, a reader died, and the like.
    """
    settings, caches = replace(settings, quiet=settings.quiet or not accelerator.is_main_process), []
    for cache, wanted in ((PromptCache, kinds.prompts), (FeatureCache, kinds.features)):
        caches.append(_filled(accelerator, cache, model, sampler, collator, settings) if wanted else None)
    prompts, features = caches
    if features:
        sampler.rows = features.blank_rows()
    return ModelInputs(accelerator.device, prompts, features)


def _filled(accelerator, cache, model, sampler, collator, settings: CacheSettings):
    """A cache of one kind; the processes share the work."""
    with naming_the_cache(settings.folder):
        with accelerator.main_process_first():
            made = cache(model, sampler, collator, settings)
        with accelerator.autocast():
            made.fill(accelerator.process_index, accelerator.num_processes)
            accelerator.wait_for_everyone()
            made.fill()  # only where the nodes share no disk is there anything left to do
    return made
