import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViTImageProcessorPil

from clipseg_hf.data.sampling.normalizing import Normalizer


@pytest.mark.parametrize("options", [{}, {"do_normalize": False}, {"do_rescale": False}])
def test_the_normalizer_is_the_image_processor_but_for_the_last_bits(options):
    image_processor = ViTImageProcessorPil(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225], **options)
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    expected = image_processor(Image.fromarray(image), do_resize=False, do_center_crop=False, return_tensors="pt")
    found = Normalizer(image_processor)(image)
    torch.testing.assert_close(found, expected["pixel_values"][0].float(), atol=1e-6, rtol=1e-6)
    out = torch.empty(3, 20, 30)
    assert Normalizer(image_processor)(image, out=out) is out and torch.equal(out, found)
