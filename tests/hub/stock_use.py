"""What somebody does with a published repository who has transformers, torch and Pillow: argv is folder, image, answer.

Run in a process of its own, by test_custom_pipeline.py. The answer is a JSON file, its masks as lists of box and area.
"""

import base64
import contextlib
import importlib.util
import json
import sys
from pathlib import Path

from PIL import Image
from transformers import pipeline

with contextlib.suppress(ModuleNotFoundError):
    assert importlib.util.find_spec("clipseg_hf") is None

folder, scene, answer = sys.argv[1:]
pipe = pipeline("image-segmentation", model=folder, trust_remote_code=True, device="cpu")
encoded = []  # how many images went through the vision tower, call by call
embeddings = pipe.model.clip.vision_model.embeddings
embeddings.register_forward_hook(lambda module, inputs, output: encoded.append(len(output)))

picture, data = Image.open(scene), Path(scene).read_bytes()
images = [picture, picture.crop((0, 0, 200, 180)), picture]
answers = {
    "own": pipe(scene),
    "several": pipe(picture, prompts=["dog", "animal", *["dragon"] * 20]),
    "one": pipe(base64.b64encode(data).decode(), prompts="animal", threshold=0.2),
    "semantic": pipe(scene, prompts=["dog", "animal", "dragon"], threshold=[0.2, 0.3, 0.2], subtask="semantic"),
}
answers["encoded"] = list(encoded)
encoded.clear()
answers["batched"] = list(pipe((image for image in images), batch_size=2))
answers["encoded in batches"] = list(encoded)

errors = {}
for name, options in {
    "no text": {"prompts": [3]},
    "empty": {"prompts": [" "]},
    "combined": {"prompts": ["well-kept dog", "dog - tail"]},
    "option": {"prompts": "a", "treshold": 0.5},
    "subtask": {"prompts": "a", "subtask": "panoptic"},
    "threshold": {"prompts": ["a", "b"], "threshold": [0.5]},
}.items():
    try:
        pipe(scene, **options)
    except (TypeError, ValueError) as error:
        errors[name] = str(error)
pipe = pipeline("image-segmentation", model=folder, trust_remote_code=True, device="cpu")
pipe.model.config.id2label = {0: "LABEL_0"}
try:
    pipe(scene)
except ValueError as error:
    errors["no names"] = str(error)
answers["errors"] = errors


def readable(thing):
    assert isinstance(thing, Image.Image) and thing.mode == "L"
    return [*thing.size, thing.getbbox(), thing.histogram()[255]]


Path(answer).write_text(json.dumps(answers, default=readable))
