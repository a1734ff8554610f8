"""The paper's tables: what they train and read, how they judge an order, and the whole way on small data."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from clipseg_hf.reproduction.paper_tables import VARIANTS, check_names, paper_tables
from clipseg_hf.reproduction.reproduce import reproduce
from clipseg_hf.reproduction.worlds import PHRASECUT_RECIPE

RECIPES = Path(__file__).parents[2] / "examples" / "recipes"
SAME_AS = {
    "pc": "phrasecut-rd64-pc",
    "unseen-10": "phrasecut-zero-shot",
    "pascal5i-fold0": "phrasecut-pascal5i",
    "without-words": "phrasecut-without-words",
    **{path.stem.removeprefix("ablation-"): path.stem for path in RECIPES.glob("ablation-*.yaml")},
}


def _recipe(name: str) -> dict:
    values = yaml.safe_load((RECIPES / f"{name}.yaml").read_text(encoding="utf-8"))
    return {key: value for key, value in values.items() if key not in ("extends", "output_dir")}


def _plain(values: dict) -> dict:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


@pytest.mark.parametrize("variant", sorted(SAME_AS))
def test_a_variant_is_what_its_recipe_says(variant):
    recipe = {
        key: float(value) if key == "learning_rate" else value for key, value in _recipe(SAME_AS[variant]).items()
    }
    assert _plain(VARIANTS[variant].changes) == recipe


def test_the_base_is_the_papers_recipe():
    recipe = _recipe("phrasecut-rd64")
    for key, value in _plain(PHRASECUT_RECIPE).items():
        assert type(value)(recipe[key]) == value, key


def test_the_ablation_trains_what_the_paper_does():
    table, unpublished = (paper_tables("phrasecut")[name] for name in ("ablation", "sampling"))
    assert len(table.variants) == 6 and len(table.measurements) == 6
    assert {row.title: row.published for row in table.rows}["D = 16"] == (37.4, 71.5, 24.7, 51.2)
    # what has no published numbers stands apart, beside the same reference
    assert unpublished.variants == ["pc-plus", "no-negatives", "half-negatives", "no-interpolation"]
    assert {row.published for row in unpublished.rows[1:]} == {(None,) * 4}


def test_real_classes_are_held_out_in_trainings_of_their_own():
    real, emoji = paper_tables("phrasecut"), paper_tables("emoji")
    assert real["one-shot"].variants == [
        *(f"pascal5i-fold{n}" for n in range(4)),
        *(f"pc-pascal5i-fold{n}" for n in range(4)),
    ]
    assert VARIANTS["pc-pascal5i-fold2"].changes["without_concepts"] == ("pascal5i-fold2",)
    assert real["zero-shot"].variants == ["unseen-10", "unseen-4"]
    assert real["generalized"].variants == ["without-words"]
    assert emoji["one-shot"].variants == ["pc-plus", "pc"] and emoji["zero-shot"].variants == ["pc-plus"]


def test_tables_keep_the_papers_order():
    assert check_names(["one-shot", "referring"]) == ["referring", "one-shot"]
    assert len(check_names([])) == 7


@pytest.mark.parametrize(
    "seeds, overrides, message",
    [
        ((), {}, r"seeds are different numbers of at least 0, one or more, got \[\]"),
        ((1, 1), {}, r"got \[1, 1\]"),
        ((-1,), {}, r"got \[-1\]"),
        ((0,), {"seed": 3}, r"The recipe's seed cannot be set to 3: give it by seeds \(--seeds\)"),
    ],
)
def test_seeds_that_cannot_be_are_refused(tmp_path, seeds, overrides, message):
    with pytest.raises(ValueError, match=message):
        reproduce("emoji", tmp_path / "out", seeds=seeds, overrides=overrides)
    assert not (tmp_path / "out").exists()


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"There is no table figure-1; there are referring, zero-shot, one-shot"):
        reproduce("emoji", tmp_path, only=["figure-1"])
    with pytest.raises(ValueError, match=r"The tables are made on emoji or phrasecut, got 'coco'"):
        reproduce("coco", tmp_path)


@pytest.fixture
def real(squares, clip, tmp_path):
    """Everything `reproduce` needs to make the first table of data in PhraseCut's layout."""
    shutil.copytree(squares, tmp_path / "data" / "VGPhraseCut_v0")
    small = {
        "clip_name_or_path": str(clip),
        "extract_layers": [0, 2],
        "reduce_dim": 16,
        "image_size": 64,
        "max_steps": 3,
        "per_device_train_batch_size": 4,
        "dataloader_num_workers": 0,
        "disable_tqdm": True,
        "use_cpu": True,
    }
    return {"only": ["referring"], "root": tmp_path / "data", "overrides": small}


