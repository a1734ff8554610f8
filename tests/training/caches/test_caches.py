"""Kept encodings are those that the model makes, are noticed when stale, and change nothing else."""

import json

import numpy as np
import pytest
import torch

from clipseg_hf.data.sampling.collate import PromptCollator
from clipseg_hf.data.sampling.samples import SampleError
from clipseg_hf.data.sampling.sampling import PromptSampler
from clipseg_hf.data.sampling.sampling_settings import SamplingSettings
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.processing import CLIPSegProcessor
from clipseg_hf.training import steps as training_steps
from clipseg_hf.training import train
from clipseg_hf.training.caches.cache_settings import CacheSettings
from clipseg_hf.training.caches.feature_cache import FeatureCache
from clipseg_hf.training.caches.kept_arrays import BROKEN, KeptArrays
from clipseg_hf.training.caches.prompt_cache import PromptCache


@pytest.fixture(scope="module")
def parts(clip):
    model = CLIPSegForImageSegmentation.from_clip(clip, extract_layers=(0, 2), reduce_dim=16)
    return model, PromptCollator(CLIPSegProcessor.from_clip(clip, size=64), info=True)


def _sampler(rows, **settings) -> PromptSampler:
    settings = SamplingSettings(image_size=64, phrases_per_image=2, mix="paper", **settings)
    return PromptSampler(rows, settings, load_supports=False)


def test_prompts_are_those_of_the_model(parts, rows, tmp_path):
    model, collator = parts
    sampler = _sampler(rows)
    cache = PromptCache(model, sampler, collator, CacheSettings(tmp_path, "data", "clip", quiet=True))
    cache.fill()
    batch = collator([sampler.sample(row) for row in range(6)])
    info = batch["info"]
    kept = cache(batch, info, "cpu")
    with torch.no_grad():
        expected = model.get_conditional_embeddings(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            conditional_pixel_values=collator.visual_prompts([sampler.support(*p) for p in info.supports if p]),
            conditional_to_prompt=batch["conditional_to_prompt"],
            image_prompt_weight=batch["image_prompt_weight"],
        )
    torch.testing.assert_close(kept, expected, rtol=2e-3, atol=2e-3)


def test_absent_phrases_find_their_examples_too(parts, rows, tmp_path):
    """A phrase that one row alone has is an example for every image that is asked for it in vain."""
    model, collator = parts
    alone = [row | {"phrases": [phrase | {"phrase": f"{phrase['phrase']} {number}"} for phrase in row["phrases"]]}
             for number, row in enumerate(rows)]  # fmt: skip
    sampler = _sampler(alone, negative_probability=1.0)
    cache = PromptCache(model, sampler, collator, CacheSettings(tmp_path, "data", "clip", quiet=True))
    cache.fill()
    batch = collator([sampler.sample(row) for row in range(6)])
    assert any(place is not None for place in batch["info"].supports)
    assert cache(batch, batch["info"], "cpu").isfinite().all()


def test_texts_come_as_they_are_asked_and_need_no_model_twice(parts, rows, tmp_path, monkeypatch):
    model, collator = parts
    settings = CacheSettings(tmp_path, "data", "clip", quiet=True)
    cache = PromptCache(model, _sampler(rows), collator, settings)
    assert cache.texts.kept.flags.sum() == 0
    first = cache.texts(["a photo of a red square."], ["red square"], "cpu")
    assert cache.texts.kept.flags.sum() > 0
    other = cache.texts(["a purple square."], ["purple square"], "cpu")  # no phrase of the rows
    assert other.shape == (1, 32) and other.abs().sum() > 0

    again = PromptCache(model, _sampler(rows), collator, settings)
    monkeypatch.setattr(model.clip, "get_text_features", None)
    assert torch.equal(again.texts(["a photo of a red square."], ["red square"], "cpu"), first)


def test_values_do_not_depend_on_who_asked_first(parts, rows, tmp_path):
    model, collator = parts
    texts = [("a photo of a red square.", "red square"), ("{}.".format("blue square"), "blue square")]
    vectors = []
    for order in (texts, texts[::-1]):
        cache = PromptCache(
            model, _sampler(rows), collator, CacheSettings(tmp_path / order[0][1][:3], "d", "c", quiet=True)
        )
        vectors.append({text: cache.texts([text], [phrase], "cpu") for text, phrase in order})
    assert all(torch.equal(vectors[0][text], vectors[1][text]) for text, _ in texts)


