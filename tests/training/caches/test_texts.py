"""Texts are encoded when they are asked for, each once and alike, and never at a higher price than without a cache."""

import numpy as np
import pytest
import torch

from clipseg_hf.data.rows.rows import make_phrase
from clipseg_hf.data.sampling.collate import PromptCollator
from clipseg_hf.data.sampling.sampling import PromptSampler
from clipseg_hf.data.sampling.sampling_settings import SamplingSettings
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.processing import CLIPSegProcessor
from clipseg_hf.processing.masks.rle import encode_rle
from clipseg_hf.training import assembly
from clipseg_hf.training.caches import text_cache
from clipseg_hf.training.caches.cache_settings import CacheSettings
from clipseg_hf.training.caches.text_cache import TextCache
from clipseg_hf.training.runs.state import TrainingState

PHRASES, PER_STEP = 100, 64


@pytest.fixture(scope="module")
def sampler():
    """A hundred different phrases in nine prefixes."""
    mask, random = encode_rle(np.ones((1, 1), bool)), np.random.default_rng(0)
    words = ["".join(map(chr, random.integers(97, 123, size))) for size in random.integers(2, 5, PHRASES)]
    rows = [{"phrases": [make_phrase(f"left {word} {n}", mask, phrase_id=str(n))]} for n, word in enumerate(words)]
    return PromptSampler(rows, SamplingSettings(image_size=64))


@pytest.fixture
def made(clip, sampler, tmp_path):
    """A function that opens a cache, the texts and tokens that its model encoded, and batches of prompts to ask for."""
    model = CLIPSegForImageSegmentation.from_clip(clip, extract_layers=(0, 2), reduce_dim=16)
    collator = PromptCollator(CLIPSegProcessor.from_clip(clip, size=64))
    encoded = {"texts": 0, "tokens": 0}

    def count(module, args, kwargs):
        encoded["texts"] += len(kwargs["input_ids"])
        encoded["tokens"] += kwargs["input_ids"].numel()

    model.clip.text_model.register_forward_pre_hook(count, with_kwargs=True)

    def open_cache(name="cache", **settings):
        return TextCache(model, sampler, collator, CacheSettings(tmp_path / name, "d", "c", quiet=True, **settings))

    def draw(steps: int):
        generator = torch.Generator().manual_seed(0)
        for _ in range(steps):
            numbers = torch.randint(len(sampler.index.phrases), (PER_STEP,), generator=generator).tolist()
            phrases = [sampler.index.phrases[number] for number in numbers]
            prefixes = torch.randint(9, (PER_STEP,), generator=generator).tolist()
            yield (
                [sampler.settings.prefixes[k].replace("{}", p) for k, p in zip(prefixes, phrases, strict=True)],
                phrases,
            )

    return open_cache, encoded, draw, collator


def test_it_never_costs_more_than_no_cache(made):
    open_cache, encoded, draw, collator = made
    cache, asked, without = open_cache(), set(), 0
    for texts, phrases in draw(20):
        cache(texts, phrases, "cpu")
        asked |= set(texts)
        without += collator.tokenize(texts)["input_ids"].numel()
        assert encoded["tokens"] <= without
        assert int((cache.kept.flags == 1).sum()) == len(asked)
    assert len(asked) < encoded["texts"] < 20 * PER_STEP
    before = dict(encoded)
    for texts, phrases in draw(20):
        open_cache()(texts, phrases, "cpu")
    assert encoded == before


def test_all_are_encoded_ahead_where_the_run_draws_as_many(made, monkeypatch):
    monkeypatch.setattr(text_cache, "AHEAD", 400)
    open_cache, encoded, draw, _ = made
    open_cache(prompts_ahead=9 * PHRASES - 1).fill()
    assert encoded["texts"] == 0
    cache = open_cache(prompts_ahead=9 * PHRASES)
    cache.fill(0, 2)
    assert 0 < (cache.kept.flags == 1).sum() < 9 * PHRASES
    open_cache(prompts_ahead=9 * PHRASES).fill(1, 2)
    assert (cache.kept.flags == 1).all()
    assert encoded["texts"] <= 9 * PHRASES * 1.05  # what fills up batches
    before = dict(encoded)
    for texts, phrases in draw(3):
        cache(texts, phrases, "cpu")
    assert encoded == before


def test_a_vector_has_the_same_bits_whoever_asked_first(made):
    open_cache, _, draw, _ = made
    ahead, asked, alone = open_cache("ahead", prompts_ahead=10**6), open_cache("asked"), open_cache("alone")
    ahead.fill()
    for texts, phrases in draw(2):
        together = asked(texts, phrases, "cpu")
        assert torch.equal(ahead(texts, phrases, "cpu"), together)
        for n in range(PER_STEP - 1, 0, -7):
            assert torch.equal(alone(texts[n : n + 1], phrases[n : n + 1], "cpu")[0], together[n])


def test_phrases_that_no_row_has_are_encoded_alike_and_swapped_ones_are_kept(made, sampler, clip, tmp_path):
    open_cache, _, _, collator = made
    other = f"a photo of a {sampler.index.phrases[0].upper()}."
    first = open_cache()([other], ["upper"], "cpu")
    assert torch.equal(open_cache()([other, other], ["upper", "upper"], "cpu"), first.expand(2, -1))
    assert not open_cache().kept.flags.any()

    flipped = PromptSampler(sampler.rows, SamplingSettings(image_size=64, hflip=0.5), sampler.index)
    model = CLIPSegForImageSegmentation.from_clip(clip, extract_layers=(0, 2), reduce_dim=16)
    cache = TextCache(model, flipped, collator, CacheSettings(tmp_path / "flip", "d", "c"))
    swapped = sampler.index.phrases[0].replace("left", "right")
    cache([f"a photo of a {swapped}."], [swapped], "cpu")
    assert (cache.kept.flags == 1).sum() == 1


def test_prompts_ahead_are_those_that_are_left(make_args):
    args = make_args(max_steps=10, cache_prompts=True)
    provenance = {"train_data": "d", "clip": "c", "mixed_precision": "no", "device": "cpu", "prompts_per_step": 64}
    settings, _ = assembly.cache_settings(args, assembly.build_processor(args), provenance, TrainingState(step=4))
    assert settings.prompts_ahead == 6 * 64
