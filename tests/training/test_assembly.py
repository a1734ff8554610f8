"""From arguments to the parts of a run."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel

from clipseg_hf import CLIPSegForImageSegmentation
from clipseg_hf.training import CLIPSegTrainingArguments, assembly
from clipseg_hf.training.__main__ import main


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Ten pictures and masks of a user's own, without splits."""
    folder = tmp_path_factory.mktemp("own") / "pictures"
    for name in ("images", "masks/star"):
        (folder / name).mkdir(parents=True)
    for number in range(10):
        pixels, mask = np.full((40, 50, 3), 90, np.uint8), np.zeros((40, 50), np.uint8)
        pixels[5:25, 5 + number : 30], mask[5:25, 5 + number : 30] = (250, 200, 40), 255
        Image.fromarray(pixels).save(folder / "images" / f"{number}.jpg")
        Image.fromarray(mask).save(folder / "masks" / "star" / f"{number}.png")
    return folder


def test_a_share_is_set_aside_where_there_is_no_validation_split(pictures, make_args):
    args = make_args(train_data=str(pictures), validation_fraction=0.2, eval_steps=1)
    train, validation = assembly.build_rows(args)
    names = [[row["image_id"] for row in rows] for rows in (train, validation)]
    assert (len(names[0]), len(names[1])) == (8, 2)
    assert len(set(names[0] + names[1])) == 10
    again = assembly.build_rows(args)
    assert [[row["image_id"] for row in rows] for rows in again] == names


def test_all_rows_of_a_picture_are_on_one_side(pictures, make_args, tmp_path):
    pictures = shutil.copytree(pictures, tmp_path / "copied")
    for name in ("images", "masks/star"):
        for file in sorted((pictures / name).iterdir()):
            for copy in range(3):
                shutil.copy(file, file.with_stem(f"{file.stem}_copy_{copy}"))
    args = make_args(train_data=str(pictures), validation_fraction=0.2, eval_steps=1)
    sides = [{row["image_id"][0] for row in rows} for rows in assembly.build_rows(args)]
    assert [len(side) for side in sides] == [8, 2] and not sides[0] & sides[1]


def test_one_picture_cannot_be_divided(pictures, make_args, tmp_path):
    pictures = shutil.copytree(pictures, tmp_path / "same")
    for file in (pictures / "images").iterdir():
        file.write_bytes((pictures / "images" / "0.jpg").read_bytes())
    args = make_args(train_data=str(pictures), validation_fraction=0.2, eval_steps=1)
    with pytest.raises(ValueError, match=r"but the 10 rows to train on show 1 picture: there is none for each side"):
        assembly.build_rows(args)


def test_the_validation_split_comes_before_a_share(squares, make_args):
    train, validation = assembly.build_rows(make_args(train_data=str(squares), validation_fraction=0.5, eval_steps=1))
    assert (len(train), len(validation)) == (24, 8)


def test_no_validation_where_none_is_wanted(squares, make_args):
    train, validation = assembly.build_rows(make_args(train_data=str(squares), max_train_samples=5))
    assert (len(train), validation) == (5, None)


def test_early_stopping_needs_validation(pictures, make_args):
    args = make_args(train_data=str(pictures), eval_steps=1, early_stopping_patience=1)
    with pytest.raises(
        ValueError, match=r"early_stopping_patience needs something to validate on, but .* has no split val"
    ):
        assembly.build_rows(args)


def test_the_processor_gets_the_size_and_the_visual_prompts_of_the_training(make_args):
    processor = assembly.build_processor(make_args(image_size=(32, 48), visual_prompt={"crop": False}))
    assert processor.image_processor.size == {"height": 32, "width": 48}
    assert not processor.visual_prompt_settings.crop and processor.visual_prompt_settings.blur


def test_a_recipe_may_name_the_embedded_checkpoint(tmp_path):
    args = CLIPSegTrainingArguments(model_name_or_path="emoji-tiny", train_data=str(tmp_path), decoder_dropout=0.2)
    assert assembly.build_model(args).config.decoder_dropout == 0.2
    assert assembly.build_processor(args).tokenizer.model_max_length == 32


def test_the_same_seed_gives_the_same_decoder(make_args):
    first, second, other = (
        assembly.build_model(make_args(seed=seed)).decoder.state_dict()["reduces.0.weight"] for seed in (0, 0, 1)
    )
    assert first.equal(second) and not first.equal(other)