def test_processes_share_the_work(parts, rows, tmp_path):
    model, collator = parts
    sampler = _sampler(rows)
    settings = CacheSettings(tmp_path, "data", "clip", quiet=True)
    first, second = (PromptCache(model, sampler, collator, settings) for _ in range(2))
    wanted = sum(len(row["phrases"]) for row in rows)
    first.fill(0, 2)
    half = (second.examples.flags == 1).sum()
    assert 0 < half < wanted
    second.fill(1, 2)
    assert (first.examples.flags == 1).sum() == wanted


def test_texts_alone_need_no_examples(parts, rows, tmp_path):
    settings = SamplingSettings(image_size=64, mix="text")
    cache = PromptCache(
        *parts[:1], PromptSampler(rows, settings), parts[1], CacheSettings(tmp_path, "d", "c", quiet=True)
    )
    cache.fill()
    assert not cache.examples.flags.any()


def test_an_example_that_was_mended_since_is_encoded_as_it_would_have_been(parts, rows, tmp_path):
    model, collator = parts
    broken = [{**row, "image": {"bytes": b"", "path": None}} if n % 2 else row for n, row in enumerate(rows)]
    sampler, whole = _sampler(broken), _sampler(rows)
    cache = PromptCache(model, sampler, collator, CacheSettings(tmp_path / "mended", "d", "c", quiet=True))
    with pytest.raises(ValueError, match=r"were not encoded: call fill\(\) first"):
        batch = collator([sampler.sample(row) for row in (0, 2, 4)])
        cache(batch, batch["info"], "cpu")
    cache.fill()
    sampler.load_supports = cache.is_lacking()
    with pytest.raises(SampleError, match=r"Row \d+ \(image 'i\d+'\) cannot be sampled: UnreadableImageError"):
        [sampler.sample(row) for row in (0, 2, 4)]
    sampler.rows = rows
    batch = collator([sampler.sample(row) for row in (0, 2, 4)])
    loaded, drawn = len(batch["conditional_pixel_values"]), sum(map(bool, batch["info"].supports))
    assert 0 < loaded < drawn and len(batch["conditional_to_prompt"]) == loaded

    other = PromptCache(model, whole, collator, CacheSettings(tmp_path / "whole", "d", "c", quiet=True))
    other.fill()
    given = collator([whole.sample(row) for row in (0, 2, 4)])
    assert torch.equal(cache(batch, batch["info"], "cpu"), other(given, given["info"], "cpu"))
    assert "conditional_pixel_values" not in collator([sampler.sample(row) for row in (0, 2, 4)])


def test_features_are_those_of_the_model(parts, rows, tmp_path):
    model, collator = parts
    sampler = _sampler(rows, crop=False)
    cache = FeatureCache(model, sampler, collator, CacheSettings(tmp_path, "data", "clip", quiet=True))
    cache.fill()
    batch = collator([sampler.sample(row) for row in (3, 1)])
    kept = cache([3, 1], torch.zeros(2, 3, 64, 64), "cpu")
    with torch.no_grad():
        expected = model.get_vision_features(batch["pixel_values"])
    assert kept.grid == expected.grid == (4, 4)
    for found, wanted in zip(kept.vision_embeds, expected.vision_embeds, strict=True):
        torch.testing.assert_close(found, wanted, rtol=2e-3, atol=2e-3)


def test_images_with_features_are_not_read_again(parts, rows, tmp_path):
    model, collator = parts
    broken = [*rows]
    broken[2] = {**rows[2], "image": {"bytes": b"", "path": None}}
    cache = FeatureCache(model, _sampler(broken, crop=False), collator, CacheSettings(tmp_path, "d", "c", quiet=True))
    cache.fill()
    blank = cache.blank_rows()
    assert len(blank) == len(rows)
    assert blank[0]["image"].size == (80, 60) and not np.asarray(blank[0]["image"]).any()
    assert blank[2]["image"] == broken[2]["image"]  # so that reading it fails, and is said


def _losses(make_args, rows, folder, **changes) -> list[float]:
    args = make_args(
        output_dir=str(folder), logging_steps=1, crop=False, decoder_dropout=0.0, phrases_per_image=2, **changes
    )
    train(args, train_rows=rows)
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_training_with_caches_is_the_same_training(make_args, rows, tmp_path, monkeypatch):
    plain = _losses(make_args, rows, tmp_path / "plain")
    on = {"cache_prompts": True, "cache_features": True, "cache_dir": str(tmp_path / "cache")}
    assert _losses(make_args, rows, tmp_path / "kept", **on) == pytest.approx(plain, rel=1e-3)

    given = []

    def spy(accelerator, model, optimizer, inputs, micro_batches, step, args):
        given.append(sorted(inputs(dict(micro_batches[0]))))
        return train_step(accelerator, model, optimizer, inputs, micro_batches, step, args)

    train_step = training_steps.train_step
    monkeypatch.setattr(training_steps, "train_step", spy)
    monkeypatch.setattr(PromptCollator, "visual_prompts", None, raising=False)
    _losses(make_args, rows, tmp_path / "again", max_steps=1, **on)
    assert given == [["conditional_embeddings", "labels", "prompt_to_image", "vision_embeds"]]


