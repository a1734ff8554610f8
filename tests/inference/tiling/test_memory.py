"""What a picture of 100 megapixels costs, measured in a process of its own."""

import os
import subprocess
import sys

import numpy as np
import pytest

HIGH, WIDE = 10_000, 10_000
CODE = """
import resource, sys
import numpy as np
from clipseg_hf.inference import Segmenter, Tiling
from clipseg_hf.inference.tiling import answering

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB

segmenter = Segmenter.from_pretrained(sys.argv[1], device="cpu", tiling=Tiling(tile_size=1024))
segmenter(np.zeros((1500, 1100, 3), np.uint8), ["a", "b"])
before = peak()
result = segmenter(sys.argv[2], ["a cat", "a dog"])[0]
assert result.masks.shape == (2, 10_000, 10_000) and result.masks.any() and not result.masks.all()
assert result.logits.nbytes <= 2 * 4.3 * answering.KEPT_PIXELS
asked = peak()
result.exclusive()
print(asked - before, peak() - before)
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_100_megapixels(checkpoint, tmp_path):
    """The masks take 200 MB, their probabilities would take 800, and the file's pixels 300 (Pillow's 400)."""
    rasterio = pytest.importorskip("rasterio")
    path, random = tmp_path / "large.tif", np.random.default_rng(0)
    options = {"driver": "GTiff", "height": HIGH, "width": WIDE, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    with rasterio.open(path, "w", **options, compress="deflate", tiled=True) as file:
        for top in range(0, HIGH, 500):
            cells = random.integers(0, 256, (3, 5, WIDE // 100), dtype=np.uint8)
            file.write(np.kron(cells, np.ones((100, 100), np.uint8)), window=((top, top + 500), (0, WIDE)))
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE, str(checkpoint), str(path)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    asked, exclusive = map(float, result.stdout.split())
    assert asked < 700
    assert exclusive < 700  # the label map takes 100, and its masks 200
