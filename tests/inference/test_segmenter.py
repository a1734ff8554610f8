"""One object for all: the same numbers as model and processor by hand, each image and each prompt encoded once."""

import copy
import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from clipseg_hf.inference import GuidedFilter, Prompt, Segmenter
from clipseg_hf.inference import segmenter as module


def _by_hand(segmenter, image, **prompts):
    inputs = segmenter.processor(images=image, return_tensors="pt", **prompts)
    with torch.no_grad():
        outputs = segmenter.model(**inputs)
    return outputs, segmenter.processor.post_process_prompted_segmentation(
        outputs, inputs.original_sizes, prompt_kinds=inputs.prompt_kinds
    )[0]


def test_texts_give_what_model_and_processor_give(segmenter, picture):
    result = segmenter(picture, ["a cat", "a dog"])[0]
    outputs, found = _by_hand(segmenter, picture, text=["a cat", "a dog"])
    np.testing.assert_allclose(result.logits, outputs.logits, atol=1e-5)
    assert result.labels == ["a cat", "a dog"]
    assert result.kinds == ["text", "text"]
    assert result.masks.shape == (2, 60, 80)
    for number, one in enumerate(found):
        np.testing.assert_allclose(result.probabilities(number), one.probabilities.numpy(), atol=1e-5)
        assert (result.masks[number] != one.mask.numpy()).mean() < 1e-3
        assert result.scores[number] == pytest.approx(one.score, abs=1e-3)
        assert result.presence[number] == pytest.approx(one.presence, abs=1e-5)
        assert result.is_present[number] == one.is_present


def test_examples_and_mixtures_beside_texts(segmenter, picture, example):
    image, mask = example
    prompts = ["a cat", Prompt(image=image, mask=mask), Prompt("a dog", image, weight=0.3)]
    result = segmenter(picture, prompts)[0]
    inputs = segmenter.processor(
        text=["a cat", None, "a dog"],
        visual_prompt=[None, image, image],
        visual_prompt_masks=[None, mask, None],
        images=picture,
        return_tensors="pt",
    )
    with torch.no_grad():
        expected = segmenter.model(**inputs, image_prompt_weight=0.3).logits
    np.testing.assert_allclose(result.logits, expected, atol=1e-5)
    assert result.kinds == ["text", "image", "mixed"]
    assert result.thresholds == [0.5, 0.45, 0.4]  # the checkpoint's own


def test_an_example_weighs_beside_a_text_what_the_checkpoint_says(segmenter, picture, example):
    own = copy.copy(segmenter)
    own.model = copy.deepcopy(segmenter.model)
    own.model.config.image_prompt_weight = 0.25
    assert (segmenter.image_prompt_weight, own.image_prompt_weight) == (0.5, 0.25)
    image, mask = example
    left_out, half, quarter = Prompt("a dog", image, mask), *(Prompt("a dog", image, mask, w) for w in (0.5, 0.25))
    assert torch.equal(segmenter.embed(left_out)[0], segmenter.embed(half)[0])
    assert torch.equal(own.embed(left_out)[0], segmenter.embed(quarter)[0])
    assert torch.equal(own.embed([half, left_out])[0], segmenter.embed([half, quarter])[0])


def test_several_examples_of_one_prompt_are_averaged(segmenter, example, picture):
    image, mask = example
    vectors, _ = segmenter.embed(
        [Prompt(image=(image, picture), mask=(mask, None)), Prompt(image=image, mask=mask), Prompt(image=picture)]
    )
    torch.testing.assert_close(vectors[0], vectors[1:].mean(dim=0))


def test_templates_are_averaged(segmenter, picture):
    plain, _ = segmenter.embed(["a photo of a cat.", "art of a cat."])
    segmenter.prompt_templates = ["a photo of a {}.", "art of a {}."]
    vectors, _ = segmenter.embed("cat")
    torch.testing.assert_close(vectors[0], plain.mean(dim=0))


def test_one_image_and_one_prompt_keep_their_axes(segmenter, picture):
    results = segmenter(picture, "a cat")
    assert len(results) == 1
    assert results[0].masks.shape == (1, 60, 80)
    assert len(results[0]) == 1


def test_borders_follow_the_picture_where_that_is_asked_for(segmenter, picture):
    plain = segmenter(picture, ["a cat", "a cat - a dog"])[0]
    edged = Segmenter(segmenter.model, segmenter.processor, guided_filter=GuidedFilter(radius=5))
    [result] = edged(picture, ["a cat", "a cat - a dog"])
    np.testing.assert_allclose(result.logits, GuidedFilter(radius=5).apply(plain.logits, picture), atol=1e-4)
    assert np.abs(result.logits - plain.logits).max() > 1e-3
    assert result.presence == pytest.approx(plain.presence, abs=1e-5)  # calibrated on what the model says
    encoded = edged.encode(picture).answer(edged.ask(["a cat", "a cat - a dog"]))
    np.testing.assert_allclose(encoded.logits, result.logits, atol=1e-5)
    with pytest.raises(TypeError, match=r"a GuidedFilter\(\.\.\.\) or None, got True"):
        Segmenter(segmenter.model, segmenter.processor, guided_filter=True)


