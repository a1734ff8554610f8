"""Zero-shot segmentation: confusion by hand, both readings, Pascal VOC in its own layout."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from clipseg_hf.evaluation import PascalVOC, RowLabelMaps, evaluate_zero_shot, summarize_zero_shot
from clipseg_hf.evaluation.benchmarks.label_maps import LabelMap
from clipseg_hf.evaluation.protocols.zero_shot import ConfusionMatrix, ZeroShotSettings

WITHOUT, WITH = "without background", "with background"


def picture(colors, labels, height=8):
    """Bars of four columns each."""
    pixels = np.repeat(np.array([colors], dtype=np.uint8), 4, axis=1)
    return LabelMap("x", np.repeat(pixels, height, axis=0), np.repeat(np.repeat([labels], 4, axis=1), height, axis=0))


RED, BLUE, BLACK = (255, 0, 0), (0, 0, 255), (0, 0, 0)


def test_confusion_by_hand():
    matrix = ConfusionMatrix(["a", "b", "c"])
    matrix.update(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, -1]))
    assert matrix.counts.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    ious = matrix.iou()
    assert (ious["a"], ious["b"]) == (1 / 2, 1 / 2) and math.isnan(ious["c"])
    assert matrix.merge(matrix).counts.sum() == 6
    with pytest.raises(ValueError, match="different classes"):
        matrix.merge(ConfusionMatrix(["a"]))


def test_both_readings_by_hand(color_model, color_processor):
    # bars: red, labelled red; blue, labelled red (a mistake of a quarter); black background; blue, not to be counted
    maps = [picture([RED, BLUE, BLACK, BLUE], [1, 1, 0, -1])]
    matrices = evaluate_zero_shot(color_model, color_processor, maps, ["red", "blue"])
    assert matrices[WITHOUT].iou() == {"red": 0.5, "blue": 0}
    # "background" matches nothing, 0.1 x 3, which is more than 0.1 and less than 0.8
    assert matrices[WITH].iou() == {"background": 1, "red": 0.5, "blue": 0}
    assert matrices[WITH].counts.sum() == 3 * 32

    summary = summarize_zero_shot(matrices, unseen=["blue"])
    assert summary[WITHOUT]["seen"]["miou"] == 0.5 and summary[WITHOUT]["unseen"]["miou"] == 0
    assert summary[WITHOUT]["harmonic"]["miou"] == 0
    assert summary[WITH]["seen"]["miou"] == 0.75  # the background counts to the seen
    assert summary[WITH]["all"]["miou"] == pytest.approx(1.5 / 3)
    assert summary[WITH]["all"]["per_class"]["red"] == 0.5


def test_the_factor_of_the_background(color_model, color_processor):
    maps = [picture([RED, BLACK], [1, 0])]
    settings = ZeroShotSettings(background_factor=10)
    assert evaluate_zero_shot(color_model, color_processor, maps, ["red"], settings)[WITH].iou()["red"] == 0


def test_harmonic_mean():
    matrices = {WITHOUT: ConfusionMatrix("ab"), WITH: ConfusionMatrix("xab")}
    matrices[WITHOUT].counts[:] = [[3, 1], [1, 0]]  # IoU of a 3/5, of b 0/2
    matrices[WITHOUT].counts[1, 1] = 2  # of b 2/4
    numbers = summarize_zero_shot(matrices, unseen=["b"])[WITHOUT]
    assert numbers["harmonic"]["miou"] == pytest.approx(2 * 0.6 * 0.5 / 1.1)
    with pytest.raises(ValueError, match="The unseen c are not among the classes a, b"):
        summarize_zero_shot(matrices, unseen=["c"])


def test_groups_that_were_told_apart_each_in_its_own():
    first, second = ConfusionMatrix("xab"), ConfusionMatrix("xcd")
    first.counts[:] = [[5, 1, 0], [2, 3, 1], [0, 0, 4]]  # of x 5/8, of a 3/7, of b 4/5
    second.counts[:] = [[1, 0, 3], [0, 6, 0], [1, 2, 1]]
    joined = ConfusionMatrix.joined([first, second])
    assert joined.classes == ("x", "a", "b", "c", "d")
    for group, names in ((first, "ab"), (second, "cd")):
        assert {name: joined.iou()[name] for name in names} == {name: group.iou()[name] for name in names}
    assert joined.iou()["x"] == pytest.approx(6 / (5 + 1 + 2 + 1 + 3 + 1))  # the background of both
    assert joined.counts.sum() == first.counts.sum() + second.counts.sum()


def test_two_shares_are_one(color_model, color_processor):
    maps = [picture([RED, BLUE], [1, 2]), picture([BLUE, BLACK], [1, 0]), picture([RED, RED], [2, -1])]
    settings = ZeroShotSettings(batch_size=1)
    whole = evaluate_zero_shot(color_model, color_processor, maps, ["red", "blue"], settings)
    shares = [
        evaluate_zero_shot(color_model, color_processor, maps, ["red", "blue"], settings, shard=(rank, 2))
        for rank in range(2)
    ]
    for reading, matrix in whole.items():
        assert shares[0][reading].merge(shares[1][reading]).counts.tolist() == matrix.counts.tolist()


def test_rows_become_label_maps(color_model, color_processor, color_rows):
    maps = RowLabelMaps(color_rows, ["red", "blue", "green"])
    labels = maps[2].labels  # blue on columns 6 to 9, green on 12 to 15
    assert labels[0].tolist() == [0] * 6 + [2] * 4 + [0] * 2 + [3] * 4
    matrices = evaluate_zero_shot(color_model, color_processor, maps, maps.classes)
    # green is always right; red: 4 + 4 columns right, 4 of b's too many but on background; blue: d's truth is all
    assert matrices[WITH].iou()["green"] == 1
    assert matrices[WITH].iou()["red"] == pytest.approx(8 / 12)
    assert matrices[WITH].iou()["blue"] == pytest.approx(12 / 24)


def test_what_does_not_count_in_rows_does_not_count_in_label_maps(color_model, color_processor, color_rows, ignore):
    row = ignore(color_rows[1], slice(4, 8), 0)  # where the model marks too much; red is on columns 0 to 3
    labels = RowLabelMaps([row], ["red"])[0].labels
    assert labels[0].tolist() == [1] * 4 + [-1] * 4 + [0] * 8
    matrices = evaluate_zero_shot(color_model, color_processor, RowLabelMaps([row], ["red"]), ["red"])
    assert matrices[WITH].iou() == {"background": 1, "red": 1}
    row = ignore(color_rows[0], slice(2, 8), 0)  # what counts for blue alone counts
    assert RowLabelMaps([row], ["blue"])[0].labels[0].tolist() == [0] * 12 + [1] * 4
    assert RowLabelMaps([row], ["red", "blue"])[0].labels[0].tolist() == [1] * 4 + [-1] * 4 + [0] * 4 + [2] * 4


@pytest.fixture
def voc(tmp_path):
    """Two pictures in Pascal's layout: an aeroplane (class 1) with its border of 255, a bicycle (class 2)."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for part in ("ImageSets/Segmentation", "JPEGImages", "SegmentationClass"):
        (root / part).mkdir(parents=True)
    for name, number in (("2007_000001", 1), ("2007_000002", 2)):
        labels = np.zeros((16, 32), dtype=np.uint8)
        labels[4:12, 8:24] = 255
        labels[5:11, 9:23] = number
        mask = Image.fromarray(labels, mode="P")
        mask.putpalette([channel for k in range(256) for channel in (k, 255 - k, k)])
        mask.save(root / "SegmentationClass" / f"{name}.png")
        Image.new("RGB", (32, 16), (40 * number, 0, 0)).save(root / "JPEGImages" / f"{name}.jpg")
    (root / "ImageSets/Segmentation/val.txt").write_text("2007_000001\n2007_000002\n")
    return tmp_path


