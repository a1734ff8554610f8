"""Every protocol on its benchmark's own layout, from the folder to the report; and on an emoji world."""

import json
import shutil

import datasets
import numpy as np
import pytest
from PIL import Image

from clipseg_hf.assets import EMOJI_SCENES
from clipseg_hf.data.emoji_world.emoji_files import RECORD_FILE
from clipseg_hf.evaluation import BENCHMARKS, BenchmarkOptions, PascalVOC, run_benchmark, write_report
from clipseg_hf.evaluation.protocols.benchmark_runner import TAKEN_BY


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


COLORS = {"red": (255, 0, 0), "blue": (0, 0, 255), "green": (0, 255, 0)}


def write_picture(path, bars):
    """Bars of 8 columns, 32 x 16 pixels; solid blocks survive JPEG."""
    pixels = np.zeros((16, 32, 3), dtype=np.uint8)
    for column, color in bars.items():
        pixels[:, 8 * column : 8 * column + 8] = COLORS[color]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=100, subsampling=0)


def bar(column):
    """The polygon of a bar; its outline belongs to it."""
    left, right = 8 * column, 8 * column + 7
    return [[left, 0], [right, 0], [right, 15], [left, 15]]


def write_phrasecut(root, names=("red", "blue", "green"), record=False):
    """Three pictures: the first and the second thing; the first and the third; the second and the third."""
    images, tasks = [], []
    shown = {1: {0: 0, 2: 1}, 2: {1: 0, 3: 2}, 3: {0: 1, 2: 2}}  # image -> column -> thing
    for image_id, bars in shown.items():
        write_picture(root / "images" / f"{image_id}.jpg", {c: list(COLORS)[t] for c, t in bars.items()})
        images.append({"image_id": image_id, "height": 16, "width": 32, "split": "test"})
        for column, thing in bars.items():
            structure = {"name": names[thing], "attributes": [], "relation_ids": [], "relation_descriptions": []}
            tasks.append(
                {
                    "task_id": f"{image_id}__{thing}",
                    "image_id": image_id,
                    "ann_ids": [thing],
                    "phrase": names[thing],
                    "phrase_structure": structure | {"type": "attribute" if thing == 0 else "name"},
                    "instance_boxes": [[8 * column, 0, 8, 16]],
                    "Polygons": [[bar(column)]],
                }
            )
    (root / "image_data_split3000.json").write_text(json.dumps(images))
    (root / "refer_test.json").write_text(json.dumps(tasks))
    counts = {"cat": [[name, 9] for name in names], "att": [["big", 2]], "rel": []}
    (root / "name_att_rel_count.json").write_text(json.dumps(counts))
    if record:
        (root / RECORD_FILE).write_text("{}")
    return root


def write_voc(root):
    """Four pictures with aeroplanes (red) and bicycles (blue), each with a border that does not count."""
    root = root / "VOCdevkit" / "VOC2012"
    for part in ("ImageSets/Segmentation", "SegmentationClass"):
        (root / part).mkdir(parents=True)
    for number, (column, color) in enumerate([(0, "red"), (1, "red"), (2, "blue"), (0, "blue")]):
        write_picture(root / "JPEGImages" / f"2007_00000{number}.jpg", {column: color})
        labels = np.zeros((16, 32), dtype=np.uint8)
        labels[:, 8 * column : 8 * column + 8] = {"red": 1, "blue": 2}[color]
        labels[:2] = 255
        mask = Image.fromarray(labels, mode="P")
        mask.putpalette([channel for k in range(256) for channel in (k, 0, 255 - k)])
        mask.save(root / "SegmentationClass" / f"2007_00000{number}.png")
    ids = "".join(f"2007_00000{n}\n" for n in range(4))
    (root / "ImageSets/Segmentation/val.txt").write_text(ids)
    return root.parent.parent


