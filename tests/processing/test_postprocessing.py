import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipseg_hf.processing import CLIPSegProcessor, decode_rle, presence_scores


def outputs(logits, prompt_to_image=None):
    owners = None if prompt_to_image is None else torch.tensor(prompt_to_image)
    return SimpleNamespace(logits=torch.as_tensor(logits, dtype=torch.float32), prompt_to_image=owners)


def logit(probability):
    return torch.logit(torch.as_tensor(probability, dtype=torch.float64)).float()


def test_one_prompt_by_hand(small):
    result = small.post_process_prompted_segmentation(outputs(logit([[[0.9, 0.2], [0.5, 0.1]]])))
    assert len(result) == 1 and len(result[0]) == 1  # one image, one prompt: both axes stay
    found = result[0][0]
    assert found.mask.tolist() == [[True, False], [True, False]]  # above 0.3
    torch.testing.assert_close(found.probabilities, torch.tensor([[0.9, 0.2], [0.5, 0.1]]))
    assert found.score == pytest.approx(0.7)  # the mean of 0.9 and 0.5
    assert found.presence == pytest.approx(0.9) and found.is_present
    assert found["mask"] is found.mask and set(found) == {"mask", "probabilities", "score", "presence", "is_present"}


def test_a_record_is_json(small):
    logits = torch.full((1, 4, 6), -9.0)
    logits[0, 1:3, 2:5] = 9
    (found,) = small.post_process_prompted_segmentation(outputs(logits))[0]
    record = json.loads(json.dumps(found.to_record()))
    assert record["box"] == [2, 1, 3, 2] and record["area"] == 6 and record["is_present"] is True
    assert record["score"] == found.score and record["presence"] == found.presence
    assert np.array_equal(decode_rle(record["segmentation"]), found.mask.numpy())


def test_an_empty_mask_has_score_zero(small):
    (found,) = small.post_process_prompted_segmentation(outputs(logit([[[0.2]]])))[0]
    assert not found.mask.any() and found.score == 0 and not found.is_present
    assert found.presence == pytest.approx(0.2)


def test_a_pixel_belongs_to_the_mask_above_the_threshold_not_at_it(small):
    zero = outputs([[[0.0, 1e-3]]])
    assert small.post_process_prompted_segmentation(zero, threshold=0.5)[0][0].mask.tolist() == [[False, True]]


def test_prompts_are_sorted_by_image(small):
    logits = torch.arange(4.0).view(4, 1, 1)
    results = small.post_process_prompted_segmentation(outputs(logits, [1, 0, 1, 1]), [(1, 1), (2, 3), (1, 1)])
    assert [len(of_image) for of_image in results] == [1, 3, 0]
    found = [[round(p.probabilities.max().logit().item()) for p in of_image] for of_image in results]
    assert found == [[1], [0, 2, 3], []]
    assert results[1][2].mask.shape == (2, 3)


def test_what_transformers_model_returns(small):
    logits = torch.zeros(3, 2, 2)
    assert [len(r) for r in small.post_process_prompted_segmentation(outputs(logits))] == [1, 1, 1]
    assert [len(r) for r in small.post_process_prompted_segmentation(outputs(logits), [(2, 2)])] == [3]
    assert [len(r) for r in small.post_process_prompted_segmentation(outputs(logits[0]))] == [1]  # squeezed there
    assert small.post_process_semantic_segmentation(outputs(logits[0]))[0].shape == (2, 2)


def test_masks_are_resized_by_pixel_centres(small):
    found = small.post_process_prompted_segmentation(outputs(logit([[[0.0, 1.0]]])), [(1, 4)])[0][0]
    torch.testing.assert_close(found.probabilities, torch.tensor([[0, 0.25, 0.75, 1]]))
    shrunk = small.post_process_prompted_segmentation(outputs(logit([[[0, 0, 1, 1.0]]])), [(1, 1)])[0][0]
    assert shrunk.probabilities.item() == pytest.approx(0.5)
    assert small.post_process_prompted_segmentation(outputs(torch.zeros(1, 4, 4)), torch.tensor([[3, 5]]))


def test_thresholds_follow_the_kind_of_the_prompt(small, tokenizer):
    own = {"text": 0.2, "image": 0.4, "mixed": 0.6, "presence": 0.45}
    processor = CLIPSegProcessor(small.image_processor, tokenizer, mask_thresholds=own)
    half = outputs(logit(torch.full((3, 1, 1), 0.5)), [0, 0, 0])
    masks = processor.post_process_prompted_segmentation(half, prompt_kinds=["text", "image", "mixed"])[0]
    assert [bool(found.mask) for found in masks] == [True, True, False] and all(found.is_present for found in masks)

    def shares(**options):
        return [bool(f.mask) for f in processor.post_process_prompted_segmentation(half, **options)[0]]

    assert shares() == [True] * 3 and shares(prompt_kinds="mixed") == [False] * 3
    assert shares(threshold=0.9) == [False] * 3 and shares(threshold=[0.1, 0.9, 0.1]) == [True, False, True]
    inputs = processor(["cat", None], visual_prompt=[None, np.zeros((4, 4, 3), np.uint8)])
    assert inputs.prompt_kinds == ["text", "image"]


def test_presence_by_hand():
    logits = torch.full((2, 10, 20), -4.0)
    logits[0, 0, :2] = torch.tensor([1.0, 3.0])  # 1 % of 200 pixels are two
    torch.testing.assert_close(presence_scores(logits), torch.sigmoid(torch.tensor([2.0, -4.0])))
    torch.testing.assert_close(presence_scores(logits, share=1.0)[1], torch.sigmoid(torch.tensor(-4.0)))
    with pytest.raises(ValueError, match=r"share is part of the pixels, in \(0, 1\], got 0"):
        presence_scores(logits, share=0)