def test_images_come_as_anything_and_masks_at_their_own_size(segmenter, picture, tmp_path):
    picture.save(tmp_path / "a.png")
    turned = picture.getexif()
    turned[0x0112] = 6  # to be turned by 90 degrees
    picture.save(tmp_path / "turned.png", exif=turned)
    images = [tmp_path / "a.png", str(tmp_path / "a.png"), np.asarray(picture), tmp_path / "turned.png"]
    results = segmenter(images, "a cat")
    assert [result.masks.shape for result in results] == [(1, 60, 80)] * 3 + [(1, 80, 60)]
    assert results[3].image.size == (60, 80)
    for result in results[1:3]:
        assert np.array_equal(result.logits, results[0].logits)


def test_batches_of_arrays_are_several_images(segmenter, picture):
    batch = np.stack([np.asarray(picture)] * 3)
    assert len(segmenter(batch, "a cat")) == 3
    assert len(segmenter(batch[0], "a cat")) == 1


def test_batches_change_nothing(segmenter, checkpoint, picture, example):
    images = [picture, example[0], picture.rotate(90)]
    batched = Segmenter.from_pretrained(checkpoint, device="cpu", batch_size=2)
    for one, other in zip(segmenter(images, ["a cat", "a dog"]), batched(images, ["a cat", "a dog"]), strict=True):
        np.testing.assert_allclose(one.logits, other.logits, atol=1e-5)
        assert one.image.size == other.image.size


def test_every_image_and_every_prompt_is_encoded_once(segmenter, picture, example, monkeypatch):
    encoded = {"texts": 0, "examples": 0, "images": 0}
    embed, look = segmenter.model.get_conditional_embeddings, segmenter.model.get_vision_features

    def count_prompts(**inputs):
        encoded["texts"] += len(inputs.get("input_ids", ()))
        encoded["examples"] += len(inputs.get("conditional_pixel_values", ()))
        return embed(**inputs)

    def count_images(pixel_values):
        encoded["images"] += len(pixel_values)
        return look(pixel_values)

    monkeypatch.setattr(segmenter.model, "get_conditional_embeddings", count_prompts)
    monkeypatch.setattr(segmenter.model, "get_vision_features", count_images)
    image, mask = example
    prompts = ["a cat", "a dog", "a cat", Prompt(image=image, mask=mask), Prompt("a cat", image, mask)]
    first = segmenter([picture, picture], prompts)[0]
    assert encoded == {"texts": 2, "examples": 1, "images": 2}
    again = segmenter(picture, [*prompts[3:], "a much longer text, by which the others are padded", "a cat"])[0]
    assert encoded == {"texts": 3, "examples": 1, "images": 3}
    assert np.array_equal(again.logits[0], first.logits[3])
    assert np.array_equal(again.logits[3], first.logits[0])
    segmenter(picture, Prompt(image=image))  # the same picture without its mask is another prompt
    assert encoded["examples"] == 2


def test_an_encoded_image_is_asked_without_its_being_encoded_again(segmenter, picture, example, monkeypatch):
    prompts = ["a", "b | c", Prompt("a", *example, weight=0.3)]
    expected = segmenter(picture, prompts, threshold=0.4)[0]
    encoded = segmenter.encode(picture)
    monkeypatch.setattr(segmenter.model, "get_vision_features", None)
    found = encoded.answer(segmenter.ask(prompts), threshold=0.4)
    assert found.labels == expected.labels and found.kinds == expected.kinds
    assert np.array_equal(found.masks, expected.masks) and np.array_equal(found.logits, expected.logits)


def test_kept_vectors_are_bounded(segmenter, monkeypatch):
    monkeypatch.setattr(module, "KEPT_VECTORS", 3)
    vectors, _ = segmenter.embed(["a", "b", "c", "d", "e"])
    assert vectors.shape == (5, 32)
    assert len(segmenter._vectors) == 3


def test_many_prompts_are_encoded_in_groups(segmenter, monkeypatch):
    texts = ["a", "bb", "ccc", "dddd", "eeeee"]
    whole, _ = segmenter.embed(texts)
    segmenter._vectors.clear()
    monkeypatch.setattr(module, "ENCODED_AT_ONCE", 2)
    torch.testing.assert_close(segmenter.embed(texts)[0], whole)


