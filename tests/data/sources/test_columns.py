import datasets
import numpy as np
import pytest
from PIL import Image

from clipseg_hf.data.rows.flaws import FlawError
from clipseg_hf.data.rows.row_phrases import phrase_mask, truth_of
from clipseg_hf.data.sources import load_segmentation_dataset
from clipseg_hf.processing.masks.rle import encode_rle


def picture(value=128):
    return Image.fromarray(np.full((20, 30, 3), value, np.uint8))


@pytest.fixture
def data(make):
    """Two pictures with a text and a mask each."""
    columns = {
        "photo": [picture(), picture(90)],
        "label": [Image.fromarray(make.boxed(0, 0, 9, 9, value=255)), Image.fromarray(make.boxed(0, 0, 5, 5))],
        "text": ["red  box", "tree"],
    }
    features = {"photo": datasets.Image(), "label": datasets.Image(), "text": datasets.Value("string")}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


NAMES = {"image_column": "photo", "mask_column": "label", "phrase_column": "text"}


def test_columns_are_named_by_the_user(data, load, masks_of):
    rows, _ = load(data, **NAMES, strict=True)

    assert [masks_of(row) for row in rows][1]["tree"].sum() == 25
    assert masks_of(rows[0])["red box"].sum() == 81 and rows["image_id"][:] == ["train-0", "train-1"]
    assert rows[0]["image"].size == (30, 20)


def test_index_masks_need_their_classes(data, load, masks_of):
    rows, _ = load(
        data, image_column="photo", mask_column="label", classes={0: "background", 1: "tree", 255: "box"}, strict=True
    )

    assert list(masks_of(rows[0])) == ["box"] and list(masks_of(rows[1])) == ["tree"]


def test_values_that_are_ignored_do_not_count(data, load, make):
    rows, _ = load(data, image_column="photo", mask_column="label", classes=["background", "tree"], ignore_index=255)

    assert len(rows) == 1  # nothing but what is ignored is on the other
    assert truth_of(rows[0]["phrases"], [0]).ignored is None
    both = make.boxed(0, 0, 9, 9, value=255)
    both[:2, :2] = 1
    label = [Image.fromarray(both), Image.fromarray(make.boxed(0, 0, 5, 5))]
    data = datasets.Dataset.from_dict({"photo": [picture(1), picture(2)], "label": label})
    rows, _ = load(data, image_column="photo", mask_column="label", classes=["background", "tree"], ignore_index=255)
    assert truth_of(rows[0]["phrases"], [0]).ignored.sum() == 81 - 4


def test_a_row_may_hold_lists_of_phrases_and_masks(load, make, masks_of):
    masks = [Image.fromarray(make.boxed(0, 0, 9, 9)), Image.fromarray(make.boxed(9, 9, 12, 12))]
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "masks": datasets.List(datasets.Image()),
            "texts": datasets.List(datasets.Value("string")),
        }
    )
    data = datasets.Dataset.from_dict(
        {"image": [picture()], "masks": [masks], "texts": [["a", "b"]]}, features=features
    )

    rows, _ = load(data, mask_column="masks", phrase_column="texts", strict=True)

    assert {phrase: mask.sum() for phrase, mask in masks_of(rows[0]).items()} == {"a": 81, "b": 9}


def test_rows_with_one_picture_are_made_into_one(load, make, masks_of):
    """The plain layout of the Hub: a row for each mask."""
    masks = [make.boxed(0, 0, 5, 5), make.boxed(0, 0, 9, 9), make.boxed(10, 0, 20, 5), make.boxed(9, 9, 12, 12)]
    data = datasets.Dataset.from_dict(
        {
            "image": [picture(1), picture(2), picture(1), picture(1)],
            "mask": [Image.fromarray(mask) for mask in masks],
            "text": ["dog", "cat", "dog", "tree"],
        }
    )

    rows, summary = load(data, phrase_column="text", strict=True)

    assert rows["image_id"][:] == ["train-0", "train-1"] and not summary.flaws
    assert [entry["phrase_id"] for entry in rows[0]["phrases"]] == ["train-0__0", "train-2__0", "train-3__0"]
    assert [entry["phrase"] for entry in rows[0]["phrases"]] == ["dog", "dog", "tree"]
    assert phrase_mask(rows[0]["phrases"], 0).sum() == 75


def test_saved_data_and_parquet_folders_are_loaded_by_name(data, load, tmp_path):
    datasets.DatasetDict({"train": data, "test": data.select([0])}).save_to_disk(tmp_path / "saved")
    (tmp_path / "parquet").mkdir()
    data.to_parquet(tmp_path / "parquet" / "train.parquet")

    assert len(load(tmp_path / "saved", "test", **NAMES)[0]) == 1
    for path in (tmp_path / "parquet", tmp_path / "parquet" / "train.parquet"):
        assert len(load_segmentation_dataset(path, "train[:1]", **NAMES, cache_dir=tmp_path / "cache")) == 1


def test_rows_that_have_been_published_need_no_names(data, load, tmp_path):
    rows, _ = load(data, **NAMES)
    rows.save_to_disk(tmp_path / "rows")

    again, _ = load(tmp_path / "rows", strict=True)

    assert again["phrases"][:] == rows["phrases"][:] and again.features == rows.features