def test_pascal_in_its_own_layout(voc, tiny_model, tiny_processor):
    for folder in (voc, voc / "VOCdevkit", voc / "VOCdevkit" / "VOC2012"):
        maps = PascalVOC(folder)
        assert len(maps) == 2 and maps[1].image_id == "2007_000002"
    counts = np.bincount(maps[1].labels.flatten() + 1)
    assert counts.tolist() == [8 * 16 - 6 * 14, 16 * 32 - 8 * 16, 0, 6 * 14]  # border, background, classes 1 and 2
    assert maps[1].image[0, 0].tolist() == pytest.approx([80, 0, 0], abs=3)
    assert maps.classes[:2] == ("aeroplane", "bicycle") and maps.classes[-1] == "tv"
    matrices = evaluate_zero_shot(tiny_model, tiny_processor, maps, maps.classes)
    summary = summarize_zero_shot(matrices, unseen=["cow", "motorbike"])
    assert set(summary[WITH]) == {"all", "seen", "unseen", "harmonic"}
    assert matrices[WITH].counts[0].sum() > 0 and matrices[WITHOUT].counts.sum() < matrices[WITH].counts.sum()


def test_another_layout_is_named(tmp_path, voc):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(FileNotFoundError, match=r"in .*pictures \(there: nothing\). Expected VOCdevkit/VOC2012"):
        PascalVOC(tmp_path / "pictures")
    with pytest.raises(FileNotFoundError, match=r"no such folder.*VOCtrainval_11-May-2012\.tar from http"):
        PascalVOC(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"ImageSets/Segmentation/train\.txt"):
        PascalVOC(voc, split="train")


def test_nothing_to_evaluate(color_model, color_processor):
    with pytest.raises(ValueError, match="nothing to evaluate: 0 pictures, 1 classes"):
        evaluate_zero_shot(color_model, color_processor, [], ["red"])
