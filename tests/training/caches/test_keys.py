"""Whatever kept encodings depend on is noticed when it changes, and nothing else is encoded anew."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clipseg_hf.data.rows.row_images import fingerprint_images
from clipseg_hf.data.sampling.collate import PromptCollator
from clipseg_hf.data.sampling.sampling import PromptSampler
from clipseg_hf.data.sampling.sampling_settings import SamplingSettings
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.processing import CLIPSegProcessor
from clipseg_hf.training import assembly, train
from clipseg_hf.training.caches.blocks import in_fixed_batches
from clipseg_hf.training.caches.feature_cache import FeatureCache
from clipseg_hf.training.caches.prompt_cache import PromptCache
from clipseg_hf.training.runs.state import TrainingState

ON = {"cache_prompts": True, "cache_features": True}


@pytest.fixture
def files(rows, tmp_path):
    """The rows with their pictures as files."""
    (tmp_path / "pictures").mkdir()
    paths = [tmp_path / "pictures" / f"{row['image_id']}.png" for row in rows]
    for row, path in zip(rows, paths, strict=True):
        row["image"].save(path)
    return [row | {"image": {"path": str(path), "bytes": None}} for row, path in zip(rows, paths, strict=True)]


def _repaint(row: dict) -> None:
    path = row["image"]["path"]
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)


def _losses(make_args, rows, folder: Path, **changes) -> list[float]:
    settings = {"logging_steps": 1, "crop": False, "decoder_dropout": 0.0, "phrases_per_image": 2}
    train(make_args(output_dir=str(folder), **settings, **changes), train_rows=rows)
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_repainted_pictures_are_encoded_anew(make_args, files, tmp_path):
    kept = ON | {"cache_dir": str(tmp_path / "cache")}
    before = _losses(make_args, files, tmp_path / "before", **kept)
    for row in files:
        _repaint(row)
    plain = _losses(make_args, files, tmp_path / "plain")
    after = _losses(make_args, files, tmp_path / "after", **kept)
    assert after == pytest.approx(plain, rel=1e-4) and after != pytest.approx(before, rel=1e-4)


def test_one_picture_repainted_is_encoded_alone_to_the_same_bits(clip, files, tmp_path):
    model, processor = _model(clip), CLIPSegProcessor.from_clip(clip, size=64)

    def caches(folder: str) -> tuple[FeatureCache, PromptCache]:
        made = _open(model, processor, files, tmp_path / folder)
        for cache in made:
            cache.refresh(fingerprint_images(files))
            cache.fill()
        return made

    caches("kept")
    _repaint(files[3])
    images = []
    hook = model.clip.vision_model.embeddings.register_forward_hook(lambda _, pixels, __: images.append(len(pixels[0])))
    mended = caches("kept")
    hook.remove()
    assert sum(images) == 1 + len(files[3]["phrases"])
    whole = caches("whole")
    for kept, anew in zip(mended, whole, strict=True):
        kept, anew = (cache.kept if isinstance(cache, FeatureCache) else cache.examples for cache in (kept, anew))
        assert (kept.flags == 1).all() and np.array_equal(kept.arrays, anew.arrays)


def _model(clip) -> CLIPSegForImageSegmentation:
    return CLIPSegForImageSegmentation.from_clip(clip, extract_layers=(0, 2), reduce_dim=16)


def _open(model, processor, rows, folder, **changes) -> tuple[FeatureCache, PromptCache]:
    sampler = PromptSampler(rows, SamplingSettings(image_size=64, crop=False), load_supports=False)
    collator = PromptCollator(processor, info=True)
    provenance = {
        "train_data": "rows",
        "clip": "weights",
        "mixed_precision": "no",
        "device": "cpu",
        "prompts_per_step": 2,
    } | changes
    args = assembly.CLIPSegTrainingArguments(cache_dir=str(folder), disable_tqdm=True)
    settings, _ = assembly.cache_settings(args, processor, provenance, TrainingState())
    return FeatureCache(model, sampler, collator, settings), PromptCache(model, sampler, collator, settings)


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        (lambda model, processor: setattr(processor.image_processor, "resample", 0), "features examples"),
        (lambda model, processor: setattr(processor.image_processor, "image_mean", (0, 0, 0)), "features examples"),
        (lambda model, processor: setattr(processor.image_processor, "do_normalize", False), "features examples"),
        (
            lambda model, processor: setattr(
                processor, "visual_prompt_settings", replace(processor.visual_prompt_settings, blur=False)
            ),
            "examples",
        ),
        (lambda model, processor: processor.tokenizer.add_tokens(["square"]), "texts"),
        (lambda model, processor: setattr(processor.tokenizer, "model_max_length", 9), "texts"),
        (lambda model, processor: setattr(model.config.text_config, "hidden_act", "gelu"), "features examples texts"),
        (lambda model, processor: setattr(model.config, "extract_layers", [0, 1]), "features"),
        (lambda model, processor: setattr(model.config, "prompt_tokens", {"text": 3, "image": 4}), "examples texts"),
        ({"train_data": "others"}, "features examples"),
        ({"clip": "others"}, "features examples texts"),
        ({"mixed_precision": "bf16"}, "features examples texts"),
        ({"device": "another"}, "features examples texts"),
    ],
)
def test_a_cache_of_other_settings_is_another(clip, rows, tmp_path, change, stale):
    model, processor = _model(clip), CLIPSegProcessor.from_clip(clip, size=64)
    _open(model, processor, rows, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    _open(model, processor, rows, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == names and len(names) == 3
    processor = copy.deepcopy(processor)
    if callable(change):
        change(model, processor)
    _open(model, processor, rows, tmp_path, **({} if callable(change) else change))
    assert sorted(path.name.split("-")[0] for path in tmp_path.iterdir() if path.name not in names) == sorted(
        stale.split()
    )


def test_numbers_do_not_depend_on_what_is_encoded_beside(caplog):
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(512, 512), torch.nn.GELU(), torch.nn.Linear(512, 512))
    things = torch.randn(19, 512)

    def encode(numbers):
        with torch.no_grad():
            return in_fixed_batches(lambda x: layers(x), {"x": things[numbers]}, 8, torch.device("cpu"))

    together = encode(list(range(19)))
    assert together.shape == (19, 512)
    for numbers in ([5], [18, 3, 7], list(range(18, -1, -1))):
        assert np.array_equal(encode(numbers), together[numbers])
    assert not caplog.records


def test_a_device_that_cannot_promise_it_is_told_of(caplog):
    in_fixed_batches(lambda x: x + torch.arange(4)[:, None], {"x": torch.ones(3, 1)}, 4, torch.device("cpu"))
    assert "the last bits of what is kept depend on places in a batch" in caplog.text
