"""Memory does not grow with the number of things that are written."""

import gc
import json
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from clipseg_hf.labels import LabelledImage, LabelledObject, write_labels

NOISE = np.random.default_rng(0).random((24, 24)) < 0.5  # its outlines and run lengths are long


def images(path, count):
    for number in range(count):
        yield LabelledImage(f"{number}.png", path, (24, 24), [LabelledObject("noise", NOISE, 0.5)] * 10)


@pytest.mark.parametrize("format", ["coco", "label_studio", "cvat"])
def test_things_do_not_pile_up(tmp_path, format):
    picture = tmp_path / "x.png"
    Image.new("RGB", (24, 24)).save(picture)
    write_labels(images(picture, 1), tmp_path / "warm", format)
    peaks, sizes = [], []
    for count in (4, 16):
        gc.collect()
        tracemalloc.start()
        write_labels(images(picture, count), tmp_path / str(count), format)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        files = (path for path in (tmp_path / str(count)).rglob("*") if path.suffix in (".json", ".xml"))
        sizes.append(sum(path.stat().st_size for path in files))
    assert sizes[1] - sizes[0] > 4 * (peaks[1] - peaks[0])


def test_coco_is_there_whole_or_not_at_all(tmp_path):
    picture = tmp_path / "x.png"
    Image.new("RGB", (24, 24)).save(picture)

    def cut_off():
        yield from images(picture, 2)
        raise KeyboardInterrupt

    write_labels(images(picture, 1), tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        write_labels(cut_off(), tmp_path / "out", overwrite=True)
    folder = tmp_path / "out" / "annotations"
    assert len(json.loads((folder / "instances_default.json").read_text())["images"]) == 1
    write_labels([], tmp_path / "none")
    content = json.loads((tmp_path / "none" / "annotations" / "instances_default.json").read_text())
    assert content["images"] == content["annotations"] == content["categories"] == []
    assert [path.name for path in folder.iterdir()] == ["instances_default.json"]
