import numpy as np
import pytest
import torch
from PIL import Image

TWO = [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 6, 3), np.uint8)]


@pytest.fixture
def tiny(small):
    """A processor for 8 x 8 pixels, so that maps of 4 x 4 double."""
    small.image_processor.size = {"height": 8, "width": 8}
    return small


def corner(top=1, dtype=np.float64):
    mask = np.zeros((4, 4), dtype=dtype)
    mask[0, 0] = top
    return mask


@pytest.mark.parametrize(
    "mask",
    [
        corner(True, bool),
        corner(1, np.uint8),
        corner(1, np.int64),
        corner(255, np.uint8),
        corner(1.0),
        torch.from_numpy(corner()),
        Image.fromarray(corner(255, np.uint8)),
        corner()[None],
    ],
)
def test_binary_masks_become_labels_at_the_model_s_size(tiny, mask):
    labels = tiny("cat", TWO[0], segmentation_maps=mask, return_tensors="pt").labels
    expected = torch.zeros(1, 8, 8)
    expected[0, :2, :2] = 1
    assert labels.dtype == torch.float32 and torch.equal(labels, expected)


def test_soft_masks_keep_their_values(tiny):
    labels = tiny("cat", TWO[0], segmentation_maps=corner(0.25), return_tensors="pt").labels
    assert labels[0, 0, 0] == 0.25


def test_one_mask_for_each_prompt_of_ragged_images(tiny):
    maps = [corner(), 1 - corner(), np.ones((4, 6))]
    inputs = tiny([["cat", "dog"], ["a"]], TWO, segmentation_maps=maps, return_tensors="pt")
    assert inputs.labels.shape == (3, 8, 8)
    assert torch.equal(inputs.labels[0] + inputs.labels[1], torch.ones(8, 8)) and inputs.labels[2].min() == 1
    stacked = tiny(["cat", "dog"], TWO[0], segmentation_maps=np.stack(maps[:2]), return_tensors="pt").labels
    assert torch.equal(stacked, inputs.labels[:2])
    assert isinstance(tiny("cat", TWO[0], segmentation_maps=corner())["labels"], list)


def test_without_prompts_a_map_belongs_to_its_image(tiny):
    assert tiny(images=TWO[0], segmentation_maps=corner(), return_tensors="pt").labels.shape == (1, 8, 8)


def test_an_index_map_counts_the_prompts_of_its_image_from_one(tiny):
    index = np.zeros((4, 4), np.uint8)
    index[0], index[1], index[2] = 1, 2, 255
    inputs = tiny([["cat", "dog"], ["a"]], TWO, segmentation_maps=[index, np.ones((4, 6))], ignore_index=255)
    cat, dog, other = inputs["labels"]
    assert cat[::2, 0].tolist() == [1, 0, 255, 0]
    assert dog[::2, 0].tolist() == [0, 1, 255, 0]
    assert other.min() == 1
    single = tiny(["cat", "dog"], TWO[0], segmentation_maps=index, ignore_index=255)["labels"]
    assert np.array_equal(single[1], dog)


def test_the_index_map_of_one_prompt_is_its_mask(tiny):
    mask = corner(1, np.uint8)
    mask[3] = 255
    labels = tiny("cat", TWO[0], segmentation_maps=mask, ignore_index=255, return_tensors="pt").labels
    assert labels.unique().tolist() == [0, 1, 255]
    labels = tiny("cat", TWO[0], segmentation_maps=np.where(mask == 255, -100.0, mask), ignore_index=-100)["labels"]
    assert np.unique(labels).tolist() == [-100, 0, 1]


def test_labels_follow_the_size_of_their_image(tiny):
    tiny.patch_size = 4
    options = {"size": {"shortest_edge": 8}, "return_tensors": "pt"}
    inputs = tiny("cat", TWO[1], segmentation_maps=np.ones((4, 6)), **options)
    assert inputs.labels.shape[1:] == inputs.pixel_values.shape[2:] == (8, 12)
    inputs = tiny("cat", TWO[1], segmentation_maps=np.ones((4, 6)), do_resize=False, return_tensors="pt")
    assert inputs.labels.shape == (1, 4, 6)


@pytest.mark.parametrize(
    ("text", "maps", "ignore_index", "message"),
    [
        ("cat", np.zeros((4, 5)), None, r"segmentation_maps\[0\] is 4 x 5 pixels .* but its image is 4 x 4"),
        ("cat", corner(7), None, r"segmentation_maps\[0\] holds 0, 7, expected a mask of bool, 0/1, 0/255 or float"),
        ("cat", np.arange(16).reshape(4, 4), None, r"holds 0, 1, 2, 3, 4, ... \(16 different values\)"),
        ("cat", corner(-1), None, r"holds -1, 0, expected"),
        ("cat", corner(np.nan), None, r"holds 0, nan, expected"),
        ("cat", corner(255.0), None, r"holds 0, 255, expected.*Compare it \(mask > 127\)"),
        ("cat", corner(3), 255, r"or 255 to ignore"),
        ("cat", corner(255, np.uint8), 255, r"holds only 0 and 255, and ignore_index is 255: .* lose its object"),
        (["cat", "dog"], corner(255, np.uint8), None, r"holds 255, but its image has 2 prompts.*is it a 0/255 mask\?"),
        (["cat", "dog"], corner(3), None, r"holds 3, but its image has 2 prompts.*give ignore_index"),
        (["cat", "dog"], corner(1, bool), None, r"is a bool mask, but its image has 2 prompts: give one mask for each"),
        (["cat", "dog"], [corner()] * 3, None, r"3 segmentation_maps fit neither the 2 prompts .* nor the 1 images"),
    ],
)
def test_errors_name_the_map_and_what_it_holds(tiny, text, maps, ignore_index, message):
    with pytest.raises(ValueError, match=message):
        tiny(text, TWO[0], segmentation_maps=maps, ignore_index=ignore_index)
