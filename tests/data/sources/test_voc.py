import pytest

from clipseg_hf.data.rows.row_phrases import truth_of
from clipseg_hf.data.sources import load_segmentation_dataset


@pytest.fixture
def devkit(tmp_path, make):
    """Three images: two of train, one of val; the third class is a bird, 255 the border."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("2007_000001", "2007_000002", "2008_000003"):
        make.save_image(root / "JPEGImages" / f"{name}.jpg")
        mask = make.boxed(0, 0, 10, 10, value=255)
        mask[1:9, 1:9], mask[12:15, 12:15] = 3, 20
        make.save_mask(root / "SegmentationClass" / f"{name}.png", mask, palette=True)
    make.save_image(root / "JPEGImages" / "2009_000004.jpg")  # for detection only, in no list
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_000001\n2007_000002\n")
    (lists / "val.txt").write_text("2008_000003\n")
    return tmp_path / "VOCdevkit"


def test_the_lists_are_the_splits_and_the_border_belongs_to_nothing(devkit, load, masks_of):
    rows, summary = load(devkit, strict=True)

    assert rows["image_id"][:] == ["2007_000001", "2007_000002"] and not summary.flaws
    assert {phrase: mask.sum() for phrase, mask in masks_of(rows[0]).items()} == {"bird": 64, "tv": 9}
    assert load(devkit, "val", strict=True)[0]["image_id"][:] == ["2008_000003"]


def test_the_border_does_not_count(devkit, load, make):
    rows, _ = load(devkit, strict=True)

    border = make.boxed(0, 0, 10, 10) - make.boxed(1, 1, 9, 9) > 0
    for numbers in ([0], [1], []):
        assert (truth_of(rows[0]["phrases"], numbers).ignored == border).all()


@pytest.mark.parametrize("place", [".", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_it_is_found_from_above_and_from_within(devkit, tmp_path, place):
    data = load_segmentation_dataset(tmp_path / place, "val", strict=True, cache_dir=tmp_path.parent / "cache")

    assert len(data) == 1


def test_the_year_can_be_chosen(devkit, make, load):
    make.save_image(devkit / "VOC2007" / "JPEGImages" / "1.jpg")

    assert len(load(devkit)[0]) == 2  # the latest
    with pytest.raises(FileNotFoundError, match=r"VOC2007 lacks SegmentationClass, ImageSets/Segmentation; expected"):
        load(devkit, year=2007)
    with pytest.raises(FileNotFoundError, match=r"There is no VOC2010 in .*VOCdevkit"):
        load(devkit, year=2010)


def test_what_is_no_devkit_is_named(tmp_path, load):
    with pytest.raises(FileNotFoundError, match=r"There is no VOCdevkit/VOC2012 in .*Found: "):
        load(tmp_path, kind="voc")


def test_a_listed_image_that_is_not_there_is_counted(devkit, load):
    (devkit / "VOC2012" / "JPEGImages" / "2007_000001.jpg").unlink()
    (devkit / "VOC2012" / "SegmentationClass" / "2007_000002.png").unlink()
    (devkit / "VOC2012" / "ImageSets" / "Segmentation" / "val.txt").write_text("2008_000003\n2010_000009\n")

    _, summary = load(devkit, "val")

    assert summary.flaws == {"missing_image": 2, "missing_mask": 1}
    assert summary.examples["missing_mask"] == ["that of image 2007_000002.jpg"]


def test_a_list_whose_name_is_no_split_is_named(devkit, load):
    lists = devkit / "VOC2012" / "ImageSets" / "Segmentation"
    (lists / "train.txt").rename(lists / "train-small.txt")
    with pytest.raises(
        ValueError, match=r"VOCdevkit has a split that is called 'train-small', but names of splits are"
    ):
        load(devkit)