def write_coco(root, categories, annotations="annotations/instances_val2014.json", folder="val2014"):
    """Three pictures, each with things of three categories (red, blue, green)."""
    entries, images = [], []
    for image_id in (1, 2, 3):
        name = f"COCO_val2014_{image_id:012d}.jpg"
        columns = [(image_id + thing) % 4 for thing in range(3)]
        write_picture(root / folder / name, dict(zip(columns, COLORS, strict=True)))
        images.append({"id": image_id, "file_name": name, "height": 16, "width": 32})
        for thing, column in enumerate(columns):
            entries.append(
                {
                    "id": 10 * image_id + thing,
                    "image_id": image_id,
                    "category_id": thing + 1,
                    "iscrowd": 0,
                    "bbox": [8 * column, 0, 8, 16],
                    "area": 128,
                    "segmentation": [[8 * column, 0, 8 * column + 8, 0, 8 * column + 8, 16, 8 * column, 16]],
                }
            )
    named = [{"id": n + 1, "name": name} for n, name in enumerate(categories)]
    (root / annotations).parent.mkdir(parents=True, exist_ok=True)
    (root / annotations).write_text(json.dumps({"images": images, "annotations": entries, "categories": named}))
    return root


@pytest.fixture
def painter(color_model, color_processor):
    """The model of colours, after the names of things were bound to colours: names -> (model, processor)."""

    def bind(**colors):
        color_processor.names = {name.replace("_", " "): color for name, color in colors.items()}
        return color_model, color_processor

    return bind


def test_referring_on_phrasecut(color_model, color_processor, tmp_path):
    data = write_phrasecut(tmp_path / "phrasecut")
    evaluation = run_benchmark("referring", color_model, color_processor, data)
    numbers = evaluation.summary["text"]
    assert numbers["all"]["samples"] == 6 and numbers["all"]["miou_0.5"] == 1
    assert numbers["all"]["phrasecut_0.5"]["cumulative_iou"] == 1
    assert {"c20", "c100", "i_single", "p_name", "s_large", "t_obj"} <= numbers.keys()
    assert numbers["p_att+"]["samples"] == 2  # what PhraseCut's files say is needed to tell a thing from others
    assert evaluation.summary["image"]["all"]["miou_0.5"] == 1
    assert evaluation.settings["templates"] == ("{}",)
    written = write_report(evaluation, tmp_path / "out", model="colors", data="PhraseCut")
    assert json.loads(written["report"].read_text())["results"]["mix"]["all"]["samples"] == 6


def test_options_reach_the_protocol(color_model, color_processor, tmp_path):
    data = write_phrasecut(tmp_path / "phrasecut")
    options = BenchmarkOptions(limit=2, prompts=("text",), templates=("a photo of a {}.",), at=(0.24,), seed=3)
    evaluation = run_benchmark("referring", color_model, color_processor, data, options)
    assert list(evaluation.summary) == ["text"] and evaluation.summary["text"]["all"]["samples"] == 4
    assert evaluation.settings["seed"] == 3 and "miou_0.24" in evaluation.summary["text"]["all"]


def test_zero_shot_on_pascal(painter, tmp_path):
    data = write_voc(tmp_path)
    evaluation = run_benchmark("zero-shot", *painter(aeroplane="red", bicycle="blue"), data, BenchmarkOptions(unseen=4))
    numbers = evaluation.summary["with background"]
    assert numbers["all"]["per_class"]["aeroplane"] == numbers["all"]["per_class"]["bicycle"] == 1
    assert numbers["unseen"]["miou"] == 1  # the aeroplane; cow, motorbike and sofa are neither there nor found
    assert evaluation.settings["unseen"] == ["cow", "motorbike", "aeroplane", "sofa"]
    assert (evaluation.settings["split"], evaluation.settings["limit"]) == ("val", None)
    written = write_report(evaluation, tmp_path / "out", model="colors", data="VOC")
    assert "classes" in written
    assert json.loads(written["report"].read_text())["data"]["fingerprint"] == PascalVOC(data).fingerprint()
    assert PascalVOC(data, limit=3).fingerprint() != PascalVOC(data).fingerprint()


def test_one_shot_on_pascal(painter, tmp_path):
    options = BenchmarkOptions(folds=(0,), episodes=6, prompts=("image", "text"))
    evaluation = run_benchmark("one-shot", *painter(aeroplane="red", bicycle="blue"), write_voc(tmp_path), options)
    numbers = evaluation.summary["image"]["fold 0"]
    assert (numbers["samples"], numbers["classes"]) == (6, 2)
    # rows know no pixels that do not count: two of sixteen lines of each bar are border
    assert numbers["miou_0.24"] == numbers["iou_bin_0.24"] == 1  # the border does not count
    assert evaluation.summary["text"]["mean of folds"] == evaluation.summary["text"]["fold 0"]


