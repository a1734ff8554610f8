"""A made-up data set in PhraseCut's layout: pictures of 500 x 375 with polygons, for timing what reads it."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE = (500, 375)  # width, height: the most frequent one in Visual Genome
PHRASES_PER_IMAGE = (3, 6)  # 4.5 on average, as in PhraseCut
NAMES = [
    f"{adjective} {noun}" for adjective in ("small", "large", "red", "old") for noun in ("dog", "tree", "car", "man")
]


def write(folder: Path, images: int = 200, seed: int = 0) -> Path:
    """Write `images` pictures and their annotations, once; the folder is returned."""
    if (folder / "refer_train.json").exists():
        return folder
    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    tasks = []
    for image_id in range(1, images + 1):
        picture = _background(random)
        draw = ImageDraw.Draw(picture)
        for k, name in enumerate(
            random.choice(NAMES, random.integers(*PHRASES_PER_IMAGE, endpoint=True), replace=False)
        ):
            instances = [_blob(random) for _ in range(random.choice([1, 1, 1, 2, 3]))]
            for blob in instances:
                draw.polygon([tuple(point) for point in blob], fill=tuple(random.integers(0, 256, 3).tolist()))
            tasks.append(_task(image_id, k, str(name), instances))
        picture.save(folder / "images" / f"{image_id}.jpg", quality=92)
    width, height = SIZE
    information = [
        {
            "image_id": i,
            "width": width,
            "height": height,
            "split": "train",
            "url": "",
            "coco_id": None,
            "flickr_id": None,
        }
        for i in range(1, images + 1)
    ]
    (folder / "image_data_split3000.json").write_text(json.dumps(information))
    (folder / "refer_train.json").write_text(json.dumps(tasks))
    return folder


def _background(random: np.random.Generator) -> Image.Image:
    """Soft patches of colour under film grain: compresses about as far as a photograph (70 kB)."""
    patches = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(
        SIZE, Image.Resampling.BICUBIC
    )
    grain = random.normal(0, 9, (SIZE[1], SIZE[0], 1))
    return Image.fromarray(np.clip(np.asarray(patches) + grain, 0, 255).astype(np.uint8))


def _blob(random: np.random.Generator) -> list[list[float]]:
    """A star-shaped polygon of 20 to 60 corners, between 30 and 250 pixels across."""
    corners = int(random.integers(20, 61))
    angles = np.sort(random.uniform(0, 2 * np.pi, corners))
    radius = random.uniform(15, 125) * random.uniform(0.7, 1, corners)
    middle = random.uniform(0.15, 0.85, 2) * SIZE
    points = middle + radius[:, None] * np.stack((np.cos(angles), np.sin(angles)), axis=1)
    return np.clip(points, 0, np.array(SIZE) - 1).round(2).tolist()


def _task(image_id: int, number: int, phrase: str, instances: list) -> dict:
    adjective, noun = phrase.split()
    boxes = [[*np.min(blob, axis=0), *np.ptp(np.array(blob), axis=0)] for blob in instances]
    return {
        "task_id": f"{image_id}__{number}",
        "image_id": image_id,
        "ann_ids": list(range(len(instances))),
        "instance_boxes": [[float(value) for value in box] for box in boxes],
        "Polygons": [[blob] for blob in instances],
        "phrase": phrase,
        "phrase_structure": {
            "name": noun,
            "attributes": [adjective],
            "relation_ids": [],
            "relation_descriptions": [],
            "type": "attribute",
        },
    }
