"""`Segmenter` without torch: the same results, from processes that never import it."""

import copy
import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit

from clipseg_hf.assets import EMOJI_SCENES
from clipseg_hf.inference import Prompt, Segmenter, Tiling

SCENE, OTHER = (f"{EMOJI_SCENES}/images/{number}.jpg" for number in (9, 2))
ABSENT = "torch", "transformers", "datasets", "pandas", "matplotlib"


def test_importing_it_imports_no_torch():
    code = f"import sys; from clipseg_hf.inference import Segmenter; print([n for n in {ABSENT} if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.fixture(scope="module")
def both(exported):
    return Segmenter.from_pretrained(exported, backend="onnx"), Segmenter.from_pretrained("emoji-tiny", device="cpu")


def _mask():
    mask = np.zeros(Image.open(SCENE).size[::-1], bool)
    mask[208:250, 100:142] = True
    return mask


@pytest.mark.slow
def test_the_results_are_those_of_torch(both):
    prompts = [
        "dog",
        "the sunflower above the dog",
        "dog | sunflower - cat",
        Prompt(image=SCENE, mask=_mask()),
        Prompt(image=(SCENE, OTHER), mask=(_mask(), None)),
        Prompt("dog", SCENE, _mask(), weight=0.3),
        *(f"number {number}" for number in range(12)),
    ]
    results = zip(*(segmenter([SCENE, OTHER], prompts) for segmenter in both), strict=True)
    for found, expected in results:
        # Relative far from 0: at logits about -7 float32 was 0.0017 (ONNX Runtime) and 0.0004 (PyTorch) from float64.
        np.testing.assert_allclose(found.logits, expected.logits, rtol=2e-4, atol=1e-3)
        np.testing.assert_allclose(expit(found.logits), expit(expected.logits), atol=2e-4)
        assert (found.masks != expected.masks).mean() < 1e-4
        for name in ("scores", "presence", "thresholds"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-3)
        assert found.kinds == expected.kinds and found.is_present == expected.is_present
        assert [line.split()[0] for line in found.describe()] == [line.split()[0] for line in expected.describe()]


@pytest.mark.slow
def test_prompt_vectors_are_those_of_torch(both):
    prompts = ["dog", Prompt(image=SCENE, mask=_mask()), Prompt("dog", OTHER, weight=0.7), Prompt("dog", OTHER)]
    assert both[0].image_prompt_weight == both[1].image_prompt_weight == 0.3  # emoji-tiny's own
    (found, kinds), (expected, expected_kinds) = (segmenter.embed(prompts) for segmenter in both)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert isinstance(found, np.ndarray) and kinds == expected_kinds


@pytest.mark.slow
def test_images_that_are_not_square(both):
    own = both[0].processor.image_processor.size
    for segmenter in both:
        segmenter.processor.image_processor.size = {"shortest_edge": 160}
    wide = Image.open(SCENE).convert("RGB").crop((0, 60, 256, 200))
    found, expected = (segmenter(wide, ["dog", "cat"])[0] for segmenter in both)
    for segmenter in both:
        segmenter.processor.image_processor.size = own
    assert found.logits.shape == (2, 160, 288)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-3)


@pytest.mark.slow
def test_each_image_and_each_prompt_is_encoded_once(exported, monkeypatch):
    segmenter = Segmenter.from_pretrained(exported, backend="onnx", batch_size=2)
    ran, run = [], segmenter.model.run
    monkeypatch.setattr(segmenter.model, "run", lambda name, **inputs: ran.append(name) or run(name, **inputs))
    segmenter([SCENE, OTHER], ["dog", "dog | cat", Prompt(image=SCENE)])
    segmenter(SCENE, "cat")
    counts = {name: ran.count(name) for name in set(ran)}
    assert counts == {"image_encoder": 3, "prompt_encoder_text": 1, "prompt_encoder_image": 1, "decoder": 3}


@pytest.mark.slow
def test_it_can_be_shared_copied_and_sent(exported):
    segmenter = Segmenter.from_pretrained(exported, backend="onnx")
    expected = segmenter(SCENE, "dog")[0].logits
    for other in (copy.deepcopy(segmenter), pickle.loads(pickle.dumps(segmenter))):
        np.testing.assert_allclose(other(SCENE, "dog")[0].logits, expected, atol=1e-5)
    shared = Segmenter.from_pretrained(exported, backend="onnx")
    with ThreadPoolExecutor(4) as threads:
        for result in threads.map(lambda _: shared(SCENE, "dog")[0], range(8)):
            np.testing.assert_allclose(result.logits, expected, atol=1e-4)


@pytest.mark.slow
def test_a_process_without_torch(exported, both):
    """Every way in and out that a result has."""
    code = f"""
import json, sys

sys.modules.update(dict.fromkeys({ABSENT}))  # as if they were not installed
from clipseg_hf.inference import MaskOperations, Prompt, Segmenter
segmenter = Segmenter.from_pretrained({str(exported)!r}, backend="onnx", prompt_templates="a {{}}")
prompts = ["dog", "dog - cat", Prompt(image={SCENE!r}), Prompt("dog", {OTHER!r})]
(result,) = segmenter({SCENE!r}, prompts)
result.exclusive().clean(MaskOperations(min_area=4, feather=1)).cutout(0)
result.objects().overlay(), result.to_dict(objects=True)
try:
    result.heat_map(0)
except ImportError as error:
    assert str(error) == "The colours of a heat map are matplotlib's: pip install matplotlib."
try:
    Segmenter.from_pretrained({str(exported)!r})
except ImportError as error:
    assert str(error) == "torch and transformers must be installed, unless backend='onnx' runs an export."
print(json.dumps(result.areas))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    areas = json.loads(result.stdout)
    full = both[1]
    full.prompt_templates = "a {}"
    expected = full(SCENE, ["dog", "dog - cat", Prompt(image=SCENE), Prompt("dog", OTHER)])[0].areas
    full.prompt_templates = None
    np.testing.assert_allclose(areas, expected, rtol=0.01, atol=3)


@pytest.mark.slow
def test_tiles_are_those_of_torch(both):
    large = Image.open(SCENE).convert("RGB").resize((400, 300))
    results = [
        Segmenter(segmenter.model, segmenter.processor, tiling=Tiling())(large, ["dog", "sunflower"])[0]
        for segmenter in both
    ]
    np.testing.assert_allclose(results[0].logits, results[1].logits, atol=1e-3)
    assert results[0].logits.shape == (2, 300, 400)
    assert (results[0].masks != results[1].masks).mean() < 1e-4
    np.testing.assert_allclose(results[0].presence, results[1].presence, atol=1e-3)
