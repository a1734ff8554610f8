"""The task "prompted-image-segmentation": whatever transformers' pipelines take, each image encoded once."""

import base64
import io
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import datasets
import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from torch.utils.data import Dataset
from transformers.pipelines.pt_utils import KeyDataset

import clipseg_hf
from clipseg_hf.assets import EMOJI_SCENES, EMOJI_TINY
from clipseg_hf.hub import PromptedImageSegmentationPipeline
from clipseg_hf.inference import GuidedFilter, Prompt, Segmenter
from clipseg_hf.inference.demo import load_scenes
from clipseg_hf.processing import decode_rle, mask_to_box

SCENE = f"{EMOJI_SCENES}/images/9.jpg"
PROMPTS = ["dog", "sunflower", "cat"]


@pytest.fixture(scope="module")
def segment() -> PromptedImageSegmentationPipeline:
    return clipseg_hf.pipeline("prompted-image-segmentation", model="emoji-tiny", device="cpu")


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.from_pretrained("emoji-tiny", device="cpu")


@pytest.fixture(scope="module")
def scenes() -> list[Image.Image]:
    """Of different sizes."""
    images = [row["image"] for row in load_scenes().values()][:3]
    return [images[0], images[1].crop((0, 0, 200, 180)), images[2]]


@pytest.fixture
def encoded(segment):
    """How many images went through the vision tower, call by call."""
    counts = []
    hook = segment.model.clip.vision_model.embeddings.register_forward_hook(
        lambda module, inputs, output: counts.append(len(output))
    )
    yield counts
    hook.remove()


def _same(one: list[dict], other: list[dict]) -> bool:
    assert [found["label"] for found in one] == [found["label"] for found in other]
    assert [found["score"] for found in one] == pytest.approx([found["score"] for found in other], abs=1e-4)
    assert [found["presence"] for found in one] == pytest.approx([found["presence"] for found in other], abs=1e-4)
    masks = [[np.asarray(found["mask"]) for found in side] for side in (one, other)]
    return all((a != b).mean() < 1e-3 for a, b in zip(*masks, strict=True))


def test_it_gives_what_the_segmenter_gives(segment, segmenter):
    found, result = segment(SCENE, prompts=PROMPTS), segmenter(SCENE, PROMPTS)[0]
    assert [list(entry) for entry in found] == [["label", "score", "mask", "presence", "box"]] * 3
    for number, entry in enumerate(found):
        assert entry["label"] == PROMPTS[number]
        assert entry["score"] == pytest.approx(result.scores[number], abs=1e-5)
        assert entry["presence"] == pytest.approx(result.presence[number], abs=1e-5)
        assert entry["mask"].mode == "L" and entry["mask"].size == result.image.size
        mask = np.asarray(entry["mask"])
        assert set(np.unique(mask)) <= {0, 255}
        assert ((mask > 0) != result.masks[number]).mean() < 1e-4
        assert entry["box"] == mask_to_box(mask > 0)
    assert found[0]["box"] and found[0]["presence"] > 0.9 > found[1]["presence"]


def test_texts_examples_and_mixtures(segment, segmenter):
    scene = load_scenes()["9"]
    mask = decode_rle(next(phrase["mask"] for phrase in scene["phrases"] if phrase["phrase"] == "dog"))
    prompts = ["dog", Prompt(image=scene["image"], mask=mask), Prompt("dog", scene["image"], mask, weight=0.3)]
    image = load_scenes()["2"]["image"]
    found, result = segment(image, prompts=prompts), segmenter(image, prompts)[0]
    assert [entry["label"] for entry in found] == ["dog", "example image", "dog + example image"]
    assert [entry["score"] for entry in found] == pytest.approx(result.scores, abs=1e-5)
    (alone,) = segment(image, prompts=prompts[1])
    assert alone["score"] == pytest.approx(result.scores[1], abs=1e-5)


class Pictures(Dataset):
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, number):
        return self.images[number]


