"""PhraseCut's layout in small: four images of coloured rectangles, eight phrases in three splits."""

import json

import numpy as np
import pytest
from PIL import Image


def rectangle(left, top, right, bottom):
    """The polygon whose mask is the pixels left ... right and top ... bottom, both ends included."""
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def make_task(image_id, number, phrase, *polygons, **changes):
    name = phrase.split(" on ")[0].split()[-1]
    relations = [["on", phrase.split(" on ")[1]]] if " on " in phrase else []
    task = {
        "task_id": f"{image_id}__{number}",
        "image_id": image_id,
        "ann_ids": list(range(len(polygons))),
        "instance_boxes": [[*polygon[0], *np.subtract(polygon[2], polygon[0]).tolist()] for polygon in polygons],
        "Polygons": [[polygon] for polygon in polygons],
        "phrase": phrase,
        "phrase_structure": {
            "name": name,
            "attributes": phrase.split(" on ")[0].split()[:-1],
            "relation_ids": [],
            "relation_descriptions": relations,
            "type": "relation" if relations else "name",
        },
    }
    return {**task, **changes}


class Layout:
    """PhraseCut's files in a directory, to be changed by a test before it reads them."""

    def __init__(self, root):
        self.root = root
        self.sizes = {1: (40, 60), 2: (40, 60), 3: (48, 32), 4: (40, 60)}
        self.tasks = {
            "train": [
                make_task(1, 0, "red box", rectangle(5, 5, 14, 14), rectangle(30, 5, 39, 14)),
                make_task(2, 0, "red box", rectangle(0, 0, 9, 19)),
                make_task(1, 1, "small cow on box", rectangle(20, 20, 29, 29)),
                make_task(3, 0, "red box", rectangle(2, 2, 11, 11)),
                make_task(3, 1, "tall tree", rectangle(20, 10, 25, 40)),
                make_task(2, 1, "tall tree", rectangle(40, 10, 45, 30)),
            ],
            "val": [make_task(4, 0, "red box", rectangle(10, 10, 19, 19))],
            "miniv": [make_task(4, 1, "tall tree", rectangle(30, 10, 34, 29))],
        }

    def write(self):
        images = self.root / "images"
        images.mkdir(parents=True, exist_ok=True)
        for image_id, (height, width) in self.sizes.items():
            pixels = np.random.default_rng(image_id).integers(0, 255, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(images / f"{image_id}.jpg")
        entries = [{"image_id": i, "height": h, "width": w, "url": "", "split": ""} for i, (h, w) in self.sizes.items()]
        (self.root / "image_data_split3000.json").write_text(json.dumps(entries))
        for split, tasks in self.tasks.items():
            (self.root / f"refer_{split}.json").write_text(json.dumps(tasks))
        (self.root / "refer_input_train.json").write_text("[]")
        (self.root / "name_att_rel_count.json").write_text("{}")
        return self.root


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "phrasecut")


@pytest.fixture(scope="session")
def phrasecut_dir(tmp_path_factory):
    """The layout as it is, for tests that only read it."""
    return Layout(tmp_path_factory.mktemp("data") / "phrasecut").write()
