"""The builder on files of the official size: 300,000 phrases on 70,000 images."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

IMAGES, PHRASES = 70_000, 300_000
FIRST_ID = 1_000_001  # beyond the images that are known to be of the wrong size
HEIGHT, WIDTH = 375, 500
MEGABYTE = 2**20

BUILD = """
import resource, sys
from clipseg_hf.data import load_phrasecut_plus
rows = load_phrasecut_plus(sys.argv[1], "train", cache_dir=sys.argv[2])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # the kernel counts in KiB
print(len(rows), sum(len(phrases) for phrases in rows["phrases"][:1000]), peak)
"""


def write_official_size(root):
    """Files as large as PhraseCut's for training: a few pictures under 70,000 names, tasks in no order."""
    (root / "images").mkdir(parents=True)
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    for image_id in range(FIRST_ID, FIRST_ID + IMAGES):
        path = root / "images" / f"{image_id}.jpg"
        if image_id % 10_000 == 1:  # file systems limit the number of names of a file
            picture.save(first := path, quality=50)
        else:
            os.link(first, path)
    sizes = [{"image_id": i, "height": HEIGHT, "width": WIDTH} for i in range(FIRST_ID, FIRST_ID + IMAGES)]
    (root / "image_data_split3000.json").write_text(json.dumps(sizes))

    angles = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    shapes = []
    for _ in range(1000):
        radii = random.uniform(10, 90) * random.uniform(0.8, 1.2, 30)
        center = random.uniform((0, 0), (WIDTH, HEIGHT))
        points = center + radii[:, None] * np.stack((np.cos(angles), np.sin(angles)), axis=1)
        shapes.append(json.dumps([[points.tolist()]]))
    names = [f"thing {n}" for n in range(3000)]
    with (root / "refer_train.json").open("w") as file:
        for number, (image, shape, name) in enumerate(
            zip(
                random.permutation(FIRST_ID + np.arange(PHRASES) % IMAGES).tolist(),
                random.integers(len(shapes), size=PHRASES).tolist(),
                random.integers(len(names), size=PHRASES).tolist(),
                strict=True,
            )
        ):
            structure = {"name": names[name], "attributes": ["small"], "relation_ids": [], "relation_descriptions": []}
            task = {"task_id": f"{image}__{number}", "image_id": image, "ann_ids": [number]}
            task |= {"instance_boxes": [[1.5, 2.5, 30.0, 40.0]], "phrase": f"small {names[name]}"}
            start = json.dumps({**task, "phrase_structure": structure})
            file.write("[" * (number == 0) + f'{start[:-1]}, "Polygons": {shapes[shape]}}}')
            file.write("]" if number == PHRASES - 1 else ", ")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_official_size_is_built_in_little_memory(tmp_path, capsys):
    root = tmp_path / "phrasecut"
    write_official_size(root)
    size = (root / "refer_train.json").stat().st_size
    assert 300 * MEGABYTE < size < 500 * MEGABYTE

    start = time.perf_counter()
    command = [sys.executable, "-c", BUILD, str(root), str(tmp_path / "cache")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start

    rows, phrases, peak = map(int, result.stdout.split())
    with capsys.disabled():
        print(
            f"\n{PHRASES:,} phrases on {rows:,} images, annotations of {size / MEGABYTE:.0f} MiB: "
            f"{seconds:.0f} s in one process, {peak / MEGABYTE:.0f} MiB at most"
        )
    assert rows == IMAGES and 4000 < phrases < 4600
    assert peak < 1500 * MEGABYTE
