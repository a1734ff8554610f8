"""The wrapper applied by FiftyOne itself, to a data set in its own database."""

import numpy as np
import pytest

from clipseg_hf.assets import EMOJI_SCENES
from clipseg_hf.inference import Segmenter
from tools.conftest import load_example

PROMPTS = ["dog", "fox", "rocket"]
SCENES = [f"{EMOJI_SCENES}/images/{number}.jpg" for number in (9, 10, 11)]


@pytest.fixture
def dataset(fiftyone):
    dataset = fiftyone.Dataset(overwrite=True)
    dataset.add_samples([fiftyone.Sample(filepath=path) for path in SCENES])
    yield dataset
    dataset.delete()


@pytest.mark.parametrize("batch_size", [None, 2])
def test_things_with_masks(fiftyone, dataset, batch_size):
    model = load_example("fiftyone_model").CLIPSegModel(PROMPTS, "emoji-tiny", min_area=0)

    dataset.apply_model(model, "clipseg", batch_size=batch_size, skip_failures=False)

    dataset.reload()
    results = Segmenter.from_pretrained("emoji-tiny")(SCENES, PROMPTS)
    for sample, result in zip(dataset, results, strict=True):
        found = {label: np.zeros_like(mask) for label, mask in zip(PROMPTS, result.masks, strict=True)}
        for thing in sample["clipseg"].detections:
            whole = thing.to_segmentation(frame_size=result.image.size, target=1).mask
            found[thing.label] |= whole.astype(bool)
            assert 0 < thing.confidence <= 1
        for label, mask, is_present in zip(PROMPTS, result.masks, result.is_present, strict=True):
            assert np.array_equal(found[label], mask & is_present), label
    assert dataset.count("clipseg.detections") >= 3
    sure = dataset.filter_labels("clipseg", fiftyone.ViewField("confidence") > 0.99)
    assert sure.count("clipseg.detections") < dataset.count("clipseg.detections")


def test_one_map_of_all(fiftyone, dataset):
    model = load_example("fiftyone_model").CLIPSegModel(PROMPTS, "emoji-tiny", semantic=True, min_area=0)
    assert model.mask_targets == {1: "dog", 2: "fox", 3: "rocket"}

    dataset.apply_model(model, "clipseg", skip_failures=False)
    dataset.mask_targets["clipseg"] = model.mask_targets
    dataset.save()

    results = Segmenter.from_pretrained("emoji-tiny")(SCENES, PROMPTS)
    for sample, result in zip(dataset, results, strict=True):
        assert np.array_equal(sample["clipseg"].mask, result.exclusive().label_map)
    dataset.add_sample_field("again", fiftyone.EmbeddedDocumentField, embedded_doc_type=fiftyone.Segmentation)
    dataset.set_values("again", dataset.values("clipseg"))
    scores = dataset.evaluate_segmentations("again", gt_field="clipseg", mask_targets=model.mask_targets)
    assert scores.metrics()["accuracy"] == 1