def test_streaming_and_filters_work_as_for_any_source(data, tmp_path):
    streamed = load_segmentation_dataset(
        data, "train", **NAMES, streaming=True, without_words=["tree"], cache_dir=tmp_path / "cache"
    )

    assert [entry["phrase"] for row in streamed for entry in row["phrases"]] == ["red box"]


FLAWED = [
    ("empty_phrase", "text", "", r"row train-0"),
    ("missing_image", "photo", None, r"row train-0"),
    ("unreadable_image", "photo", {"bytes": b"x", "path": None}, r"row train-0"),
    ("missing_mask", "label", None, r"row train-0"),
    ("unreadable_mask", "label", {"bytes": b"x", "path": None}, r"mask 0 of row train-0"),
    ("empty_mask", "label", Image.new("L", (30, 20)), r"mask 0 of row train-0"),
    ("mask_size_differs", "label", Image.new("L", (31, 20), 1), r"mask 0 of row train-0 \(31 x 20, image 30 x 20\)"),
]


@pytest.mark.parametrize(("flaw", "column", "value", "where"), FLAWED)
def test_each_flaw_is_counted_and_named_and_strict_stops_at_it(data, load, tmp_path, flaw, column, value, where):
    for name in ("photo", "label"):
        data = data.cast_column(name, datasets.Image(decode=False))
    columns = {name: data[name][:] for name in data.column_names}
    columns[column] = [value, columns[column][1]]
    data = datasets.Dataset.from_dict(
        columns, features=datasets.Features({**data.features, "photo": datasets.Image(), "label": datasets.Image()})
    )

    rows, summary = load(data, **NAMES)

    assert summary.flaws == {flaw: 1} and "train-1" in rows["image_id"]
    with pytest.raises(FlawError, match=f"{where}: .* \\({flaw}\\)"):
        load_segmentation_dataset(data, **NAMES, strict=True, cache_dir=tmp_path / "strict")


def test_rows_in_which_nothing_is_annotated_are_counted_also_where_it_is_strict(data, load, tmp_path):
    columns = {"image_column": "photo", "mask_column": "label"}

    rows, summary = load(data, **columns, classes={0: "background", 1: "tree", 255: "void"}, strict=True)

    assert rows["image_id"][:] == ["train-1"] and not summary.filtered
    assert summary.examples == {"no_annotation": ["row train-0 (nothing but what is left out)"]}
    made = rows.to_list()
    made.append({**made[0], "phrases": []})
    datasets.Dataset.from_list(made, features=rows.features).save_to_disk(tmp_path / "rows")
    assert load(tmp_path / "rows", strict=True)[1].examples == {"no_annotation": ["row train-1"]}


def test_columns_that_are_not_there_are_named_with_those_that_are(data, load):
    message = (
        r"There is no column for image_column='image', mask_column='mask'\. The data set has: photo, label, text\."
    )
    with pytest.raises(ValueError, match=message):
        load(data, phrase_column="text")
    with pytest.raises(ValueError, match=r"What do the masks show\? Name the column of phrases with phrase_column="):
        load(data, image_column="photo", mask_column="label")


@pytest.mark.parametrize("by_field", [False, True])
def test_objects_have_categories_and_segmentations(load, masks_of, by_field):
    runs = encode_rle(np.eye(20, 30) > 0)
    objects = [
        {"category": 1, "segmentation": [[0.0, 0.0, 5.0, 0.0, 5.0, 5.0, 0.0, 5.0]]},
        {"category": 1, "segmentation": [[20.0, 10.0, 30.0, 10.0, 30.0, 20.0, 20.0, 20.0]]},
        {"category": 0, "segmentation": [[0.0, 0.0, 9.0]]},
    ]
    fields = {"category": datasets.ClassLabel(names=["cat", "dining_table"])}
    fields["segmentation"] = datasets.List(datasets.List(datasets.Value("float32")))
    feature, value = datasets.List(fields), objects
    if by_field:
        feature = {name: datasets.List(field) for name, field in fields.items()}
        value = {name: [one[name] for one in objects] for name in fields}
    nothing = {name: [] for name in fields} if by_field else []
    features = datasets.Features({"image": datasets.Image(), "objects": feature})
    pictures = [Image.new("RGB", (30, 20)), Image.new("RGB", (30, 20), "red")]
    data = datasets.Dataset.from_dict({"image": pictures, "objects": [value, nothing]}, features=features)

    rows, summary = load(data, objects_column="objects")

    [row] = rows
    assert {phrase: int(mask.sum()) for phrase, mask in masks_of(row).items()} == {"dining table": 125}
    assert row["phrases"][0]["boxes"] == [[0, 0, 5, 5], [20, 10, 10, 10]]
    assert summary.flaws == {"malformed_entry": 1, "no_annotation": 1}
    named = datasets.Dataset.from_list([{"image": pictures[0], "things": [{"name": "eye", "rle": runs}]}])
    rows, _ = load(
        named.cast_column("image", datasets.Image()),
        objects_column="things",
        category_field="name",
        segmentation_field="rle",
    )
    assert np.array_equal(masks_of(rows[0])["eye"], np.eye(20, 30) > 0)
    with pytest.raises(ValueError, match=r"There is no column for objects_column='nowhere'\. The data set has: image"):
        load(data, objects_column="nowhere")