def test_a_table_from_training_to_readme(real, tmp_path):
    lines: list[str] = []
    results = reproduce("phrasecut", tmp_path / "out", **real, echo=lines.append)
    assert "[1/2] CLIPSeg (PC+): 3 steps." in lines and "[2/2] pc-referring: measuring." in lines
    report = json.loads((tmp_path / "out/work/seed-0/reports/pc-referring/report.json").read_text())
    row = results["tables"]["referring"]["rows"][1]
    assert row["measured"][0] == pytest.approx(100 * report["results"]["text"]["all"]["miou_0.3"])
    readme = (tmp_path / "out/README.md").read_text()
    assert f"| CLIPSeg (PC) | 46.1 | {row['measured'][0]:.1f}" in readme and "2 trainings of 3 steps" in readme
    assert (tmp_path / "out/referring.png").stat().st_size > 5000
    assert json.loads((tmp_path / "out/results.json").read_text())["tables"] == results["tables"]

    lines.clear()
    again = reproduce("phrasecut", tmp_path / "out", **real, echo=lines.append)
    assert again == results
    assert sum("before" in line for line in lines) == 4

    # a model that is lost is trained again, to the same bits, so its report still holds; a torn report does not
    shutil.rmtree(tmp_path / "out/work/seed-0/models/pc")
    (tmp_path / "out/work/seed-0/reports/pc-plus-referring/report.json").write_text("{}")
    lines.clear()
    assert reproduce("phrasecut", tmp_path / "out", **real, echo=lines.append)["tables"] == results["tables"]
    assert lines[:4] == [
        "[1/2] CLIPSeg (PC+): trained before.",
        "[2/2] CLIPSeg (PC): 3 steps.",
        "[1/2] pc-plus-referring: measuring.",
        "[2/2] pc-referring: measured before.",
    ]


def test_seeds_join_what_is_there(real, tmp_path):
    """A folder begun with one seed takes two more; the table has their mean, spread and intervals."""
    first = reproduce("phrasecut", tmp_path / "out", **real, echo=lambda line: None)
    lines: list[str] = []
    results = reproduce("phrasecut", tmp_path / "out", **real, seeds=(0, 1, 2), echo=lines.append)
    assert lines[:4] == [
        "seed 0 [1/2] CLIPSeg (PC+): trained before.",
        "seed 0 [2/2] CLIPSeg (PC): trained before.",
        "seed 0 [1/2] pc-plus-referring: measured before.",
        "seed 0 [2/2] pc-referring: measured before.",
    ]
    assert "seed 2 [2/2] CLIPSeg (PC): 3 steps." in lines
    rows = results["tables"]["referring"]["rows"]
    for row, alone in zip(rows, first["tables"]["referring"]["rows"], strict=True):
        for by_seed, mean, of_one in zip(row["by_seed"], row["measured"], alone["measured"], strict=True):
            assert by_seed[0] == of_one and mean == pytest.approx(sum(by_seed) / 3)
        assert len(set(row["by_seed"][2])) == 3  # average precision: no seed is another one's
    for column, (difference, low, high) in enumerate(results["tables"]["referring"]["differences"][1]):
        assert difference == pytest.approx(rows[1]["measured"][column] - rows[0]["measured"][column])
        assert low <= difference <= high
    assert low < high  # the last of them is the average precision's
    readme = (tmp_path / "out/README.md").read_text()
    assert (
        "clipseg-hf reproduce phrasecut --seeds 0,1,2 --only referring`" in readme
        and "6 trainings of 3 steps" in readme
    )
    assert "mean over the seeds 0, 1, 2" in readme and "Difference to CLIPSeg (PC+), with its 95 % interval:" in readme


