import numpy as np
import pytest
import torch
from PIL import Image

from clipseg_hf.processing.pixels import Normalizer


@pytest.mark.parametrize("options", [{}, {"do_normalize": False}, {"do_rescale": False}])
def test_the_normalizer_is_the_image_processor_but_for_the_last_bits(small, options):
    image_processor = small.image_processor
    for name, value in options.items():
        setattr(image_processor, name, value)
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    expected = image_processor(Image.fromarray(image), do_resize=False, do_center_crop=False, return_tensors="pt")
    found = Normalizer(image_processor)(image)
    torch.testing.assert_close(found, expected["pixel_values"][0].float(), atol=1e-6, rtol=1e-6)
    out = torch.empty(3, 20, 30)
    assert Normalizer(image_processor)(image, out=out) is out and torch.equal(out, found)
