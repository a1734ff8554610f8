from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel

from clipseg_hf.data.sampling.collate import PromptCollator
from clipseg_hf.data.sampling.samples import PromptedSample, SampleError
from clipseg_hf.data.sampling.sampling import PromptedDataset, PromptSampler, SamplingSettings
from clipseg_hf.modeling import CLIPSegForImageSegmentation

MODEL_INPUTS = {
    "pixel_values",
    "input_ids",
    "attention_mask",
    "prompt_to_image",
    "labels",
    "image_prompt_weight",
    "conditional_pixel_values",
    "conditional_to_prompt",
}


def make_sample(row=0, count=1, size=(48, 48), supports=None) -> PromptedSample:
    random = np.random.default_rng(row)
    return PromptedSample(
        image=random.integers(0, 256, (*size, 3), dtype=np.uint8),
        texts=[f"a photo of a thing {row} {k}." for k in range(count)],
        phrases=[f"thing {row} {k}" for k in range(count)],
        masks=random.integers(0, 2, (count, *size), dtype=np.uint8),
        negative=np.zeros(count, bool),
        supports=supports or [None] * count,
        image_prompt_weight=np.linspace(0, 1, count, dtype=np.float32),
        row=row,
        image_id=f"image-{row}",
        phrase_ids=[f"{row}__{k}" for k in range(count)],
    )


@pytest.fixture(scope="module")
def samples(world):
    """Five visits, of which some phrases have a support."""
    settings = SamplingSettings(image_size=48, phrases_per_image=3, support_probability=0.6)
    dataset = PromptedDataset(PromptSampler(world, settings))
    return [dataset[i] for i in range(5)]


def test_names_shapes_and_types(processor, samples):
    batch = PromptCollator(processor)(samples)
    counts = [len(sample.texts) for sample in samples]
    number, supports = sum(counts), [s for sample in samples for s in sample.supports]
    assert batch.keys() == MODEL_INPUTS
    assert batch["pixel_values"].shape == (5, 3, 48, 48)
    assert batch["pixel_values"].dtype == torch.float32
    assert batch["input_ids"].shape == batch["attention_mask"].shape
    assert batch["labels"].shape == (number, 48, 48)
    assert batch["labels"].dtype == torch.uint8
    assert batch["prompt_to_image"].tolist() == [i for i, count in enumerate(counts) for _ in range(count)]
    assert batch["conditional_to_prompt"].tolist() == [n for n, s in enumerate(supports) if s is not None]
    assert len(batch["conditional_pixel_values"]) == len(batch["conditional_to_prompt"]) < number
    assert batch["image_prompt_weight"].shape == (number,)


def test_two_samples_by_hand(processor):
    batch = PromptCollator(processor)([make_sample(0, 2), make_sample(1, 1)])
    assert batch.keys() == MODEL_INPUTS - {"conditional_pixel_values", "conditional_to_prompt"}
    assert batch["prompt_to_image"].tolist() == [0, 0, 1]
    assert batch["image_prompt_weight"].tolist() == [0, 1, 0]
    assert np.array_equal(batch["labels"][2], make_sample(1).masks[0])


def test_images_and_texts_are_what_the_processor_makes_of_them(processor, samples):
    batch = PromptCollator(processor)(samples)
    expected = processor(
        images=[Image.fromarray(sample.image) for sample in samples],
        text=[sample.texts for sample in samples],
        return_tensors="pt",
    )
    torch.testing.assert_close(batch["pixel_values"], expected["pixel_values"], atol=1e-6, rtol=0)
    for name in ("input_ids", "attention_mask", "prompt_to_image"):
        assert torch.equal(batch[name], expected[name])