def test_every_kind_of_input(segment):
    data = Path(SCENE).read_bytes()
    coded = base64.b64encode(data).decode()
    handler = partial(SimpleHTTPRequestHandler, directory=f"{EMOJI_SCENES}/images")
    handler.func.log_message = lambda *_: None
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/9.jpg"
        inputs = [Image.open(SCENE), SCENE, url, coded, base64.encodebytes(data).decode(), data]
        inputs += [f"data:image/jpeg;base64,{coded}", np.asarray(Image.open(SCENE)), {"bytes": data, "path": None}]
        expected = segment(SCENE, prompts="dog")
        for number, found in enumerate(segment(inputs, prompts="dog")):
            assert _same(found, expected), number
        assert _same(segment(url, prompts="dog"), expected)
        server.shutdown()


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_an_image_is_encoded_once_whatever_the_batching(segment, scenes, encoded, batch_size):
    expected = [segment(image, prompts=PROMPTS) for image in scenes]
    assert encoded == [1, 1, 1]
    encoded.clear()
    found = segment(scenes, prompts=PROMPTS, batch_size=batch_size)
    assert encoded == {1: [1, 1, 1], 2: [2, 1], 3: [3]}[batch_size]
    assert all(_same(*pair) for pair in zip(found, expected, strict=True))
    assert [entry[0]["mask"].size for entry in found] == [image.size for image in scenes]


def test_generators_and_data_sets_are_read_as_they_go(segment, scenes):
    read = []

    def pictures():
        for number, image in enumerate(scenes):
            read.append(number)
            yield image

    expected = segment(scenes, prompts=PROMPTS)
    stream = segment(pictures(), prompts=PROMPTS)
    assert _same(next(iter(stream)), expected[0]) and len(read) < 3
    rows = datasets.Dataset.from_dict({"image": scenes})
    for inputs in (Pictures(scenes), KeyDataset(rows, "image"), pictures()):
        stream = segment(inputs, prompts=PROMPTS, batch_size=2)
        assert not isinstance(stream, list)
        assert all(_same(*pair) for pair in zip(stream, expected, strict=True))
    (found, *_) = segment(Pictures(scenes), prompts=PROMPTS, num_workers=1)
    assert _same(found, expected[0])


def test_each_prompt_is_encoded_once(segment, scenes, monkeypatch):
    encoded, embed = [], segment.model.get_conditional_embeddings

    def count(**inputs):
        encoded.append(len(inputs["input_ids"]))
        return embed(**inputs)

    monkeypatch.setattr(segment.model, "get_conditional_embeddings", count)
    segment([*scenes, *scenes], prompts=["hamburger", "fox", "hamburger"], batch_size=2)
    segment(scenes, prompts="fox")
    assert encoded == [2]


def test_thresholds_and_defaults_of_the_pipeline(segment, segmenter):
    low, high = (segment(SCENE, prompts="dog", threshold=value)[0] for value in (0.1, [0.95]))
    assert np.asarray(low["mask"]).sum() > np.asarray(high["mask"]).sum()
    expected = segmenter(SCENE, "dog", threshold=0.1)[0].areas[0]
    assert (np.asarray(low["mask"]) > 0).sum() == pytest.approx(expected, abs=5)
    made = clipseg_hf.pipeline(model=EMOJI_TINY, device="cpu", prompts="dog", threshold=0.1, batch_size=2)
    assert _same(made(SCENE), [low])
    assert _same(made(SCENE, threshold=0.95), [high])
    assert [entry["label"] for entry in made(SCENE, prompts=PROMPTS)] == PROMPTS


def test_semantic_gives_each_pixel_to_one_prompt_at_most(segment, segmenter):
    prompts = ["dog", "animal", "dragon"]
    found = segment(SCENE, prompts=prompts, subtask="semantic", threshold=0.2)
    masks = np.stack([np.asarray(entry["mask"]) > 0 for entry in found])
    assert masks.sum(axis=0).max() == 1 and masks.any(axis=(1, 2)).all()
    result = segmenter(SCENE, prompts, threshold=0.2)[0].exclusive()
    present = [number for number, mask in enumerate(result.masks) if mask.any()]
    assert [entry["label"] for entry in found] == [prompts[number] for number in present]
    assert [entry["score"] for entry in found] == pytest.approx([result.scores[n] for n in present], abs=1e-3)


