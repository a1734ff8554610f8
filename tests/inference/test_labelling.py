"""What was found, as labels."""

import numpy as np
import torch
from PIL import Image

from clipseg_hf.inference import Segmentation
from clipseg_hf.inference.labelling import labelled


def test_parts_are_things_and_what_may_be_absent_is_left_out():
    logits = torch.full((2, 4, 6), -3.0)
    logits[0, :, :2], logits[0, :, 5:], logits[1] = 1.0, 3.0, 1.0
    found = Segmentation.from_logits(
        Image.new("RGB", (6, 4)), logits, ["cat", "dog"], ["text"] * 2, [0.5] * 2, 0.3, presence=[0.9, 0.2]
    )

    image = labelled(found, "x.jpg")

    assert image.name == "x.jpg" and image.size == (4, 6) and image.image is found.image
    assert [(thing.label, int(thing.mask.sum())) for thing in image.objects] == [("cat", 8), ("cat", 4)]
    np.testing.assert_allclose([thing.score for thing in image.objects], torch.tensor([1.0, 3.0]).sigmoid(), atol=0.2)
    everything = labelled(found.to_dict(objects=True), "x.jpg", "x.jpg", min_presence=0)
    assert [thing.label for thing in everything.objects] == ["cat", "cat", "dog"]
    plain = labelled(found.to_dict(), "x.jpg", "x.jpg").objects  # as `clipseg-hf segment` writes it without --objects
    assert [(int(thing.mask.sum()), thing.score) for thing in plain] == [(n, round(found.scores[0], 6)) for n in (8, 4)]