def test_one_shot_on_coco(painter, tmp_path):
    data = write_coco(tmp_path, ["person", "airplane", "boat"])  # all of fold 0
    evaluation = run_benchmark(
        "one-shot",
        *painter(person="red", airplane="blue", boat="green"),
        data,
        BenchmarkOptions(folds=(0,), episodes=9),
    )
    assert evaluation.summary["image"]["fold 0"]["miou_0.24"] == 1
    assert evaluation.summary["text"]["fold 0"]["classes"] == 3
    with pytest.raises(ValueError, match="There is no fold 7; there are fold 0, fold 1"):
        run_benchmark("one-shot", *painter(), data, BenchmarkOptions(folds=(7,)))


def test_generalized_and_visual_prompts_on_lvis(painter, tmp_path):
    data = write_coco(tmp_path, ["bus_(vehicle)", "gull", "deck_chair"], "lvis_v1_val.json", "val2017")
    segmenter = painter(can="red")
    evaluation = run_benchmark("generalized", *segmenter, data)
    numbers = evaluation.summary["text"]
    # the bus is red and can be driven; the gull can fly, but is blue
    assert numbers["can be driven"]["miou_0.5"] == 1 and numbers["can fly"]["miou_0.5"] == 0
    assert numbers["has wheels"]["samples"] == numbers["sit on"]["samples"] == 3
    written = write_report(evaluation, tmp_path / "out", model="colors", data="LVIS", segmenter=segmenter)
    assert written["samples_text"].is_file()


def test_visual_prompts_on_lvis(tiny_model, tiny_processor, tmp_path):
    data = write_coco(tmp_path, ["bus_(vehicle)", "gull", "deck_chair"], "lvis_v1_val.json", "val2017")
    summary = run_benchmark("visual-prompts", tiny_model, tiny_processor, data).summary
    assert summary["crop"]["all"]["samples"] == 3 and summary["crop"]["all"]["published"] == 0.136


@pytest.mark.parametrize("benchmark", [*BENCHMARKS])
def test_the_emoji_world_serves_all(benchmark, tiny_model, tiny_processor, tmp_path):
    # seen, unseen and seen things, two of them to eat
    data = write_phrasecut(tmp_path / "emoji", names=("pizza", "tomato", "horse"), record=True)
    options = BenchmarkOptions(episodes=2, folds=(0,)) if benchmark == "one-shot" else BenchmarkOptions()
    if benchmark == "visual-prompts":
        with pytest.raises(ValueError, match="3 different names"):  # there are two on each picture
            run_benchmark(benchmark, tiny_model, tiny_processor, data, options)
        return
    summary = run_benchmark(benchmark, tiny_model, tiny_processor, data, options).summary
    if benchmark == "referring":
        assert summary["text"]["seen"]["samples"] == 4 and summary["text"]["unseen"]["samples"] == 2
    elif benchmark == "zero-shot":
        assert list(summary["without background"]["all"]["per_class"]) == ["pizza", "horse", "tomato"]
    elif benchmark == "one-shot":
        assert summary["image"]["fold 0"]["classes"] == 1  # the unseen tomato
    else:
        assert summary["text"]["thing to eat"]["samples"] == 3 and summary["text"]["thing to ride"]["samples"] == 2


def test_emoji_are_told_apart_in_groups(tiny_model, tiny_processor, tmp_path, monkeypatch):
    data = write_phrasecut(tmp_path / "emoji", names=("tomato", "banana", "pizza"), record=True)
    monkeypatch.setattr("clipseg_hf.evaluation.protocols.benchmark_runner.EMOJI_CLASSES", 1)  # of either kind
    evaluation = run_benchmark("zero-shot", tiny_model, tiny_processor, data)
    assert evaluation.settings["groups"] == [["pizza", "tomato"], ["banana"]]
    assert evaluation.settings["unseen"] == ["tomato", "banana"]
    numbers = evaluation.summary["without background"]
    assert (
        numbers["all"]["per_class"]["banana"] == 1
    )  # alone in its group, where nothing else could be given to its pixels
    assert numbers["unseen"]["miou"] == pytest.approx((numbers["all"]["per_class"]["tomato"] + 1) / 2)


