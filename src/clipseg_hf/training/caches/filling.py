"""Fills the caches that a recipe asks for, before the first step."""

from dataclasses import dataclass, replace

from clipseg_hf.data.rows.row_images import fingerprint_images
from clipseg_hf.training.caches.cache_settings import CacheSettings
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

    The sampler draws black pictures from then on where an image's features are kept, unless a refiner looks at them,
    and loads no examples whose vectors are. What cannot be read, it meets as it would without caches.

    Raises:
        TrainingStopped: the disk has no room for it, a reader died, and the like.
    """
    settings = replace(settings, quiet=settings.quiet or not accelerator.is_main_process)
    parts = (model, sampler, collator, settings)
    prompts = _opened(accelerator, PromptCache, parts) if kinds.prompts else None
    features = _opened(accelerator, FeatureCache, parts) if kinds.features else None
    caches = [cache for cache in (prompts, features) if cache]
    with naming_the_cache(settings.folder):
        if caches and accelerator.is_local_main_process:  # one on each node, for it may have a disk of its own
            pictures = fingerprint_images(sampler.rows)
            for cache in caches:
                cache.refresh(pictures)
        accelerator.wait_for_everyone()
        for cache in caches:
            with accelerator.autocast():
                cache.fill(accelerator.process_index, accelerator.num_processes)
                accelerator.wait_for_everyone()
                cache.fill()  # only where the nodes share no disk is there anything left to do
    if prompts:
        sampler.load_supports = prompts.is_lacking()
    if features and model.refiner is None:  # which reads the pixels itself
        sampler.query_rows = features.blank_rows()
    return ModelInputs(accelerator.device, prompts, features)


def _opened(accelerator, cache, parts: tuple):
    """A cache of one kind; one process makes its files, the others find them."""
    with naming_the_cache(parts[-1].folder), accelerator.main_process_first():
        return cache(*parts)
