import pickle
from collections import Counter
from dataclasses import replace

import datasets
import numpy as np
import pytest
import torch

from clipseg_hf.data.rows.row_phrases import truth_of
from clipseg_hf.data.rows.rows import ROW_FEATURES
from clipseg_hf.data.sampling.phrase_index import PhraseIndex
from clipseg_hf.data.sampling.sampling import (
    PromptedDataset,
    PromptSampler,
    SampleError,
    SamplingSettings,
    generator_for,
)
from clipseg_hf.data.vocabulary.phrases import PREFIXES
from clipseg_hf.processing import encode_rle

SMALL = SamplingSettings(image_size=48)


def sampler(rows, seed=0, **options) -> PromptSampler:
    return PromptSampler(rows, replace(SMALL, **options), seed=seed)


def all_samples(rows, epochs=1, seed=0, load_supports=False, **options):
    dataset = PromptedDataset(PromptSampler(rows, replace(SMALL, **options), seed=seed, load_supports=load_supports))
    for epoch in range(epochs):
        dataset.set_epoch(epoch)
        yield from (dataset[i] for i in range(len(dataset)))


def equal(one, other) -> bool:
    return pickle.dumps(one) == pickle.dumps(other)


@pytest.fixture(scope="module")
def epochs(world):
    """Five epochs with one phrase per image."""
    return list(all_samples(world, 5, load_supports=True))


# What an epoch holds