def test_without_prompts_those_of_the_checkpoint(segment, tmp_path):
    with pytest.raises(ValueError, match=r"no prompts were given, .* \(it says LABEL_0, LABEL_1\)\. Give prompts="):
        segment(SCENE)
    names = [f"thing {number}" for number in range(11)]
    segment.model.config.id2label = dict(enumerate(names))
    segment.save_pretrained(tmp_path)
    segment.model.config.id2label = {0: "LABEL_0", 1: "LABEL_1"}
    loaded = transformers.pipeline("prompted-image-segmentation", model=str(tmp_path), device="cpu")
    assert isinstance(loaded, PromptedImageSegmentationPipeline)
    assert loaded.processor.mask_thresholds == segment.processor.mask_thresholds
    assert [entry["label"] for entry in loaded(SCENE)] == names  # 2 before 10
    assert _same(loaded([SCENE, SCENE], batch_size=2)[1], segment(SCENE, prompts=names))
    loaded.model.config.id2label = {0: "dog"}  # which is asked from now on
    assert [entry["label"] for entry in loaded(SCENE)] == ["dog"]


def test_masks_are_worked_over(segment, segmenter):
    result = segmenter(SCENE, ["dog | cat"])[0].clean(min_area=200, dilate=2, feather=1).objects()
    found = segment(SCENE, prompts="dog | cat", min_area=200, dilate=2, feather=1, objects=True)
    assert [entry["box"] for entry in found] == result.boxes and len(found) > 1
    for number, entry in enumerate(found):
        soft = np.asarray(entry["mask"])
        assert np.array_equal(soft, np.round(255 * result.soft_mask(number))) and len(np.unique(soft)) > 2


def test_borders_follow_the_picture(segment, segmenter):
    edged = Segmenter(segmenter.model, segmenter.processor, guided_filter=GuidedFilter())(SCENE, PROMPTS)[0]
    found = segment(SCENE, prompts=PROMPTS, guided_filter=True)
    for entry, mask in zip(found, edged.masks, strict=True):
        assert ((np.asarray(entry["mask"]) > 0) != mask).mean() < 1e-3
    assert _same(segment(SCENE, prompts=PROMPTS, guided_filter=GuidedFilter()), found)
    assert _same(segment(SCENE, prompts=PROMPTS, guided_filter=False), segment(SCENE, prompts=PROMPTS))
    assert found[0]["score"] != segment(SCENE, prompts=PROMPTS)[0]["score"]


def test_what_a_pipeline_was_made_with_can_be_switched_off(segment):
    edged = clipseg_hf.pipeline("prompted-image-segmentation", model="emoji-tiny", device="cpu", guided_filter=True)
    assert _same(edged(SCENE, prompts=PROMPTS), segment(SCENE, prompts=PROMPTS, guided_filter=True))
    assert _same(edged(SCENE, prompts=PROMPTS, guided_filter=False), segment(SCENE, prompts=PROMPTS))
    with pytest.raises(TypeError, match=r"guided_filter is True, False or a GuidedFilter\(\.\.\.\), got 'yes'"):
        segment(SCENE, prompts=PROMPTS, guided_filter="yes")


def test_a_decoder_alone(segment, tmp_path):
    segment.model.save_pretrained(tmp_path, decoder_only=True)
    segment.processor.save_pretrained(tmp_path)
    alone = clipseg_hf.pipeline(model=tmp_path, device="cpu")
    assert _same(alone(SCENE, prompts=PROMPTS), segment(SCENE, prompts=PROMPTS))


