"""What is written comes back, from every format and as both kinds of outlines."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.sources.loading import KINDS, recognise
from clipseg_hf.labels import LabelledImage, LabelledObject, write_labels
from clipseg_hf.labels.writing import WRITERS
from clipseg_hf.processing import decode_rle, split_objects

# `test_geojson.py` has that, whose pictures lie somewhere on earth.
WAYS = [(name, outlines) for name, writer in WRITERS.items() if name != "geojson" for outlines in writer.allowed]


def read_back(folder: Path) -> list[dict[str, np.ndarray]]:
    """By image, the masks by label; strictly, so that nothing that was written is left out."""
    kind, summary = recognise(folder), BuildSummary()
    options = {"predictions": True} if kind == "label_studio" else {}
    source = KINDS[kind](folder, unpack_dir=folder, **options)
    rows = [row for shard in source.shards("train", summary) for row in source.rows("train", shard, summary)]
    assert set(summary.flaws) <= {"no_annotation", "unclear_frame"}
    found = {Path(row["image"]["path"]).name: row for row in rows}
    names = sorted(path.name for path in folder.rglob("*.png") if path.parent.name != "masks")
    return [
        {entry["phrase"]: decode_rle(entry["mask"]) for entry in found[name]["phrases"]} if name in found else {}
        for name in names
    ]


@st.composite
def images(draw) -> list[dict[str, np.ndarray]]:
    made = []
    for _ in range(draw(st.integers(1, 2))):
        size = draw(st.integers(2, 23)), draw(st.integers(2, 23))
        seed, share = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0.1, 0.5, 0.9, 1.0]))
        random, masks = np.random.default_rng(seed), {}
        for label in draw(st.lists(st.sampled_from(["a cat", "강아지", 'x & "y" <z>', "10"]), unique=True)):
            masks[label] = np.kron(random.random((size[0] // 2 + 1, size[1] // 2 + 1)) < share, np.ones((2, 2)))[
                : size[0], : size[1]
            ].astype(bool)
        made.append((size, masks))
    return made


def labelled(made) -> list[LabelledImage]:
    return [
        LabelledImage(
            "x.png",
            Image.new("RGB", size[::-1]),
            size,
            [LabelledObject(label, part, 0.5) for label, mask in masks.items() for part in split_objects(mask)],
        )
        for size, masks in made
    ]


@pytest.mark.parametrize(("name", "outlines"), WAYS)
@settings(max_examples=40, deadline=None)
@given(made=images())
def test_masks_come_back(name, outlines, made):
    if name == "index_masks":  # a pixel has one label
        for _, masks in made:
            taken = np.zeros(next(iter(masks.values())).shape, dtype=bool) if masks else None
            for label in masks:
                masks[label] = masks[label] & ~taken
                taken |= masks[label]
    expected = [{label: mask for label, mask in masks.items() if mask.any()} for _, masks in made]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        assert write_labels(labelled(made), out, name, outlines=outlines) == len(made)
        if not any(expected) and name in ("coco", "labelme"):
            return  # a data set of nothing
        found = read_back(out)
    order = [0] if len(made) == 1 else [1, 0]  # "x-2.png" comes before "x.png"
    for masks, back in zip([expected[place] for place in order], found, strict=True):
        assert masks.keys() == back.keys()
        for label, mask in masks.items():
            assert np.array_equal(back[label], mask), label


@pytest.mark.parametrize(("name", "outlines"), WAYS)
def test_masks_are_of_the_photo_as_it_is_shown(name, outlines, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    Image.new("RGB", (30, 20)).save(tmp_path / "x.png", exif=exif)
    mask = np.zeros((30, 20), dtype=bool)
    mask[2:9, 3:5] = True

    photo = LabelledImage("x.png", tmp_path / "x.png", (30, 20), [LabelledObject("cat", mask)])
    write_labels([photo], tmp_path / "out", name, outlines=outlines)

    [found] = read_back(tmp_path / "out")
    assert np.array_equal(found["cat"], mask)