def test_the_prompt_may_modulate_several_steps(make_args, tmp_path):
    fresh = assembly.build_model(make_args(conditional_layers=(0, 1)))
    assert fresh.config.conditional_layers == [0, 1] and list(fresh.decoder.films) == ["1"]
    assert all(weight.std() > 0.01 for weight in fresh.decoder.films.parameters())
    assembly.build_model(make_args()).save_pretrained(tmp_path / "plain")
    tuning = CLIPSegTrainingArguments(model_name_or_path=str(tmp_path / "plain"), conditional_layers=(0, 1))
    tuned = assembly.build_model(tuning)
    assert list(tuned.decoder.films) == ["1"] and not any(weight.any() for weight in tuned.decoder.films.parameters())


def test_the_decoder_may_attend_to_tokens(make_args, tmp_path):
    seen = {"text": 3, "image": 4}
    fresh = assembly.build_model(make_args(prompt_tokens=seen))
    assert fresh.config.prompt_tokens == seen
    assert all(attention.out_proj.weight.std() > 0.01 for attention in fresh.decoder.attends.values())
    assembly.build_model(make_args()).save_pretrained(tmp_path / "plain")
    tuned = assembly.build_model(
        CLIPSegTrainingArguments(model_name_or_path=str(tmp_path / "plain"), prompt_tokens=seen)
    )
    assert tuned.decoder.attends and not any(a.out_proj.weight.any() for a in tuned.decoder.attends.values())


def test_the_command_says_what_is_wrong_in_one_line(tmp_path, capsys):
    (tmp_path / "r.yaml").write_text(json.dumps({"learning_rat": 1}))
    assert main([str(tmp_path / "r.yaml")]) == 2
    assert "Did you mean 'learning_rate'?" in capsys.readouterr().err
    assert main([str(tmp_path / "none.yaml")]) == 2
    assert "There is no recipe" in capsys.readouterr().err
    recipe = {"output_dir": str(tmp_path / "out"), "max_steps": 1, "use_cpu": True}
    for named, message in (
        ({"model_name_or_path": "emoji-tiny", "train_data": str(tmp_path / "lost")}, "lost"),
        ({"clip_name_or_path": str(tmp_path / "none"), "train_data": str(tmp_path)}, "none"),
        ({"clip_name_or_path": "outputs/clip", "train_data": str(tmp_path)}, "outputs/clip is not on this machine"),
        ({"model_name_or_path": "outputs/final", "train_data": str(tmp_path)}, "or make it first, by the recipe that"),
        ({"train_data": str(tmp_path)}, "Name the model to train"),
    ):
        (tmp_path / "r.yaml").write_text(json.dumps(recipe | named))
        assert main([str(tmp_path / "r.yaml")]) == 2
        (said,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert message in said
    with pytest.raises(ValueError, match="Name the model"):
        main([str(tmp_path / "r.yaml"), "--debug"])
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "max_steps = 20000: optimizer steps" in capsys.readouterr().out


def test_a_decoder_goes_on_on_another_clip(make_args, clip, tmp_path):
    base, other = tmp_path / "base", tmp_path / "other"
    trained = CLIPSegForImageSegmentation.from_clip(
        str(clip), extract_layers=(0, 2), reduce_dim=16, conditional_layers=[0, 1], refiner={}
    )
    trained.config.mask_thresholds = {"text": 0.4}
    trained.config.image_prompt_weight = 0.2
    trained.save_pretrained(base)
    torch.manual_seed(1)
    another = CLIPModel(trained.clip.config)
    another.save_pretrained(other)
    moving = {"model_name_or_path": str(base), "clip_name_or_path": str(other), "extract_layers": None}
    model = assembly.build_model(make_args(**moving, reduce_dim=None))
    for name, tensor in model.state_dict().items():
        expected = another if name.startswith("clip.") else trained
        assert torch.equal(tensor, expected.state_dict()[name.removeprefix("clip.") if expected is another else name])
    assert model.config.base_model_name_or_path == str(other)
    assert getattr(model.config, "mask_thresholds", None) is None
    assert getattr(model.config, "image_prompt_weight", None) is None
    assert not any(weight.requires_grad for weight in model.clip.parameters())
    assert all(weight.requires_grad for weight in model.decoder.parameters())


def test_a_decoder_is_not_put_on_a_clip_of_another_width(make_args, clip, tmp_path):
    trained = CLIPSegForImageSegmentation.from_clip(str(clip), extract_layers=(0, 2), reduce_dim=16)
    trained.save_pretrained(tmp_path / "a")
    wide = CLIPConfig.from_pretrained(clip)
    wide.vision_config.hidden_size *= 2
    CLIPModel(wide).save_pretrained(tmp_path / "b")
    moving = {"model_name_or_path": str(tmp_path / "a"), "clip_name_or_path": str(tmp_path / "b")}
    with pytest.raises(ValueError, match=r"decoder of .*a does not fit the CLIP .*b: its decoder\.reduces\.0\.weight"):
        assembly.build_model(make_args(**moving, extract_layers=None, reduce_dim=None))