def test_a_batch_goes_straight_into_the_model(processor, samples):
    text = {"vocab_size": len(processor.tokenizer), "eos_token_id": processor.tokenizer.eos_token_id, "hidden_size": 32}
    size = {"num_hidden_layers": 2, "intermediate_size": 32, "num_attention_heads": 2}
    vision = {"hidden_size": 32, "image_size": 48, "patch_size": 16}
    clip = CLIPModel(CLIPConfig(text_config=text | size, vision_config=vision | size, projection_dim=16))
    model = CLIPSegForImageSegmentation.from_clip(clip, extract_layers=(0, 1), reduce_dim=16)
    batch = PromptCollator(processor)(samples)
    outputs = model(**batch)
    assert outputs.logits.shape == batch["labels"].shape
    assert torch.isfinite(outputs.loss)


def test_samples_of_two_sizes_do_not_make_a_batch(processor):
    with pytest.raises(ValueError, match=r"samples of one size \(height, width\), got \[\(32, 48\), \(48, 48\)\]"):
        PromptCollator(processor)([make_sample(), make_sample(size=(32, 48))])
    with pytest.raises(ValueError, match="got no samples"):
        PromptCollator(processor)([])


def test_a_text_that_is_cut_is_quoted(processor):
    sample = make_sample()
    sample = replace(sample, texts=["a" * 100])
    with pytest.warns(UserWarning, match="is cut to 77.*'aaaa"):
        batch = PromptCollator(processor)([sample])
    assert batch["input_ids"].shape == (1, 77)


def test_supports_that_are_not_loaded_are_named_only(processor, world):
    settings = SamplingSettings(image_size=48, phrases_per_image=3)
    sample = PromptSampler(world, settings, load_supports=False).sample(0)
    batch = PromptCollator(processor, info=True)([sample])
    info = batch.pop("info")
    assert batch.keys() == MODEL_INPUTS - {"conditional_pixel_values"}
    assert info.supports == [(s.row, s.phrase_number) for s in sample.supports]


def test_info_says_what_a_batch_was_made_of(processor, samples):
    collator = PromptCollator(processor, info=True)
    info = collator(samples)["info"]
    assert info.texts == [text for sample in samples for text in sample.texts]
    assert info.phrases == [phrase for sample in samples for phrase in sample.phrases]
    assert info.phrase_ids == [phrase_id for sample in samples for phrase_id in sample.phrase_ids]
    assert info.rows == [sample.row for sample in samples]
    assert info.image_ids == [sample.image_id for sample in samples]
    assert np.array_equal(info.negative, np.concatenate([sample.negative for sample in samples]))
    assert [place is None for place in info.supports] == [s is None for sample in samples for s in sample.supports]
    assert info.skipped == []


def test_labels_of_pixels_that_do_not_count_bring_their_number_along(processor, samples):
    marked = replace(samples[0], masks=samples[0].masks.copy())
    marked.masks[0, :3] = 255
    batch = PromptCollator(processor)([samples[1], marked])
    assert batch.keys() == MODEL_INPUTS | {"ignore_index"}
    assert batch["ignore_index"].item() == 255 and batch["ignore_index"].shape == ()
    assert (batch["labels"] == 255).sum() == 3 * 48


def test_broken_rows_are_left_out_and_reported(processor, samples):
    error = SampleError.of(3, "image-3", "torn")
    batch = PromptCollator(processor, info=True)([samples[0], error, samples[1]])
    assert batch.pop("info").skipped == [error]
    alone = PromptCollator(processor)(samples[:2])
    assert all(torch.equal(batch[name], alone[name]) for name in alone)


def test_nothing_but_broken_rows(processor):
    error = SampleError.of(3, "image-3", "torn")
    batch = PromptCollator(processor, info=True)([error])
    assert batch.keys() == {"info"}
    assert batch["info"].skipped == [error]
    assert len(batch["info"].negative) == 0


def test_a_broken_row_is_not_passed_over_in_silence(processor, samples):
    with pytest.raises(SampleError, match=r"Row 3 .*torn"):
        PromptCollator(processor)([samples[0], SampleError.of(3, "image-3", "torn")])
