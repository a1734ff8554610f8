"""What stands beside a decoder is trained by the same loop: with it or after it, with caches, and on from a cut."""

import pytest
import torch
from safetensors.torch import load_file

from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.training import CLIPSegTrainingArguments, train

ALONE = {
    "clip_name_or_path": None,
    "extract_layers": None,
    "reduce_dim": None,
    "freeze_decoder": True,
    "crop": False,
    "cache_prompts": True,
    "cache_features": True,
}


REFINER = ALONE | {"refiner": {"channels": 4}}
ATTENTION = ALONE | {"freeze_decoder": False, "prompt_tokens": {"text": 3, "image": 4, "beside": True}}


@pytest.fixture(scope="module")
def base(clip, tmp_path_factory):
    """A trained checkpoint with nothing beside its decoder; dropout shows whether a frozen decoder is left alone."""
    from clipseg_hf.processing import CLIPSegProcessor

    folder = tmp_path_factory.mktemp("base")
    generator = torch.Generator().manual_seed(0)
    CLIPSegForImageSegmentation.from_clip(
        str(clip), extract_layers=(0, 2), reduce_dim=16, decoder_dropout=0.5, generator=generator
    ).save_pretrained(folder)
    CLIPSegProcessor.from_clip(clip, size=64).save_pretrained(folder)
    return str(folder)


def test_alone_on_kept_activations_and_resumed_bit_by_bit(make_args, base, rows, tmp_path, without_its_end):
    args = make_args(model_name_or_path=base, **REFINER)
    whole = train(args, train_rows=rows)
    before, after = (load_file(f"{folder}/model.safetensors") for folder in (base, whole.folder))
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
    trained = load_file(whole.folder / "refiner.safetensors")
    assert trained["refiner.finish.weight"].any()
    assert set(load_file(tmp_path / "run" / "checkpoint-000004" / "optimizer.safetensors")) == {
        f"{kind}.{name}" for kind in ("exp_avg", "exp_avg_sq", "step") for name in trained
    }

    cut = without_its_end(tmp_path / "run", 4)
    resumed = train(args.replace(output_dir=str(cut)), train_rows=rows)
    assert resumed.state.step == 4
    name = "refiner.safetensors"
    assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_kept_activations_are_those_of_the_pictures(make_args, base, rows, monkeypatch):
    from clipseg_hf.training import steps as training_steps

    losses, step = [], training_steps.train_step
    monkeypatch.setattr(training_steps, "train_step", lambda *args: losses.append(step(*args)) or losses[-1])
    for kept in (True, False):
        caches = {"cache_prompts": kept, "cache_features": kept, "output_dir": f"{make_args().output_dir}-{kept}"}
        train(make_args(model_name_or_path=base, **(REFINER | caches)), train_rows=rows)
    half = len(losses) // 2
    for (found, _), (expected, _) in zip(losses[:half], losses[half:], strict=True):
        assert found == pytest.approx(expected, rel=1e-3)


def test_together_with_a_fresh_decoder(make_args, rows, validation_rows):
    args = make_args(refiner={"channels": 4}, eval_steps=2, metric_for_best_model="text_ap")
    result = train(args, train_rows=rows, validation_rows=validation_rows)
    again = CLIPSegForImageSegmentation.from_pretrained(result.folder)
    assert again.config.refiner == {"channels": 4} and again.refiner.finish.weight.any()
    for name in ("best", "checkpoint-000004"):
        loaded = CLIPSegForImageSegmentation.from_pretrained(result.folder.parent / name)
        assert loaded.refiner.finish.weight.any()


def test_prompt_attention_with_its_decoder_resumed_bit_by_bit_and_then_a_refiner(
    make_args, base, rows, tmp_path, without_its_end
):
    args = make_args(model_name_or_path=base, **ATTENTION)
    whole = train(args, train_rows=rows)
    files = ("model.safetensors", "prompt_tokens.safetensors")
    assert load_file(whole.folder / files[1])["decoder.attends.1.out_proj.weight"].any()
    assert not any("attends" in name for name in load_file(whole.folder / files[0]))
    resumed = train(args.replace(output_dir=str(without_its_end(tmp_path / "run", 4))), train_rows=rows)
    for name in files:
        assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()

    args = make_args(model_name_or_path=str(whole.folder), output_dir=str(tmp_path / "then"), **REFINER)
    then = train(args, train_rows=rows)
    assert (then.folder / files[1]).read_bytes() == (whole.folder / files[1]).read_bytes()
    assert load_file(then.folder / "refiner.safetensors")["refiner.finish.weight"].any()


def test_what_cannot_be_trained_is_refused(make_args, base, rows):
    with pytest.raises(ValueError, match=r"freeze_decoder trains the refiner alone, but this model has none: set refi"):
        train(make_args(model_name_or_path=base, **ALONE), train_rows=rows)
    with pytest.raises(ValueError, match="it goes with model_name_or_path"):
        CLIPSegTrainingArguments(clip_name_or_path="clip", freeze_decoder=True)
    with pytest.raises(ValueError, match=r"refiner=\{'width': 3\} must be None"):
        train(make_args(model_name_or_path=base, **(REFINER | {"refiner": {"width": 3}})), train_rows=rows)