@pytest.mark.parametrize("phrases", [1, 2, 3, 9])
def test_an_epoch_asks_each_phrase_once(world, phrases):
    everything = sorted(entry["phrase_id"] for row in world for entry in row["phrases"])
    samples = list(all_samples(world, phrases_per_image=phrases))
    assert sorted(phrase_id for sample in samples for phrase_id in sample.phrase_ids) == everything
    assert max(len(sample.phrase_ids) for sample in samples) <= phrases
    assert len(samples) == sum(-(-len(row["phrases"]) // phrases) for row in world)


def test_phrases_are_dealt_out_evenly_and_anew_each_epoch(make_row):
    row = make_row(0, [(f"thing {i}", f"thing {i}", "red", (0, 0, 9, 9)) for i in range(5)])
    draw = sampler([row], phrases_per_image=4, negative_probability=0)
    assert draw.visits(0) == 2
    deals = {tuple(len(draw.sample(0, epoch, visit).phrases) for visit in (0, 1)) for epoch in range(5)}
    assert deals == {(3, 2)}
    assert len({tuple(draw.sample(0, epoch, 0).phrase_ids) for epoch in range(5)}) > 1


def test_a_row_without_phrases_is_not_visited(make_row):
    rows = [make_row(0, []), make_row(1, [("dog", "dog", "red", (0, 0, 9, 9))]), make_row(2, [])]
    dataset = PromptedDataset(sampler(rows))
    assert len(dataset) == 1
    assert dataset.locate(0) == (1, 0)
    with pytest.raises(IndexError, match="has 1 item, there is no item 1"):
        dataset[1]
    with pytest.raises(IndexError, match=r"Row 1 has 1 phrase, .*phrases_per_image=1 an epoch has 1 visit to it"):
        dataset.sampler.sample(1, 0, visit=1)


# What a sample holds


def test_shapes_and_types(world):
    sample = sampler(world, phrases_per_image=3, image_size=(32, 48)).sample(3)
    count = len(sample.texts)
    assert sample.image.shape == (32, 48, 3)
    assert sample.image.dtype == np.uint8
    assert sample.masks.shape == (count, 32, 48)
    assert sample.masks.dtype == np.uint8
    assert sample.masks.max() == 1
    assert sample.negative.shape == sample.image_prompt_weight.shape == (count,)
    assert sample.negative.dtype == bool
    assert sample.image_prompt_weight.dtype == np.float32
    assert len(sample.phrases) == len(sample.supports) == len(sample.phrase_ids) == count
    assert (sample.row, sample.image_id) == (3, "image-3")


@pytest.mark.parametrize(
    "options", [{}, {"crop": False}, {"hflip": 1.0}, {"phrases_per_image": 4}, {"image_size": (48, 32)}]
)
def test_masks_show_what_the_phrases_name(world, colors, options):
    """Pixels inside of a mask have the phrase's colour, and no pixel of that colour is outside of all masks."""
    for sample in all_samples(world, **options):
        for phrase, mask, negative in zip(sample.phrases, sample.masks, sample.negative, strict=True):
            assert negative == (not mask.any())
            if "square" not in phrase:
                continue
            distance = np.abs(sample.image.astype(int) - colors[phrase.split()[0]]).max(axis=2)
            inner = mask & np.roll(mask, 1, 0) & np.roll(mask, -1, 0) & np.roll(mask, 1, 1) & np.roll(mask, -1, 1)
            assert (distance[inner == 1] < 100).mean() > 0.9 if inner.sum() > 20 else True


def test_one_in_five_is_a_negative(world, epochs):
    own = [{entry["phrase"] for entry in row["phrases"]} for row in world]
    assert np.mean([sample.phrases[0] not in own[sample.row] for sample in epochs]) == pytest.approx(0.2, abs=0.04)


def test_a_negative_is_not_true_of_its_image(world):
    index = PhraseIndex(world)
    replaced = 0
    for sample in all_samples(world, negative_probability=1.0, phrases_per_image=2):
        own = {entry["phrase"] for entry in world[sample.row]["phrases"]}
        for phrase, negative in zip(sample.phrases, sample.negative, strict=True):
            if phrase not in own:
                assert negative
                assert not index.is_true_of(phrase, sample.row)
                replaced += 1
        assert len(set(sample.phrases)) == len(sample.phrases)
    assert replaced > 40


def test_where_everything_is_true_nothing_becomes_a_negative(make_row):
    rows = [make_row(i, [("dog", "dog", "red", (0, 0, 9, 9))]) for i in range(3)]
    assert not any(sample.negative.any() for sample in all_samples(rows, negative_probability=1.0))


def test_prefixes_are_drawn_evenly(epochs):
    counts = Counter(sample.texts[0].replace(sample.phrases[0], "{}") for sample in epochs)
    assert counts.keys() == set(PREFIXES)
    assert min(counts.values()) > 0.5 * len(epochs) / 9
    assert max(counts.values()) < 1.5 * len(epochs) / 9


def test_braces_in_a_phrase_stay(make_row):
    sample = sampler([make_row(0, [("a {} sign", "sign", "red", (0, 0, 9, 9))])], prefixes=("the {}!",)).sample(0)
    assert sample.texts == ["the a {} sign!"]


def test_supports_show_the_phrase_on_another_image(world, epochs):
    for sample in epochs:
        phrase, support, weight = sample.phrases[0], sample.supports[0], sample.image_prompt_weight[0]
        if phrase == "the only star":
            # its own image has no other; asked elsewhere, as a negative, it has the one
            assert (support is None) == (sample.row == 7)
        else:
            assert support is not None
        if support is None:
            assert weight == 0
            continue
        assert support.row != sample.row
        entry = world[support.row]["phrases"][support.phrase_number]
        assert entry["phrase"] == phrase
        assert support.image.shape == (*support.mask.shape, 3) == (60, 80, 3)
        assert support.mask.dtype == bool
        assert support.mask.any()


def test_negatives_have_supports_too(epochs):
    negatives = [sample for sample in epochs if sample.negative[0]]
    assert np.mean([sample.supports[0] is not None for sample in negatives]) > 0.9


@pytest.mark.parametrize(("mix", "low", "high"), [("code", 0.5, 1), ("paper", 0, 1), ("image", 1, 1)])
def test_the_weight_of_supports(world, mix, low, high):
    weights = np.array(
        [sample.image_prompt_weight[0] for sample in all_samples(world, 2, mix=mix) if sample.supports[0] is not None]
    )
    assert weights.min() >= low
    assert weights.max() <= high
    assert weights.mean() == pytest.approx((low + high) / 2, abs=0.05)
    assert weights.max() - weights.min() == pytest.approx(high - low, abs=0.05)


def test_text_alone_draws_no_supports(world):
    for sample in all_samples(world, mix="text"):
        assert sample.supports == [None]
        assert sample.image_prompt_weight == [0]


def test_half_of_the_phrases_with_supports(world):
    share = np.mean([sample.supports[0] is not None for sample in all_samples(world, 3, support_probability=0.5)])
    assert share == pytest.approx(0.5, abs=0.07)


def test_supports_need_not_be_loaded(world):
    loaded = sampler(world, phrases_per_image=2).sample(5)
    named = PromptSampler(world, replace(SMALL, phrases_per_image=2), load_supports=False).sample(5)
    assert [(s.row, s.phrase_number) for s in named.supports] == [(s.row, s.phrase_number) for s in loaded.supports]
    assert all(support.image is None and support.mask is None for support in named.supports)
    assert named.texts == loaded.texts
    again = sampler(world).support(loaded.supports[0].row, loaded.supports[0].phrase_number)
    assert equal(again, loaded.supports[0])


# Crops and flips


def test_what_the_crop_lost_is_a_negative(make_row):
    row = make_row(
        0,
        [("red square", "square", "red", (0, 10, 20, 30)), ("blue disc", "disc", "blue", (130, 10, 150, 30))],
        (40, 150),
    )
    draw = sampler([row], phrases_per_image=2, negative_probability=0)
    for epoch in range(10):
        sample = draw.sample(0, epoch)
        assert sorted(sample.phrases) == ["blue disc", "red square"]
        assert sample.negative.tolist() == (~sample.masks.any(axis=(1, 2))).tolist()
        assert sample.negative.sum() == 1


def test_entries_that_share_a_phrase_are_asked_as_one(make_row):
    row = make_row(0, [("dog", "dog", "red", (0, 0, 10, 10)), ("Dog", "dog", "red", (20, 0, 30, 10))], (40, 40))
    sample = sampler([row], crop=False, image_size=40, negative_probability=0).sample(0)
    assert sample.masks.sum() == 200
    assert sampler([row]).support(0, 0).mask.sum() == 200


def test_a_sample_never_asks_the_same_twice(make_row):
    things = [("dog", (0, 0, 10, 10)), ("cat", (10, 10, 20, 20)), ("Dog", (20, 0, 30, 10)), ("dog", (30, 30, 40, 40))]
    row = make_row(0, [(phrase, phrase.lower(), "red", box) for phrase, box in things], (40, 40))
    for epoch in range(5):
        sample = sampler([row], phrases_per_image=4, crop=False, negative_probability=0).sample(0, epoch)
        assert sorted(phrase.lower() for phrase in sample.phrases) == ["cat", "dog"]
        assert len(sample.phrase_ids) == len(sample.masks) == 2


def test_a_phrase_with_an_entry_for_each_thing_is_asked_once_in_an_epoch(make_row):
    things = [("dog", (0, 0, 10, 10)), ("cat", (10, 10, 20, 20)), ("Dog", (20, 0, 30, 10)), ("dog", (30, 30, 40, 40))]
    row = make_row(0, [(phrase, phrase.lower(), "red", box) for phrase, box in things], (40, 40))
    samples = list(all_samples([row], 2, crop=False, image_size=40, negative_probability=0))
    assert sorted((s.phrases[0], int(s.masks.sum())) for s in samples) == 2 * [("cat", 100)] + 2 * [("dog", 300)]


def test_a_thin_mask_survives_the_resize(make_row):
    row = make_row(0, [("wire", "wire", "red", (0, 33, 60, 34))], (60, 60))
    assert all(not s.negative[0] for s in all_samples([row], 5, image_size=16))


def test_an_empty_mask_is_a_negative_by_annotation(make_row):
    row = make_row(0, [("nothing", "nothing", "red", (0, 0, 0, 0))])
    assert sampler([row], negative_probability=0).sample(0).negative.tolist() == [True]


def test_a_flip_mirrors_the_sample_and_swaps_left_and_right(make_row):
    rows = [make_row(0, [("Left square", "square", "red", (0, 10, 20, 30))], (48, 48))]
    plain, mirrored = (sampler(rows, hflip=p).sample(0) for p in (0.0, 1.0))
    assert np.array_equal(mirrored.image, plain.image[:, ::-1])
    assert np.array_equal(mirrored.masks, plain.masks[:, :, ::-1])
    assert plain.phrases == ["Left square"]
    assert mirrored.phrases == ["Right square"]
    assert "Right square" in mirrored.texts[0]


def test_color_jitter_changes_the_image_alone(world):
    plain, jittered = (sampler(world, color_jitter=strength).sample(0) for strength in (0.0, 0.5))
    assert not np.array_equal(plain.image, jittered.image)
    assert np.array_equal(plain.masks, jittered.masks)
    assert plain.phrases == jittered.phrases


def test_without_crop_the_whole_image_is_squeezed(world):
    sample = sampler(world, crop=False, image_size=(30, 40), negative_probability=0, phrases_per_image=9).sample(3)
    assert not sample.negative.any()


def test_a_large_picture_is_decoded_at_a_fraction_and_its_masks_follow(make_row, colors):
    row = make_row(0, [("red square", "square", "red", (100, 30, 180, 110))], (201, 263))
    draw = sampler([row], negative_probability=0)
    assert draw.support(0, 0).image.shape == (51, 66, 3)
    assert draw.support(0, 0).mask.shape == (51, 66)
    sample = draw.sample(0)
    is_red = np.abs(sample.image.astype(int) - colors["red"]).max(axis=2) < 60
    assert (is_red == sample.masks[0]).mean() > 0.95


# Randomness


def test_the_generator_is_the_same_everywhere():
    assert torch.rand((), generator=generator_for(1, 2, 3)).item() == pytest.approx(0.05878281593322754)
    assert torch.rand((), generator=generator_for(1, 2, 3)) == torch.rand((), generator=generator_for(1, 2, 3))
    places = [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (1, 2, 3, 1)]
    assert len({torch.rand((), generator=generator_for(*place)).item() for place in places}) == len(places)


def test_a_sample_depends_on_seed_epoch_row_and_visit_alone(world):
    one, other = sampler(world, seed=3), sampler(world, seed=3)
    for row in (8, 2, 5):
        one.sample(row, 0)
    torch.manual_seed(99)
    assert equal(one.sample(4, 2), other.sample(4, 2))
    assert not equal(one.sample(4, 2), one.sample(4, 3))
    assert not equal(one.sample(4, 2), sampler(world, seed=4).sample(4, 2))


def test_a_dataset_gives_the_same_samples_as_a_list(world):
    data = datasets.Dataset.from_list(world, features=ROW_FEATURES)
    one, other = sampler(world, phrases_per_image=2), sampler(data, phrases_per_image=2)
    assert all(equal(one.sample(row), other.sample(row)) for row in range(10))


# Errors


@pytest.fixture
def broken(world):
    """Image 5 is cut off; image 6 has another size than its masks."""
    rows = list(world)
    rows[5] = rows[5] | {"image": {"bytes": rows[5]["image"]["bytes"][:-300], "path": None}}
    rows[6] = rows[6] | {"image": world[6]["image"], "phrases": [dict(entry) for entry in rows[6]["phrases"]]}
    for entry in rows[6]["phrases"]:
        entry["mask"] = {"size": [80, 60], "counts": entry["mask"]["counts"]}
    return rows


def test_a_broken_image_is_named(broken):
    with pytest.raises(
        SampleError, match=r"Row 5 \(image 'image-5'\) cannot be sampled: UnreadableImageError: .*truncated"
    ) as caught:
        sampler(broken).sample(5)
    assert (caught.value.row, caught.value.image_id) == (5, "image-5")
    assert "truncated" in caught.value.cause
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.row, copy.cause) == (str(caught.value), 5, caught.value.cause)


def test_masks_of_another_size_are_named(broken):
    with pytest.raises(
        SampleError, match=r"Row 6 .*the mask of '.*' is 80 x 60 pixels \(height x width\), the image 60 x 80"
    ):
        sampler(broken).sample(6)


def test_a_missing_file_and_a_broken_mask_are_named(world):
    missing = world[0] | {"image": {"bytes": None, "path": "gone/1.jpg"}}
    with pytest.raises(SampleError, match=r"Row 0 .*gone/1\.jpg\): there is no such file"):
        sampler([missing]).sample(0)
    torn = world[0] | {"phrases": [world[0]["phrases"][0] | {"mask": {"size": [60, 80], "counts": "0"}}]}
    with pytest.raises(SampleError, match=r"Row 0 .*ValueError: The RLE's runs"):
        sampler([torn]).sample(0)


def test_a_broken_support_is_named_as_what_it_is(make_row):
    rows = [make_row(i, [("dog", "dog", "red", (0, 0, 9, 9))]) for i in range(2)]
    rows[1]["image"] = {"bytes": b"", "path": None}
    with pytest.raises(SampleError, match=r"Row 1 \(image 'image-1'\)"):
        sampler(rows).sample(0)


def test_a_dataset_that_is_not_strict_gives_the_error(broken):
    dataset = PromptedDataset(sampler(broken, mix="text"), strict=False)
    items = [dataset[i] for i in range(len(dataset))]
    assert {item.row for item in items if isinstance(item, SampleError)} == {5, 6}
    with pytest.raises(SampleError):
        [PromptedDataset(sampler(broken))[i] for i in range(len(dataset))]


# Pixels that do not count


@pytest.fixture
def bordered(make_row):
    """A row of two squares; what lies within 5 pixels of the red one does not count, for the blue one a part more."""
    places = {"red": (20, 20, 40, 40), "blue": (50, 5, 70, 25)}
    row = make_row(0, [(f"{color} square", color, color, place) for color, place in places.items()])
    border = np.zeros((60, 80), dtype=bool)
    border[15:45, 15:45] = True
    border[20:40, 20:40] = False
    more = border.copy()
    more[50:] = True
    row["phrases"][0]["ignore"], row["phrases"][1]["ignore"] = encode_rle(border), encode_rle(more)
    other = make_row(1, [("green square", "green", "green", (0, 0, 30, 30))])
    return [row, other]


def test_labels_say_what_does_not_count(bordered):
    sample = sampler(bordered, image_size=(60, 80), crop=False, negative_probability=0, phrases_per_image=2).sample(0)
    labels = dict(zip(sample.phrases, sample.masks, strict=True))
    for number, phrase in enumerate(("red square", "blue square")):
        mask, ignored = truth_of(bordered[0]["phrases"], [number])
        assert np.array_equal(labels[phrase] == 1, mask) and np.array_equal(labels[phrase] == 255, ignored)
        assert set(np.unique(labels[phrase])) == {0, 1, 255}
    assert not sample.negative.any()


def test_crops_flips_and_sizes_carry_what_does_not_count_along(bordered):
    plain, mirrored = (
        sampler(bordered, negative_probability=0, hflip=p, min_foreground=0, phrases_per_image=2) for p in (0, 1)
    )
    for epoch in range(4):
        one, other = plain.sample(0, epoch), mirrored.sample(0, epoch)
        assert np.array_equal(one.masks[:, :, ::-1], other.masks)
        red = one.masks[one.phrases.index("red square")]
        image_is_red = one.image[..., 0] - one.image[..., 1].astype(int) > 100
        assert (red == 1)[image_is_red].mean() > 0.9  # the border surrounds what is seen to be red, wherever it went
        inside = np.argwhere(red == 1)
        around = np.argwhere(red == 255)
        assert (around.min(axis=0) <= inside.min(axis=0)).all() and (around.max(axis=0) >= inside.max(axis=0)).all()


def test_what_counts_for_no_phrase_does_not_count_for_a_negative_either(bordered):
    sample = sampler(bordered, image_size=(60, 80), crop=False, negative_probability=1, phrases_per_image=2).sample(0)
    assert "green square" in sample.phrases
    label = sample.masks[sample.phrases.index("green square")]
    assert np.array_equal(label == 255, truth_of(bordered[0]["phrases"], []).ignored) and not (label == 1).any()
    assert sample.negative[sample.phrases.index("green square")]


def test_an_ignored_part_that_does_not_fit_the_image_is_an_error(bordered):
    for entry in bordered[0]["phrases"]:
        entry["mask"] = entry["ignore"] = encode_rle(np.ones((4, 5), dtype=bool))
    with pytest.raises(
        SampleError, match=r"the mask of '.* square' is 4 x 5 pixels \(height x width\), the image 60 x 80"
    ):
        sampler(bordered).sample(0)


def test_a_stream_cannot_be_sampled(world):
    stream = datasets.Dataset.from_list(world, features=ROW_FEATURES).to_iterable_dataset()
    with pytest.raises(TypeError, match="got IterableDataset: load the data set without streaming"):
        PromptSampler(stream)


def test_an_index_of_other_rows_is_refused(world):
    with pytest.raises(ValueError, match="index is over 3 rows, but 40 are given: was it made before a filter"):
        PromptSampler(world, SMALL, index=PhraseIndex(world[:3]))


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"negative_probability": 1.5}, ValueError, r"negative_probability lies in \[0, 1\], got 1.5"),
        ({"hflip": -1}, ValueError, r"hflip lies in \[0, 1\], got -1"),
        ({"image_size": 0}, ValueError, r"image_size is a number of pixels or \(height, width\), got 0"),
        ({"image_size": (3, 4, 5)}, ValueError, r"image_size .*got \(3, 4, 5\)"),
        ({"phrases_per_image": 0}, ValueError, "phrases_per_image is at least 1, got 0"),
        ({"mix": "both"}, ValueError, "mix is one of code, paper, text, image; got 'both'"),
        ({"prefixes": "a {}"}, TypeError, r"prefixes is a list of templates, got a string: write \['a \{\}'\]"),
        ({"prefixes": ()}, ValueError, "prefixes are templates with one {} each, .*got none"),
        ({"prefixes": ("a photo",)}, ValueError, "prefixes are templates with one {} each, .*got 'a photo'"),
    ],
)
def test_settings_that_make_no_sense(options, error, match):
    with pytest.raises(error, match=match):
        replace(SMALL, **options)


def test_settings_may_come_from_yaml():
    settings = SamplingSettings(image_size=[32, 48], prefixes=["{}"])
    assert settings.size == (32, 48)
    assert settings == SamplingSettings(image_size=(32, 48), prefixes=("{}",))
