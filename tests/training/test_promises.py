"""What a recipe promises is checked before the first step, and what cannot be read is left out of validations."""

import json
import shutil

import huggingface_hub
import numpy as np
import pytest

from clipseg_hf.data.sampling.samples import SampleError
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.processing.masks.rle import encode_rle
from clipseg_hf.training import steps, train


@pytest.fixture
def refused(make_args, rows, monkeypatch):
    """Train, and take no step."""

    def step(*args):
        raise AssertionError("a step was taken")

    def refused(error, message, validation_rows=None, **changes):
        with monkeypatch.context() as patch, pytest.raises(error, match=message):
            patch.setattr(steps, "train_step", step)
            train(make_args(**changes), train_rows=rows, validation_rows=validation_rows)

    return refused


def test_a_metric_that_the_validation_cannot_give(refused, validation_rows):
    alone = [{**row, "phrases": row["phrases"][:1]} for row in validation_rows[:1]]
    message = (
        r"metric_for_best_model is image_ap, but this validation gives text_miou_best, text_miou_0\.5, text_ap\. N"
    )
    refused(ValueError, message, alone, eval_steps=1, metric_for_best_model="image_ap")
    refused(ValueError, "is text_auroc, but this", alone, eval_steps=1, metric_for_best_model="text_auroc")
    nothing = [{**row, "phrases": []} for row in validation_rows]
    refused(ValueError, "is text_miou_best, but this validation gives no numbers", nothing, eval_steps=1)


def test_weights_to_choose_from_without_validation(refused):
    refused(ValueError, "calibration_weights needs something to find the best", calibration_weights=(0.3, 0.7))


def test_early_stopping_without_validation(refused):
    refused(ValueError, "early_stopping_patience needs something to", eval_steps=1, early_stopping_patience=1)


def test_a_decoder_alone_without_a_base(refused):
    message = "save_decoder_only writes a decoder that names its CLIP, but this model's CLIP has no name"
    refused(ValueError, message, save_decoder_only=True, pretrained_clip=False)


def test_a_size_that_the_patches_do_not_divide(refused):
    refused(ValueError, "image_size is 70, but this CLIP reads patches of 16 .*: 64 would do", image_size=70)
    refused(ValueError, r"multiples of that: 64 x 48 would do", image_size=(64, 50))


def test_an_unknown_backend(refused):
    message = r"torch_compile_backend is one of .*got 'inducktor'\. Did you mean 'inductor'"
    refused(ValueError, message, torch_compile=True, torch_compile_backend="inducktor")


def test_a_hub_that_would_not_take_it(refused, monkeypatch, clip):
    licences = {"hub_license": "mit", "hub_data_license": "cc-by-4.0"}
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    def refused_to_publish(message, **changes):
        refused(ValueError, message, push_to_hub=True, **(licences | changes))

    refused_to_publish(
        "push_to_hub with hub_model_id .* would fail in the end: Publishing needs the network, but HF_HUB_OFFLINE is"
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    refused_to_publish(
        "A repository on the Hub is called account/name, .* got 'me/my model!'", hub_model_id="my model!"
    )
    refused_to_publish("hub_license None, .*: license is an identifier of the Hub's .* got None", hub_license=None)
    refused_to_publish("data_license says under what terms the training data are", hub_data_license=None)
    refused_to_publish(f"names its CLIP by its id on the Hub, but {clip} is a folder", save_decoder_only=True)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    refused_to_publish("Publishing needs a token of the Hub, and there is none: `hf auth login`")


def test_a_disk_without_room(refused, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    refused(OSError, r"needs \d+ MB for 9999 checkpoints, .* the disk has 1 MB left", save_total_limit=9999)


def _broken(rows, *numbers) -> list[dict]:
    broken = {"image": {"bytes": b"no picture", "path": None}}
    return [row | broken if n in numbers else row for n, row in enumerate(rows)]


def test_broken_validation_images_are_left_out_counted_and_named(make_args, rows, validation_rows, capsys):
    """In validation, calibration and the pictures: the numbers are those of the others."""
    changes = {"eval_steps": 2, "eval_samples": 6, "calibration_samples": 6, "picture_samples": 6, "max_steps": 2}
    data = _broken(validation_rows, 1)
    small = encode_rle(np.ones((9, 9), bool))
    data[4] = {**data[4], "phrases": [{**entry, "mask": small} for entry in data[4]["phrases"]]}
    result = train(make_args(**changes), train_rows=rows, validation_rows=data)
    said = capsys.readouterr().out
    assert "Left out of the validation (1 so far): image 'i1': " in said and "cannot identify image file" in said
    assert "Left out of the calibration (2 so far): image 'i4': " in said
    facts = json.loads((result.folder / "manifest.json").read_text())["facts"]
    assert list(facts["skipped_validation"]) == ["i1", "i4"] and facts["skipped"] == {}
    whole = [row for n, row in enumerate(data) if n not in (1, 4)]
    without = train(make_args(output_dir=f"{result.folder}-2", **changes), train_rows=rows, validation_rows=whole)
    assert result.metrics == without.metrics
    assert CLIPSegForImageSegmentation.from_pretrained(result.folder).config.mask_thresholds.keys() >= {"text", "image"}


def test_broken_validation_images_stop_a_strict_run(refused, validation_rows):
    broken = _broken(validation_rows, 2)
    message = r"Row 2 \(image 'i2'\) cannot be sampled: .*cannot identify"
    refused(SampleError, message, broken, eval_steps=1, eval_samples=6, strict=True)
    nothing = _broken(validation_rows, *range(6))
    refused(SampleError, r"Row 0 \(image 'i0'\) cannot be sampled", nothing, eval_steps=1)


def test_thresholds_are_found_without_validations(make_args, rows, validation_rows):
    result = train(make_args(max_steps=1), train_rows=rows, validation_rows=validation_rows)
    assert {"threshold_text", "threshold_image"} <= result.metrics.keys()