@pytest.mark.parametrize("benchmark", [name for name in BENCHMARKS if name != "visual-prompts"])
def test_masks_of_every_benchmark_can_follow_edges(benchmark, tiny_model, tiny_processor, tmp_path):
    data = write_phrasecut(tmp_path / "emoji", names=("pizza", "tomato", "horse"), record=True)
    own = {"episodes": 2, "folds": (0,)} if benchmark == "one-shot" else {}
    plain, guided = (
        run_benchmark(benchmark, tiny_model, tiny_processor, data, BenchmarkOptions(guided_filter=chosen, **own))
        for chosen in (False, True)
    )
    assert guided.settings == plain.settings | {"guided_filter": True}
    assert guided.summary.keys() == plain.summary.keys() and guided.summary != plain.summary


def test_rows_in_memory_serve(color_model, color_processor, color_rows):
    evaluation = run_benchmark("referring", color_model, color_processor, color_rows)
    assert evaluation.summary["text"]["all"]["samples"] == 6 and evaluation.rows is color_rows
    summary = run_benchmark("one-shot", color_model, color_processor, color_rows, BenchmarkOptions(episodes=3)).summary
    assert summary["image"]["all classes"]["samples"] == 3


def write_layout(kind, root):
    """A blue and a red picture in one of the layouts for one's own data; returns options for the reader."""
    for name, color in (("one", "red"), ("two", "blue")):
        write_picture(root / "images" / f"{name}.png", {1: color})
    mask = np.zeros((16, 32), dtype=np.uint8)
    mask[:, 8:16] = 1
    if kind == "binary_masks":
        for name, color in (("one", "red"), ("two", "blue")):
            (root / "masks" / color).mkdir(parents=True)
            Image.fromarray(mask * 255).save(root / "masks" / color / f"{name}.png")
    elif kind == "index_masks":
        (root / "masks").mkdir()
        (root / "classes.txt").write_text("nothing\nred\nblue\n")
        for number, name in enumerate(("one", "two"), start=1):
            Image.fromarray(mask * number).save(root / "masks" / f"{name}.png")
        return {"leave_out": ["nothing"]}
    elif kind == "imagefolder":
        Image.fromarray(mask * 255).save(root / "mask.png")
        lines = [
            {"file_name": f"images/{name}.png", "phrase": color, "mask_file_name": "mask.png"}
            for name, color in (("one", "red"), ("two", "blue"))
        ]
        (root / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    else:
        rows = {
            "photo": [Image.open(root / "images" / f"{name}.png").copy() for name in ("one", "two")],
            "truth": [Image.fromarray(mask * 255)] * 2,
            "what": ["red", "blue"],
        }
        shutil.rmtree(root)
        datasets.DatasetDict({"test": datasets.Dataset.from_dict(rows)}).save_to_disk(root)
        return {"image_column": "photo", "mask_column": "truth", "phrase_column": "what"}
    return {}


@pytest.mark.parametrize("kind", ["binary_masks", "index_masks", "imagefolder", "columns"])
def test_referring_on_data_of_ones_own(kind, color_model, color_processor, tmp_path):
    reader = write_layout(kind, tmp_path / "mine")
    options = BenchmarkOptions(prompts=("text",), reader=reader)
    evaluation = run_benchmark("referring", color_model, color_processor, tmp_path / "mine", options)
    assert evaluation.summary["text"]["all"]["samples"] == 2 and evaluation.summary["text"]["all"]["miou_0.5"] == 1
    assert evaluation.settings["split"] and evaluation.settings["limit"] is None


def test_referring_on_pascal_and_coco(painter, tmp_path):
    things = {"aeroplane": "red", "bicycle": "blue", "boat": "green"}
    options = BenchmarkOptions(prompts=("text",))
    numbers = run_benchmark("referring", *painter(**things), write_voc(tmp_path / "voc"), options).summary["text"][
        "all"
    ]
    assert (numbers["samples"], numbers["miou_0.5"]) == (4, 1)  # the border does not count
    assert numbers["boundary_iou_0.5"] == numbers["phrasecut_0.5"]["mean_iou"] == 1
    coco = write_coco(tmp_path / "coco", list(things))
    numbers = run_benchmark("referring", *painter(**things), coco, options).summary["text"]["all"]
    assert (numbers["samples"], numbers["miou_0.5"]) == (9, 1)


def test_missing_data_is_named(color_model, color_processor, tmp_path):
    (tmp_path / "here").mkdir()
    for benchmark, source in (
        ("referring", "PhraseCutDataset"),
        ("zero-shot", r"VOCtrainval_11-May-2012\.tar"),
        ("one-shot", "cocodataset"),
        ("generalized", "lvisdataset"),
    ):
        with pytest.raises(FileNotFoundError, match=source):
            run_benchmark(benchmark, color_model, color_processor, tmp_path / "here")
    with pytest.raises(ValueError, match="There is no benchmark 'refering'; there are referring, zero-shot"):
        run_benchmark("refering", color_model, color_processor, tmp_path)
    with pytest.raises(ValueError, match=r"unseen is one of 2, 4, 6, 8, 10, got 5"):
        run_benchmark("zero-shot", color_model, color_processor, tmp_path, BenchmarkOptions(unseen=5))
    with pytest.raises(ValueError, match="limit is at least 1"):
        run_benchmark("referring", color_model, color_processor, write_phrasecut(tmp_path), BenchmarkOptions(limit=0))


def test_pascal_can_be_limited(tmp_path):
    assert PascalVOC(write_voc(tmp_path), limit=2).image_ids == ["2007_000000", "2007_000002"]


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_options_of_other_benchmarks_are_refused(color_model, color_processor, color_rows, benchmark):
    chosen = {
        "prompts": ("text",),
        "image_prompt_weight": 0.3,
        "unseen": 4,
        "folds": (0,),
        "episodes": 3,
        "guided_filter": True,
        "at": (0.24,),
        "arithmetic": "clipseg",
    }
    assert set(TAKEN_BY) == set(chosen)
    for name, value in chosen.items():
        options = BenchmarkOptions(**{name: value})
        if benchmark in TAKEN_BY[name]:
            options.check(benchmark)
            continue
        message = f"{name} is for {' and '.join(TAKEN_BY[name])}, and the benchmark {benchmark} does not take it"
        with pytest.raises(ValueError, match=message):
            run_benchmark(benchmark, color_model, color_processor, color_rows, options)


@pytest.mark.parametrize("benchmark", TAKEN_BY["image_prompt_weight"])
def test_the_report_says_with_which_weight_mixtures_were_asked(benchmark, color_model, color_processor, tmp_path):
    data = write_phrasecut(tmp_path / "phrasecut")
    ask = {"prompts": ("mix",)} | ({"episodes": 2} if benchmark == "one-shot" else {})

    def weight(**options):
        ran = run_benchmark(benchmark, color_model, color_processor, data, BenchmarkOptions(**ask, **options))
        return ran.settings["image_prompt_weight"]

    assert (weight(), weight(image_prompt_weight=0.75)) == (0.5, 0.75)
    apart = BenchmarkOptions(prompts=("text", "image"), image_prompt_weight=0.3, episodes=ask.get("episodes"))
    with pytest.raises(ValueError, match=r"weight=0\.3 is for mixtures .* but prompts are text, image: add mix, or"):
        run_benchmark(benchmark, color_model, color_processor, data, apart)
    color_model.config.image_prompt_weight = 0.25
    assert (weight(), weight(image_prompt_weight=0.75)) == (0.25, 0.75)


def test_options_that_the_data_do_not_take(color_model, color_processor, color_rows, tmp_path):
    parts = (color_model, color_processor)
    with pytest.raises(ValueError, match="rows that were read already, so that split, kind would change nothing"):
        run_benchmark("referring", *parts, color_rows, BenchmarkOptions(split="val", reader={"kind": "coco"}))
    with pytest.raises(ValueError, match=r"reads Pascal VOC in its official layout alone.*got ignore_index: leave"):
        run_benchmark("zero-shot", *parts, write_voc(tmp_path), BenchmarkOptions(reader={"ignore_index": 0}))
    with pytest.raises(ValueError, match="unseen=4 chooses one of Pascal VOC's splits; the emoji world's"):
        run_benchmark("zero-shot", *parts, EMOJI_SCENES, BenchmarkOptions(unseen=4))