@given(st.floats(-5, 5), st.floats(0.01, 3))
def test_presence_rises_with_the_logits(start, more):
    logits = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(0)) + start
    assert presence_scores(logits + more) > presence_scores(logits)


def test_a_stray_pixel_does_not_make_a_thing_present():
    logits = torch.full((1, 100, 100), -6.0)
    logits[0, 50, 50] = 20
    assert presence_scores(logits).item() < 0.01


def test_semantic_map_by_hand(small):
    cat, dog = [[0.9, 0.4, 0.1, 0.2]], [[0.8, 0.6, 0.2, 0.9]]
    both = outputs(logit([cat, dog]), [0, 0])
    assert small.post_process_semantic_segmentation(both)[0].tolist() == [[1, 2, 0, 2]]
    assert small.post_process_semantic_segmentation(both, background_threshold=0)[0].tolist() == [[1, 2, 2, 2]]
    assert small.post_process_semantic_segmentation(both, background_threshold=[0.95, 0.7])[0].tolist() == [
        [2, 0, 0, 2]
    ]
    maps = small.post_process_semantic_segmentation(both, labels=[17, 4])
    assert maps[0].tolist() == [[17, 4, 0, 4]] and maps[0].dtype == torch.int64


def test_semantic_maps_of_ragged_images(small):
    three = outputs(logit(torch.full((3, 1, 1), 0.5)), [0, 2, 2])
    maps = small.post_process_semantic_segmentation(three, [(1, 2), (2, 2), (1, 1)])
    assert [m.tolist() for m in maps] == [[[1, 1]], [[0, 0], [0, 0]], [[1]]]
    named = small.post_process_semantic_segmentation(three, [(1, 1)] * 3, labels=[[5], [], [6, 7]])
    assert [m.item() for m in named] == [5, 0, 6]


@given(st.integers(1, 4), st.integers(0, 10_000))
def test_an_index_map_survives_the_way_through_labels(prompts, seed):
    from clipseg_hf.processing.masks.mask_images import make_labels
    from clipseg_hf.processing.postprocessing import semantic_maps

    index = np.random.default_rng(seed).integers(0, prompts + 1, (5, 7))
    labels = np.stack(make_labels([index], [prompts], [(5, 7)], [(10, 14)])) if prompts > 1 else None
    if labels is None:
        labels = np.stack(make_labels([index == 1], [1], [(5, 7)], [(10, 14)]))
    maps = semantic_maps(torch.from_numpy(labels * 20 - 10), torch.zeros(prompts, dtype=torch.long))
    assert np.array_equal(maps[0].numpy(), index.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize(
    ("logits", "owners", "options", "message"),
    [
        (torch.zeros(2, 1, 1, 1), None, {}, r"logits of shape \(N, H, W\), got \(2, 1, 1, 1\)"),
        (torch.zeros(2, 1, 1), [0], {}, "images of 1 prompt, but the logits are of 2"),
        (
            torch.zeros(2, 1, 1),
            [0, 2],
            {"target_sizes": [(1, 1)] * 2},
            "2 target_sizes for 2 prompts of 3 images",
        ),
        (torch.zeros(3, 1, 1), None, {"target_sizes": [(1, 1)] * 2}, "2 target_sizes for 3 prompts"),
        (torch.zeros(2, 1, 1), None, {"target_sizes": [(1, 1)] * 3}, "3 target_sizes for 2 prompts"),
        (torch.zeros(2, 1, 1), None, {"threshold": [0.5]}, "1 threshold for 2 prompts: give one, or one for each"),
        (torch.zeros(2, 1, 1), None, {"threshold": 30}, r"probability in \[0, 1\], got \[30.0, 30.0\]"),
        (torch.zeros(2, 1, 1), None, {"prompt_kinds": "txt"}, "prompt_kinds are text, image, mixed, one for each of 2"),
        (torch.zeros(2, 1, 1), None, {"prompt_kinds": ["text"]}, "one for each of 2 prompts; got"),
    ],
)
def test_errors_name_the_numbers_that_do_not_fit(small, logits, owners, options, message):
    with pytest.raises(ValueError, match=message):
        small.post_process_prompted_segmentation(outputs(logits, owners), **options)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1], r"labels for \[1\] prompts do not fit images with \[2\]"),
        ([[1, 2], [3]], r"labels for \[2, 1\] prompts do not fit images with \[2\]"),
        (["cat", "dog"], "labels are whole numbers, got 'cat'; names go beside the map"),
    ],
)
def test_labels_that_do_not_fit(small, labels, message):
    with pytest.raises(ValueError, match=message):
        small.post_process_semantic_segmentation(outputs(torch.zeros(2, 1, 1), [0, 0]), labels=labels)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"txt": 0.5}, "mask_thresholds has no txt; there are text, image, mixed, presence"),
        ({"text": 5}, r"mask threshold for text is a number in \[0, 1\], got 5"),
        ({"text": "0.5"}, r"number in \[0, 1\], got '0.5'"),
    ],
)
def test_thresholds_are_checked(small, tokenizer, thresholds, message):
    with pytest.raises(ValueError, match=message):
        CLIPSegProcessor(small.image_processor, tokenizer, mask_thresholds=thresholds)
