import numpy as np
import pytest
from PIL import Image

from clipseg_hf.assets import EMOJI_SCENES
from clipseg_hf.data.inspection import Inspection, inspect_data, inspect_rows
from clipseg_hf.data.inspection_sheet import Tile, draw_sheet
from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.rows import make_phrase
from clipseg_hf.drawing.overlay import palette
from clipseg_hf.processing.masks.rle import encode_rle

KINDS = ["coco", "voc", "imagefolder", "index_masks", "binary_masks", "phrasecut"]
KINDS += ["yolo", "labelme", "label_studio", "cvat_masks", "cvat_xml", "fiftyone", "refcoco", "reasonseg"]


def make_row(image_id, phrases, size=(10, 20), color=(200, 200, 200)):
    """A row whose phrases cover so many pixels from the left upper corner on."""
    entries = []
    for number, (phrase, pixels) in enumerate(phrases.items()):
        mask = np.zeros(size, dtype=bool)
        mask.reshape(-1)[:pixels] = True
        entries.append(make_phrase(phrase, encode_rle(mask), phrase_id=f"{image_id}__{number}"))
    image = Image.new("RGB", size[::-1], color)
    return {"image": image, "image_id": image_id, "height": size[0], "width": size[1], "phrases": entries}


def test_what_is_counted_can_be_counted_by_hand():
    rows = [
        make_row("a", {"dog": 100, "red box": 1, "cat": 20}),
        make_row("b", {"dog": 50}, size=(20, 40)),
        make_row("c", {"dog": 0, "tree": 20}, color=(90, 90, 90)),
    ]

    found = inspect_rows(rows)

    assert (found.images, found.phrases, found.different_phrases) == (3, 6, 4)
    assert found.supported == 3 / 6  # the three dogs
    assert found.common[0] == ("dog", 3) and found.phrases_per_image == (2, 3)
    assert found.heights == (10, 10, 20) and found.widths == (20, 20, 40)
    assert found.areas[1] == pytest.approx((0.0625 + 0.1) / 2)  # of 0, 0.005, 0.0625, 0.1, 0.1, 0.5
    assert found.small == pytest.approx(2 / 6) and found.empty == 1 and found.broken == []


def test_rows_that_show_the_same_picture_are_told():
    rows = [make_row("a", {"dog": 9}), make_row("b", {"dog": 9}, color=(9, 9, 9)), make_row("c", {"cat": 9, "dog": 9})]

    found = inspect_rows([*rows, make_row("d", {"tree": 9, "cat": 5})])

    assert found.repeated == 2 and found.supported == 3 / 6  # a, c and d are one picture: no other shows a cat
    assert (
        "train: 2 of 4 rows show the picture of an earlier row. They stay together where a share is set aside, and are "
        "no examples for each other."
    ) in Inspection("columns", {"train": found}, BuildSummary()).hints


def test_images_that_are_cut_off_or_do_not_fit_are_named(tmp_path):
    path = tmp_path / "1.jpg"
    Image.effect_noise((200, 200), 80).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    rows = [make_row("a", {"dog": 9}), make_row("b", {"dog": 9}), make_row("c", {"dog": 9})]
    rows[1]["image"] = {"path": str(path), "bytes": None}
    rows[2]["image"] = Image.new("RGB", (21, 10))

    broken = inspect_rows(rows).broken

    assert len(broken) == 2 and broken[0].startswith("b (") and "truncated" in broken[0]
    assert broken[1] == "c (21 x 10, its masks 20 x 10)"
    assert inspect_rows(rows, check_images=False).broken == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_layout_is_inspected_and_drawn(layouts, kind):
    found = inspect_data(layouts / kind, layouts / "out" / "sheet.png", cache_dir=layouts / "cache")

    text = str(found)
    assert text.startswith(f"{kind} data: 1 row with 1 phrase.")
    assert "1 image, 1 phrase, 1 different" in text and "30 x 20 (median)" in text
    assert "note: There is no validation split" in text
    assert "note: train: 100% of the phrases are on one image alone" in text
    assert f"{layouts / 'out' / 'sheet.png'} shows some of it." in text
    assert Image.open(layouts / "out" / "sheet.png").width >= 640