@pytest.mark.parametrize(
    "options", [{"device_map": "auto"}, {"device_map": {"": "cpu"}, "dtype": torch.bfloat16}, {"dtype": "bfloat16"}]
)
def test_device_map_and_dtype(segment, scenes, options):
    made = clipseg_hf.pipeline("prompted-image-segmentation", model="emoji-tiny", **options)
    assert made.dtype == (torch.bfloat16 if "dtype" in options else torch.float32)
    for found, expected in zip(made(scenes, prompts="dog", batch_size=2), segment(scenes, prompts="dog"), strict=True):
        assert found[0]["presence"] == pytest.approx(expected[0]["presence"], abs=0.02)


def test_a_float16_checkpoint_is_used_in_float32_unless_asked(segment, tmp_path):
    saved = clipseg_hf.CLIPSegForImageSegmentation.from_pretrained("emoji-tiny", dtype=torch.float16)
    saved.save_pretrained(tmp_path)
    segment.processor.save_pretrained(tmp_path)
    assert clipseg_hf.pipeline(model=tmp_path).dtype == torch.float32
    assert clipseg_hf.pipeline(model=tmp_path, dtype="auto").dtype == torch.float16
    assert clipseg_hf.pipeline(model=tmp_path, model_kwargs={"dtype": torch.bfloat16}).dtype == torch.bfloat16


def test_images_of_several_sizes_cannot_form_a_batch(segment, scenes, monkeypatch):
    monkeypatch.setattr(segment.processor.image_processor, "size", {"shortest_edge": 128})
    assert len(segment(scenes, prompts="dog")) == 3
    with pytest.raises(ValueError, match=r"pixel_values of different sizes cannot form one batch: .* Use a fixed size"):
        segment(scenes, prompts="dog", batch_size=3)


@pytest.mark.parametrize(
    ("image", "options", "error", "message"),
    [
        (
            SCENE,
            {"promts": "dog"},
            TypeError,
            "prompts, threshold, subtask, objects, guided_filter, fill_holes, .* feather; got promts.",
        ),
        (SCENE, {"prompts": []}, ValueError, "There is no prompt: give at least one text or example image"),
        (SCENE, {"prompts": "a", "subtask": "panoptic"}, ValueError, "one of prompted, semantic; got 'panoptic'"),
        (SCENE, {"prompts": "a", "threshold": 2}, ValueError, r"A threshold is a probability in \[0, 1\]"),
        (SCENE, {"prompts": "a", "dilate": -1}, ValueError, "dilate is a size of 0 or more, got -1"),
        (SCENE, {"prompts": ["a", "b"], "threshold": [0.5]}, ValueError, "1 threshold for 2 prompts"),
        ("cats", {"prompts": "a"}, FileNotFoundError, r"image \(cats\): there is no such file"),
        ("lost/street.jpg", {"prompts": "a"}, FileNotFoundError, "there is no such file"),
        (base64.b64encode(bytes(99)).decode(), {"prompts": "a"}, ValueError, "not an image that Pillow can read"),
        (3, {"prompts": "a"}, TypeError, "image is a int, expected a PIL image"),
    ],
)
def test_errors(segment, image, options, error, message):
    with pytest.raises(error, match=message):
        segment(image, **options)


def test_what_no_pipeline_can_be_made_of(segment):
    with pytest.raises(ValueError, match=r"makes 'prompted-image-segmentation', got 'me/model'.*pipeline\(model="):
        clipseg_hf.pipeline("me/model")
    stock = transformers.CLIPSegForImageSegmentation.from_pretrained(EMOJI_TINY)
    with pytest.raises(TypeError, match=r"got transformers\.CLIPSegForImageSegmentation and clipseg_hf\.CLIPSegProc"):
        clipseg_hf.pipeline(model=stock, processor=segment.processor)
    made = clipseg_hf.pipeline(model=segment.model, processor=segment.processor, device="cpu")
    buffer = io.BytesIO()
    made(SCENE, prompts="dog")[0]["mask"].save(buffer, "PNG")
    assert buffer.tell()