def test_a_run_that_is_cut_off_finds_the_same_vectors(make_args, rows, tmp_path):
    on = {"cache_prompts": True, "cache_features": True}
    whole = _losses(make_args, rows, tmp_path / "whole", **on)
    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:

        def interrupt(accelerator, model, optimizer, inputs, micro_batches, step, args):
            if step == 3:
                raise KeyboardInterrupt
            return train_step(accelerator, model, optimizer, inputs, micro_batches, step, args)

        train_step = training_steps.train_step
        patch.setattr(training_steps, "train_step", interrupt)
        _losses(make_args, rows, tmp_path / "cut", **on)
    assert _losses(make_args, rows, tmp_path / "cut", **on) == whole


def test_a_stale_or_damaged_file_is_made_anew(tmp_path, caplog):
    first = KeptArrays(tmp_path, "things", {"clip": "a"}, 3, (2,))
    first.put([0, 2], np.ones((2, 2)))
    assert KeptArrays(tmp_path, "things", {"clip": "a"}, 3, (2,)).flags.tolist() == [1, 0, 1]
    assert KeptArrays(tmp_path, "things", {"clip": "b"}, 3, (2,)).flags.tolist() == [0, 0, 0]  # another CLIP
    assert KeptArrays(tmp_path, "things", {"clip": "a"}, 3, (2,)).arrays[2].tolist() == [1, 1]
    (first.folder / "arrays.f16").write_bytes(b"short")
    assert KeptArrays(tmp_path, "things", {"clip": "a"}, 3, (2,)).flags.tolist() == [0, 0, 0]
    (first.folder / "key.json").write_text('{"clip": "foreign"}')
    assert KeptArrays(tmp_path, "things", {"clip": "a"}, 3, (2,)).flags.tolist() == [0, 0, 0]
    assert caplog.text.count("is stale or damaged, and is made anew") == 2


def test_what_was_made_of_something_else_is_forgotten_and_what_failed_is_tried_again(tmp_path):
    kept = KeptArrays(tmp_path, "things", {}, 4, (2,))
    kept.refresh(np.array([5, 6, 7, 8], np.uint64))
    kept.put([0, 1], np.ones((2, 2)))
    kept.flags[2] = BROKEN
    again = KeptArrays(tmp_path, "things", {}, 4, (2,))
    assert again.flags.tolist() == [1, 1, 2, 0]
    again.refresh(np.array([5, 9, 7, 8], np.uint64))
    assert again.flags.tolist() == [1, 0, 0, 0] and again.sources.tolist() == [5, 9, 7, 8]


def test_two_processes_may_make_the_same_file_at_once(tmp_path, monkeypatch):
    import os

    def rename(source, target):  # the other one comes first
        monkeypatch.undo()
        KeptArrays(tmp_path, "things", {}, 3, (2,)).put([1], np.ones((1, 2)))
        os.rename(source, target)

    monkeypatch.setattr("clipseg_hf.training.caches.kept_arrays.os.rename", rename)
    assert KeptArrays(tmp_path, "things", {}, 3, (2,)).flags.tolist() == [0, 1, 0]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_cache_that_the_disk_cannot_hold(tmp_path):
    with pytest.raises(OSError, match=r"needs 200000\d\.\d GB, but the disk has .* choose another cache_dir"):
        KeptArrays(tmp_path, "things", {}, 10**9, (10**6,))
    assert not list(tmp_path.iterdir())


def test_room_for_a_cache_is_taken_at_once(tmp_path, monkeypatch):
    """A full disk is an error when the cache is made, not the process's sudden end when it is filled."""
    kept = KeptArrays(tmp_path, "things", {}, 100, (1000,))
    assert (kept.folder / "arrays.f16").stat().st_blocks * 512 >= 200_000

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clipseg_hf.training.caches.kept_arrays.os.posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match=r"others-\w+ needs 0\.0 GB, but the disk has .*No space left.*: choose another"):
        KeptArrays(tmp_path, "others", {}, 100, (1000,))
    assert list(tmp_path.iterdir()) == [kept.folder]