def test_the_emoji_world_is_inspected(tmp_path):
    found = inspect_data(EMOJI_SCENES, tmp_path / "sheet.png", tiles=8, cache_dir=tmp_path)

    assert found.kind == "phrasecut" and not found.summary.flaws
    split = found.splits["test"]
    assert split.images > 8 and split.phrases > split.images and split.supported > 0.5 and not split.broken
    assert found.hints == []
    sheet = Image.open(tmp_path / "sheet.png")
    assert sheet.width > 1000 and sheet.height > 600  # two lines of four


def test_what_was_left_out_and_what_is_broken_is_said_once(layouts, make, caplog):
    root = layouts / "imagefolder"
    Image.effect_noise((30, 20), 80).save(root / "2.png")
    (root / "2.png").write_bytes((root / "2.png").read_bytes()[:300])
    make.save_mask(root / "2_mask.png", make.boxed(0, 0, 5, 5))
    lines = [(root / "metadata.jsonl").read_text()]
    lines.append('{"file_name": "2.png", "phrase": "box", "mask_file_name": "2_mask.png"}')
    lines.append('{"file_name": "9.png", "phrase": "box", "mask_file_name": "2_mask.png"}')
    (root / "metadata.jsonl").write_text("\n".join(lines))

    found = inspect_data(root, layouts / "sheet.png", cache_dir=layouts / "cache")

    assert "1 x missing_image: the image file is not there; left the image out (9.png" in str(found)
    assert "broken images         1: 2 (" in str(found)
    assert "missing_image" not in caplog.text  # not a second time, as a warning
    assert "note: train: training leaves broken images out" in str(found)
    assert (layouts / "sheet.png").exists()  # drawn of what is left
    quick = inspect_data(root, layouts / "quick.png", check_images=False, cache_dir=layouts / "cache")
    assert "broken images" not in str(quick) and (layouts / "quick.png").exists()


def test_options_go_to_the_reader_and_nothing_left_is_an_error(layouts):
    found = inspect_data(layouts / "coco", split="train", cache_dir=layouts / "cache", strict=True)
    assert found.sheet is None and list(found.splits) == ["train"]

    with pytest.raises(ValueError, match=r"(?s)Nothing is left of train of .* to make rows of\. 0 rows.*filtered out"):
        inspect_data(layouts / "coco", without_words=["box"], cache_dir=layouts / "cache")


def test_a_sheet_that_no_picture_can_be_is_refused_before_anything_is_read():
    with pytest.raises(ValueError, match=r"sheet is no name for a sheet: .* such as sheet.png or .jpg"):
        inspect_data("nowhere", "sheet")


def test_rows_without_phrases_cannot_be_inspected():
    with pytest.raises(ValueError, match="There is not one phrase in 1 row"):
        inspect_rows([make_row("a", {})])


def has_color(picture, color):
    return (np.abs(np.asarray(picture, dtype=int) - color).max(axis=-1) < 8).any()


def test_masks_are_drawn_in_the_colours_of_the_legend():
    row = make_row("a", {"half": 100, "the same half": 100, "corner": 4}, size=(10, 20))
    sheet = draw_sheet([Tile(row, "train · a")], "mine", "3 phrases")
    card = np.asarray(sheet)
    red, blue, yellow = palette(3)

    assert has_color(card, red) and has_color(card, blue)
    assert not has_color(card, yellow)  # two masks, not three: equal ones are drawn once
    picture = card[100:320]
    assert has_color(picture, red) and has_color(picture, blue)


def test_long_phrases_many_phrases_and_odd_shapes_fit_on_their_cards():
    rows = [
        make_row("a", {f"{'very ' * 30}large thing {n}": 90 - n for n in range(9)}),
        make_row("b", {"thin": 5}, size=(400, 3)),
        make_row("c", {"flat": 5}, size=(3, 400)),
        make_row("d", {}),
        make_row("e", {"dot": 1}, size=(1, 1)),
    ]
    sheet = draw_sheet([Tile(row, "c" * 200) for row in rows], "t" * 300, "s" * 300)

    edge = np.asarray(sheet)[:, -10:]
    assert (edge == edge[0, 0]).all()  # nothing reaches over the right margin