def test_stream_reads_an_image_when_it_is_its_turn(segmenter, picture):
    read = []

    def images():
        for number in range(3):
            read.append(number)
            yield picture

    stream = segmenter.stream(images(), "a cat")
    assert read == []
    next(stream)
    assert read == [0]


def test_thresholds(segmenter, picture):
    low, high = (segmenter(picture, ["a cat", "a dog"], threshold=t)[0] for t in (0.2, [0.5, 0.9]))
    assert low.thresholds == [0.2, 0.2]
    assert high.thresholds == [0.5, 0.9]
    assert (high.masks <= low.masks).all()
    assert np.array_equal(high.masks[1], high.probabilities(1) > 0.9)


def test_bfloat16(checkpoint, segmenter, picture, example):
    half = Segmenter.from_pretrained(checkpoint, device="cpu", dtype=torch.bfloat16)
    prompts = ["a cat", Prompt(image=example[0], mask=example[1])]
    one, other = segmenter(picture, prompts)[0], half(picture, prompts)[0]
    assert other.logits.dtype == np.float32
    assert (one.masks == other.masks).mean() > 0.95


@pytest.mark.parametrize(
    ("prompts", "options", "error", "message"),
    [
        ([], {}, ValueError, "There is no prompt: give at least one text"),
        ([3], {}, TypeError, r"A prompt is a string or a Prompt\(text=, image=, mask=\), got a int"),
        (None, {}, TypeError, r"A prompt is a string or a Prompt\(text=, image=, mask=\), got a NoneType"),
        ({"a cat": 0.5}, {}, TypeError, r"A prompt is a string .* got a dict"),
        (["a cat", " "], {}, ValueError, "empty phrase"),
        (["a", "b"], {"threshold": [0.5]}, ValueError, "1 threshold for 2 prompts: give one, or one for each"),
        (["a"], {"threshold": 30}, ValueError, r"A threshold is a probability in \[0, 1\], got \[30.0\]"),
    ],
)
def test_errors(segmenter, picture, prompts, options, error, message):
    with pytest.raises(error, match=message):
        segmenter(picture, prompts, **options)


@pytest.mark.parametrize("image", [None, 5])
def test_what_is_no_image_is_told(segmenter, image):
    with pytest.raises(TypeError, match=rf"images\[0\] is a {type(image).__name__}"):
        segmenter(image, "a cat")


def test_an_image_as_data_sets_keep_it(segmenter, picture, tmp_path):
    picture.save(tmp_path / "1.png")
    [one] = segmenter({"path": str(tmp_path / "1.png"), "bytes": None}, "a cat")
    assert one.masks.shape[1:] == (picture.height, picture.width)


def test_a_batch_of_no_images(segmenter):
    with pytest.raises(ValueError, match="batch_size is a number of images of at least 1, got 0"):
        Segmenter(segmenter.model, segmenter.processor, batch_size=0)
    assert segmenter([], "a cat") == []


@pytest.mark.parametrize("device", ["abacus", "xpu:7"])
def test_a_device_that_is_not_there(checkpoint, device):
    with pytest.raises(ValueError, match=f"The device {device} cannot be used here: "):
        Segmenter.from_pretrained(checkpoint, device=device)


def test_threads_share_a_segmenter(segmenter, checkpoint, picture, monkeypatch):
    """Also while vectors are thrown out of the cache again."""
    monkeypatch.setattr(module, "KEPT_VECTORS", 2)
    questions = [[letter * n, letter] for letter in "abcd" for n in (2, 5, 9)]
    alone = [segmenter(picture, asked)[0].logits for asked in questions]
    shared = Segmenter.from_pretrained(checkpoint, device="cpu")
    with ThreadPoolExecutor(6) as threads:
        together = list(threads.map(lambda number: shared(picture, questions[number % 12])[0].logits, range(72)))
    for number, logits in enumerate(together):
        np.testing.assert_allclose(logits, alone[number % 12], atol=1e-5, rtol=1e-5)  # in other company


def test_a_segmenter_can_be_copied(segmenter, picture):
    expected = segmenter(picture, "a cat")[0].logits
    np.testing.assert_allclose(copy.deepcopy(segmenter)(picture, "a cat")[0].logits, expected, atol=1e-5)


def test_an_open_file_and_thresholds_of_numpy(segmenter, picture):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    buffer.seek(0)
    (result,) = segmenter(buffer, ["a cat", "a dog"], threshold=np.float32(0.25))
    assert result.thresholds == [0.25, 0.25] and result.masks.shape == (2, 60, 80)
    assert segmenter(picture, "a cat", torch.tensor(0.5))[0].thresholds == [0.5]
