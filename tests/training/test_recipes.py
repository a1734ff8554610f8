"""Every recipe in examples/recipes is read, says what the paper says, and starts."""

from pathlib import Path

import pytest
import yaml

from clipseg_hf.data.vocabulary.concepts import GENERALISED_PROMPT_WORDS
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.processing import CLIPSegProcessor
from clipseg_hf.training import CLIPSegTrainingArguments, train

FOLDER = Path(__file__).parents[2] / "examples" / "recipes"
RECIPES = sorted(path.stem for path in FOLDER.glob("*.yaml") if "emoji-clip" not in path.stem)  # those pre-train
"""Names of the recipes for `train`."""


def _read(name: str, **overrides) -> CLIPSegTrainingArguments:
    return CLIPSegTrainingArguments.from_yaml(FOLDER / f"{name}.yaml", overrides)


@pytest.fixture(scope="module")
def published(deep_clip, tmp_path_factory) -> Path:
    """A CLIPSeg to fine-tune."""
    folder = tmp_path_factory.mktemp("models") / "published"
    CLIPSegForImageSegmentation.from_clip(deep_clip, reduce_dim=16).save_pretrained(folder)
    CLIPSegProcessor.from_clip(deep_clip, size=64).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", RECIPES)
def test_two_steps_of_each(name, squares, deep_clip, published, tmp_path):
    small = {
        "output_dir": str(tmp_path / "run"),
        "train_data": str(squares),
        "image_size": 64,
        "max_steps": 2,
        "warmup_steps": 0,
        "per_device_train_batch_size": 4,
        "dataloader_num_workers": 0,
        "eval_steps": None,
        "early_stopping_patience": None,
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": True,
    }
    places = {"clip_name_or_path": str(deep_clip), "model_name_or_path": str(published)}
    small |= {field: place for field, place in places.items() if getattr(_read(name), field) is not None}
    args = _read(name, **small)
    result = train(args)
    assert result.state.step == 2
    expected = args.reduce_dim or 16
    assert CLIPSegForImageSegmentation.from_pretrained(result.folder).config.reduce_dim == expected


def test_the_papers_recipe():
    args = _read("phrasecut-rd64")
    assert (args.max_steps, args.per_device_train_batch_size, args.learning_rate) == (20_000, 64, 1e-3)
    assert (args.min_learning_rate, args.lr_scheduler_type, args.loss_type) == (1e-4, "cosine", "bce")
    assert (args.extract_layers, args.reduce_dim, args.decoder_dropout, args.mix) == ((3, 7, 9), 64, 0.1, "code")
    refined = _read("phrasecut-rd64-refined")
    assert (refined.max_steps, refined.use_complex_transposed_convolution) == (50_000, True)
    assert _read("coco20i").max_steps == 7000
    assert _read("phrasecut-rd128").reduce_dim == 128


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("ablation-no-visual", {"mix": "text"}),
        ("ablation-no-negatives", {"negative_probability": 0.0}),
        ("ablation-half-negatives", {"negative_probability": 0.5}),
        ("ablation-rd16", {"reduce_dim": 16}),
        ("ablation-layer-3", {"extract_layers": [3]}),
        ("ablation-highlight-mask", {"visual_prompt": {"crop": False}}),
        ("ablation-no-clip-pretraining", {"pretrained_clip": False, "learning_rate": 3e-4}),
        ("ablation-no-interpolation", {"mix": "image", "support_probability": 0.5}),
    ],
)
def test_an_ablation_changes_one_thing(name, changes):
    paper, ablation = _read("phrasecut-rd64").to_dict(), _read(name).to_dict()
    assert {key: ablation[key] for key in paper if paper[key] != ablation[key] and key != "output_dir"} == changes
    assert len(yaml.safe_load((FOLDER / f"{name}.yaml").read_text())) <= 4


def test_excluded_words_are_those_of_the_tests():
    assert _read("phrasecut-without-words").without_words == GENERALISED_PROMPT_WORDS
    assert _read("phrasecut-zero-shot").without_concepts == ("unseen-10",)
    assert _read("phrasecut-pascal5i").without_concepts == ("pascal5i-fold0",)
    assert len(_read("coco20i").without_words) == 20
