"""CLIPSegTrainingArguments: YAML in and out, defaults, and errors that help."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipseg_hf.training import CLIPSegTrainingArguments, parse_overrides


def test_defaults_are_the_papers_recipe():
    args = CLIPSegTrainingArguments()
    assert (args.max_steps, args.per_device_train_batch_size) == (20_000, 64)
    assert (args.learning_rate, args.min_learning_rate, args.lr_scheduler_type) == (1e-3, 1e-4, "cosine")
    assert (args.negative_probability, args.mix, args.image_size) == (0.2, "code", 352)


def test_yaml_round_trip(tmp_path):
    args = CLIPSegTrainingArguments(
        clip_name_or_path="clip", extract_layers=(1, 2), image_size=(96, 64), without_words=("wheel",), mix="paper"
    )
    path = tmp_path / "recipe.yaml"
    args.to_yaml(path)
    assert CLIPSegTrainingArguments.from_yaml(path) == args


@given(
    st.fixed_dictionaries(
        {
            "learning_rate": st.floats(1e-3, 1.0),
            "seed": st.integers(0, 2**31),
            "crop": st.booleans(),
            "image_size": st.one_of(st.integers(16, 512), st.tuples(st.integers(16, 512), st.integers(16, 512))),
            "without_words": st.lists(st.text(max_size=5), max_size=3).map(tuple),
        }
    )
)
def test_any_recipe_survives_yaml(tmp_path_factory, values):
    args = CLIPSegTrainingArguments(**values)
    path = tmp_path_factory.mktemp("yaml") / "r.yaml"
    args.to_yaml(path)
    assert CLIPSegTrainingArguments.from_yaml(path) == args


def test_what_yaml_reads_as_text_becomes_a_number(tmp_path):
    (tmp_path / "r.yaml").write_text("learning_rate: 5e-4\nmax_steps: 2e3\nreport_to: tensorboard\n")
    args = CLIPSegTrainingArguments.from_yaml(tmp_path / "r.yaml")
    assert (args.learning_rate, args.max_steps, args.report_to) == (5e-4, 2000, ("tensorboard",))


def test_a_recipe_extends_another_and_overrides_come_last(tmp_path):
    (tmp_path / "base.yaml").write_text("learning_rate: 0.01\nmax_steps: 10\nmix: paper\n")
    (tmp_path / "more.yaml").write_text("extends: base.yaml\nmax_steps: 20\nmix: text\n")
    args = CLIPSegTrainingArguments.from_yaml(tmp_path / "more.yaml", parse_overrides(["mix=image", "crop=false"]))
    assert (args.learning_rate, args.max_steps, args.mix, args.crop) == (0.01, 20, "image", False)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            "learning_rte: 1",
            ValueError,
            r"r\.yaml: Unknown training argument.*'learning_rte': Did you mean 'learning_rate'",
        ),
        ("xyzzy: 1\nbatch: 3", ValueError, r"Unknown training arguments\. 'xyzzy': nothing has a similar name"),
        ("max_steps: many", TypeError, r"max_steps takes a whole number, got 'many' \(str\)"),
        ("max_steps: 1.5", TypeError, r"max_steps takes a whole number, got 1\.5"),
        ("crop: maybe", TypeError, "crop takes true or false, got 'maybe'"),
        (
            "mixed_precision: no",
            TypeError,
            r"mixed_precision takes a text, got False \(bool\)\. If .* quotes: \"no\" \(on",
        ),
        ("output_dir: 12", TypeError, r"output_dir takes a text, got 12 \(int\)\. If a text is meant.* quotes: \"12\""),
        ("prefixes: ['a', on]", TypeError, r"prefixes takes .*, got \['a', True\] \(list\)\. If .* quotes: \"yes\""),
        ("max_steps: true", TypeError, r"max_steps takes a whole number, got True \(bool\)\.$"),
        ("image_size: [1, 2, 3]", TypeError, "image_size takes a whole number or a list"),
        ("max_steps: 0", ValueError, "max_steps is at least 1, got 0"),
        ("negative_probability: 1.2", ValueError, "negative_probability is between 0 and 1, got 1.2"),
        ("calibration_weights: [0.5, 1.5]", ValueError, r"calibration_weights is between 0 and 1, got \(0\.5, 1\.5\)"),
        ("calibrate: false\ncalibration_weights: 0.3", ValueError, "weights are chosen .* set calibrate: true"),
        ("calibration_weights: [half]", TypeError, r"calibration_weights takes a list, got \['half'\]"),
        ("learning_rate: .nan", ValueError, "learning_rate is at least 0, got nan"),
        ("mix: papper", ValueError, "mix is one of .*got 'papper'. Did you mean 'paper'"),
        ("prefixes: [a photo]", ValueError, "prefixes are texts with one {}"),
        ("min_learning_rate: 0.1", ValueError, r"min_learning_rate \(0\.1\) is what the rate falls to"),
        ("phrases_per_image: 3", ValueError, "a multiple of phrases_per_image, got 64 and 3"),
        ("cache_features: true", ValueError, "cache_features keeps one encoding of each image, which crop would"),
        ("eval_steps: null\nearly_stopping_patience: 2", ValueError, "needs validations: set eval_steps"),
        (
            "model_name_or_path: a\nclip_name_or_path: b\nfreeze_decoder: true",
            ValueError,
            r"decoder of 'a' as it is, but on another CLIP \('b'\) its masks mean nothing until it is trained",
        ),
        (
            "model_name_or_path: a\nclip_name_or_path: b\nmodel_revision: v1",
            ValueError,
            "could be of model_name_or_path or of clip_name_or_path: download that revision",
        ),
        ("model_name_or_path: a\nreduce_dim: 16", ValueError, "reduce_dim can only be chosen for a fresh decoder"),
        ("model_name_or_path: a\npretrained_clip: false", ValueError, "pretrained_clip=False goes with clip_name"),
        ("- a\n- b", ValueError, "found list"),
        ("a: [", ValueError, r"r\.yaml is not valid YAML"),
        ("extends: r.yaml", ValueError, "extends itself"),
        ("extends: no.yaml", FileNotFoundError, "There is no recipe"),
        ("extends: [a]", ValueError, r"r\.yaml: extends is the name of another recipe, got \['a'\]"),
        ("seed: 2026-02-30", ValueError, r"r\.yaml is not valid YAML: day is out of range for month"),
        ("seed: " + "9" * 5000, ValueError, r"r\.yaml is not valid YAML: Exceeds the limit"),
        ("seed: 0x" + "f" * 5000, TypeError, r"r\.yaml: seed takes a whole number, got a very large int \(int\)"),
        ("a: " + "[" * 3000, ValueError, r"r\.yaml is not valid YAML: maximum recursion depth"),
        ("a: &a [x]\nb: &b [*a, *a]\nmix: [*b, *b]", ValueError, r"Unknown training arguments"),
        ("max_steps: &a [*a]", TypeError, r"max_steps takes a whole number, got \[\[\[+\.\.\."),
    ],
)
def test_errors_say_what_is_wrong(tmp_path, text, error, message):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(error, match=message):
        CLIPSegTrainingArguments.from_yaml(tmp_path / "r.yaml")


def test_overrides_need_a_value():
    with pytest.raises(ValueError, match="An override is written key=value, got 'max_steps'"):
        parse_overrides(["max_steps"])
    with pytest.raises(ValueError, match=r"The override 'max_steps=\[1' is not valid YAML"):
        parse_overrides(["max_steps=[1"])


def test_every_field_is_described():
    lines = CLIPSegTrainingArguments.describe().splitlines()
    assert [line.split(" = ")[0] for line in lines] == [option.name for option in fields(CLIPSegTrainingArguments)]
    assert all(len(option.metadata["help"]) > 10 for option in fields(CLIPSegTrainingArguments))
    assert "learning_rate = 0.001: peak learning rate of AdamW" in lines
