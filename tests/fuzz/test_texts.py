"""Recipes, overrides, lists and prompts as nobody would write them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from clipseg_hf.console.overrides import parse_overrides
from clipseg_hf.data.sources.classes import make_class_table
from clipseg_hf.evaluation.benchmarks.subsets import PhraseCutSubsets
from clipseg_hf.evaluation.protocols.one_shot import read_episodes
from clipseg_hf.inference.prompt_reading import read_prompts
from clipseg_hf.processing.masks.rle import encode_rle
from clipseg_hf.training import CLIPSegTrainingArguments
from clipseg_hf.training.pretraining.pretrain_recipe import PretrainRecipe
from fuzz import rounds, seeds
from fuzz.damage import Case, broken
from fuzz.sandbox import check

ROWS = [{"image_id": "1", "phrases": [{"phrase": "box", "name": "box", "mask": encode_rle(np.ones((2, 2), bool))}]}]


def read_recipe(folder: Path, name: str) -> None:
    args = CLIPSegTrainingArguments.from_yaml(folder / name)
    assert CLIPSegTrainingArguments.from_yaml(folder / name).to_yaml() == args.to_yaml()


READERS: dict[str, Callable[[Path, str], object]] = {
    "recipe.yaml": read_recipe,
    "pretraining.yaml": lambda folder, name: PretrainRecipe.from_yaml(folder / name),
    "counts.json": lambda folder, name: PhraseCutSubsets.from_counts(folder / name),
    "episodes.json": lambda folder, name: read_episodes(folder / name, ROWS, {"0": ["box"]}),
    "episodes.txt": lambda folder, name: read_episodes(folder / name, ROWS, {"0": ["box"]}),
    "classes.json": lambda folder, name: make_class_table(folder / name),
    "classes.txt": lambda folder, name: make_class_table(folder / name),
    "class_dict.csv": lambda folder, name: make_class_table(folder / name),
}


def try_file(root: Path, case: Case) -> None:
    folder = case.plant(root)
    name = case.changes[0]
    check(lambda: READERS[name](folder, name), folder, names=[name], allowed=[root.parent])


@pytest.mark.slow
@pytest.mark.timeout(rounds.TIMEOUT, method="thread")
def test_any_file_of_settings_is_read_or_named(root):
    rounds.fuzz(broken(seeds.TEXTS), lambda case: try_file(root, case))


WORDS = (
    "cat",
    "a - b",
    "|",
    "&",
    "-",
    " ",
    "(",
    ")",
    '"',
    "0.7 *",
    "* ",
    "0 *",
    "9" * 400 + " * ",
    "-1 *",
    "\n",
    "é",
    "\0",
)
WORDS += ("(" * 3000, ")" * 3000, "| a " * 3000, "2 * " * 3000, "٣ * ", "\ud800", "t-shirt", "nan *", "1e5 *", "\u2028")
prompts = st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=12).map("".join)


def try_prompt(root: Path, text: str) -> None:
    prompt = []
    check(lambda: prompt.extend(read_prompts([text])), root, names=["A prompt", "prompt"])
    if prompt:
        check(lambda: (repr(prompt), prompt[0].label, prompt[0] | "b"), root)


@pytest.mark.slow
@pytest.mark.timeout(rounds.TIMEOUT, method="thread")
def test_any_prompt_is_read_or_pointed_at(root):
    rounds.fuzz(prompts, lambda text: try_prompt(root, text), share=0.5)


YAML = (
    "a",
    "=",
    "1",
    "[",
    "]",
    "{",
    "}",
    ":",
    "&a ",
    "*a",
    "!!python/object:os.system ",
    "!!int ",
    "? ",
    "- ",
    "\n",
    "'",
)
YAML += (
    "2026-02-30",
    "0x" + "f" * 5000,
    "9" * 5000,
    ".nan",
    "1_000",
    "1:60",
    "<<: ",
    "!!binary ",
    "!!timestamp ",
    "\0",
)
overrides = st.lists(st.sampled_from(YAML) | st.text(max_size=3), max_size=8).map("".join)


def try_override(root: Path, setting: str) -> None:
    def read() -> None:
        CLIPSegTrainingArguments.from_dict(parse_overrides([f"seed={setting}", f"data_options={setting}"]))
        CLIPSegTrainingArguments.from_dict(parse_overrides([setting]))

    check(read, root, names=["override", "argument", "seed", "data_options"])


@pytest.mark.slow
@pytest.mark.timeout(rounds.TIMEOUT, method="thread")
def test_any_override_is_read_or_named(root):
    rounds.fuzz(overrides, lambda setting: try_override(root, setting), share=0.5)
