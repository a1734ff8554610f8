"""ReasonSeg's sentences and what answers them."""

import numpy as np

from clipseg_hf.data.sources.loading import recognise
from clipseg_hf.data.sources.referring.reasonseg import ReasonSegFiles
from clipseg_hf.processing import decode_rle


def shape(label, left, top, right, bottom):
    points = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return {"label": label, "labels": [label], "shape_type": "polygon", "image_name": "a.jpg", "points": points}


def test_each_sentence_means_all_targets(tmp_path, make, read, masks_of):
    shapes = [shape("target", 0, 0, 5, 5), shape("target", 20, 10, 30, 20), shape("ignore", 8, 8, 12, 12)]
    texts = ["What (if anything) keeps_off the rain?", "the umbrella"]
    make.save_image(tmp_path / "val" / "a.jpg")
    content = {"text": texts, "is_sentence": True, "shapes": [*shapes, shape("flag", 0, 0, 30, 20)]}
    make.save_json(tmp_path / "val" / "a.json", content)

    [row], summary = read(ReasonSegFiles, tmp_path, "val")

    masks = masks_of(row)
    assert list(masks) == texts and all(mask.sum() == 125 for mask in masks.values()) and not summary.flaws
    [ignored] = {entry["ignore"]["counts"] for entry in row["phrases"]}
    ignored = decode_rle({"size": [20, 30], "counts": ignored})
    assert np.array_equal(ignored, make.boxed(8, 8, 12, 12) > 0)
    assert recognise(tmp_path) == "reasonseg"


def test_what_has_no_text_or_no_target_is_said(tmp_path, make, read):
    for name, text, shapes in (("a", [], [shape("target", 0, 0, 5, 5)]), ("b", "one", []), ("c", "c", [{"points": 3}])):
        make.save_image(tmp_path / f"{name}.jpg")
        make.save_json(tmp_path / f"{name}.json", {"text": text, "is_sentence": False, "shapes": shapes})

    rows, summary = read(ReasonSegFiles, tmp_path)

    assert [row["phrases"] for row in rows] == [[], []]
    assert summary.examples["empty_phrase"] == ["a.jpg"] and summary.examples["no_annotation"] == ["b.jpg"]
    assert summary.examples["malformed_entry"][0].startswith("shape 0 of c.jpg (")