def test_seeds_made_elsewhere_are_taken(real, tmp_path):
    """Two machines share the seeds; the folder of one may move, and takes what the other made."""
    for seed in (0, 1):
        reproduce("phrasecut", tmp_path / f"out-{seed}", **real, seeds=(seed,), echo=lambda line: None)
    moved = (tmp_path / "out-0").rename(tmp_path / "moved")
    (tmp_path / "out-1/work/seed-1").rename(moved / "work/seed-1")
    lines: list[str] = []
    results = reproduce("phrasecut", moved, **real, seeds=(0, 1), echo=lines.append)
    assert [line.split(": ")[1] for line in lines if line.startswith("seed")] == [
        *["trained before.", "trained before.", "measured before.", "measured before."] * 2
    ]
    assert results["seeds"] == [0, 1]

    # what was trained on other data is not taken for it
    shutil.copytree(tmp_path / "data", tmp_path / "other")
    lines.clear()
    reproduce("phrasecut", moved, **real | {"root": tmp_path / "other"}, seeds=(0,), echo=lines.append)
    assert "[1/2] CLIPSeg (PC+): 3 steps." in lines


def test_it_goes_on_where_it_was_cut_off(real, tmp_path):
    def interrupt(line: str) -> None:
        if "[2/2] CLIPSeg (PC)" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce("phrasecut", tmp_path / "out", **real, echo=interrupt)
    lines: list[str] = []
    reproduce("phrasecut", tmp_path / "out", **real, echo=lines.append)
    assert lines[:2] == ["[1/2] CLIPSeg (PC+): trained before.", "[2/2] CLIPSeg (PC): 3 steps."]


def test_a_recipe_that_cannot_be_is_told_before_anything_is_made(real, tmp_path):
    with pytest.raises(ValueError, match="Unknown training argument"):
        reproduce("phrasecut", tmp_path / "out", **real | {"overrides": {"foo": 1}})
    assert not (tmp_path / "out").exists()


def test_other_options_need_another_folder(real, tmp_path):
    (tmp_path / "out/work").mkdir(parents=True)
    plan = {"world": "phrasecut", "quick": True, "overrides": real["overrides"]}
    (tmp_path / "out/work/plan.json").write_text(json.dumps(plan))
    with pytest.raises(ValueError, match=r"out was begun with other options \(quick was True and is False\)\. Name a"):
        reproduce("phrasecut", tmp_path / "out", **real)


def test_missing_data_are_said_before_anything_is_trained(real, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"There is no .*VOCdevkit; needed is Pascal VOC 2012 .*name another --root"
    ):
        reproduce("phrasecut", tmp_path / "out", **real | {"only": ["referring", "zero-shot"]})
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.needs_font
def test_the_emoji_world_by_the_command_line(tmp_path):
    """Three tables in a real process, from drawing the scenes on."""
    command = [
        "-m",
        "clipseg_hf.cli",
        "reproduce",
        "emoji",
        "--quick",
        "--only",
        "zero-shot,generalized,visual-prompts",
    ]
    done = subprocess.run(
        [sys.executable, *command, "-o", str(tmp_path), "--set", "max_steps=3"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results["tables"]) == ["zero-shot", "generalized", "visual-prompts"]
    assert list(results["training_seconds"]) == ["pc-plus"]
    gains = {row["title"]: row["measured"][0] for row in results["tables"]["visual-prompts"]["rows"]}
    assert len(gains) == 15 and gains["crop, blur, background 10 %"] > gains["dyed red"]  # the CLIP is a trained one
    assert {path.name for path in tmp_path.glob("*.png")} == {f"{name}.png" for name in results["tables"]}
