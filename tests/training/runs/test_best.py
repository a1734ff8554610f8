"""The best model and the state that knows of it belong together, whatever a run was killed in."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clipseg_hf.training import train
from clipseg_hf.training.runs.folders import read_manifest
from clipseg_hf.training.runs.run_folder import RunFolder
from clipseg_hf.training.validation import Validation


class _Killed(BaseException):
    pass


@pytest.fixture
def validating(make_args, rows, validation_rows, monkeypatch):
    """Trainings with a validation in each step, whose values are given: nothing else is as unrepeatable as wanted."""

    def run(values, die_before_checkpoint=None, **changes):
        left, save = list(values), RunFolder.save_checkpoint

        def save_or_die(self, model, processor, optimizer, state, best, keep):
            if state.step == die_before_checkpoint:
                raise _Killed
            save(self, model, processor, optimizer, state, best, keep)

        with monkeypatch.context() as patch:
            patch.setattr(Validation, "__call__", lambda *_: {"text_miou_best": left.pop(0), "text_ap": 0.5})
            patch.setattr(RunFolder, "save_checkpoint", save_or_die)
            args = make_args(eval_steps=1, calibrate=False, picture_samples=0, learning_rate=0.01, **changes)
            return train(args, train_rows=rows, validation_rows=validation_rows)

    return run


def _weights(file) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in load_file(file).items() if not name.startswith("clip.")}


def _same(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_killed_between_best_and_checkpoint_and_then_worse(validating, make_args):
    with pytest.raises(_Killed):
        validating([0.1, 0.5, 0.2, 0.9], die_before_checkpoint=4)
    folder = Path(make_args().output_dir)
    assert read_manifest(folder / "best")["step"] == 4
    result = validating([0.2, 0.3])
    assert (result.state.best_step, result.state.best_value, result.state.worse) == (2, 0.5, 2)
    assert result.metrics["text_miou_best"] == 0.5
    assert read_manifest(folder / "best")["step"] == 2  # it was mended at the start
    second = _weights(folder / "checkpoint-000002" / "decoder.safetensors")
    assert _same(_weights(folder / "best" / "decoder.safetensors"), second)
    assert _same(_weights(folder / "final" / "model.safetensors"), second)
    assert not _same(_weights(folder / "checkpoint-000004" / "decoder.safetensors"), second)


def test_best_is_written_anew_where_it_is_gone_or_another(validating):
    folder = validating([0.1, 0.5, 0.2, 0.3]).folder.parent
    before = _weights(folder / "best" / "decoder.safetensors")
    shutil.rmtree(folder / "best")
    shutil.copytree(folder / "checkpoint-000004", folder / "best")
    validating([])
    assert _same(_weights(folder / "best" / "decoder.safetensors"), before)
    shutil.rmtree(folder / "best")
    result = validating([])
    assert _same(_weights(folder / "best" / "decoder.safetensors"), before)
    assert result.metrics == {"text_miou_best": 0.5, "text_ap": 0.5}


def test_another_metric_picks_the_best_anew(validating, capsys):
    """A value of one number is not compared with another's."""
    folder = validating([0.1, 0.9, 0.2, 0.3]).folder.parent
    shutil.rmtree(folder / "checkpoint-000004")
    result = validating([0.2, 0.3], metric_for_best_model="text_ap")
    assert (result.state.best_step, result.state.best_value) == (3, 0.5)
    assert "picked by text_miou_best on 4 images of" in capsys.readouterr().out


def test_a_users_own_best_stays(validating, make_args):
    (Path(make_args().output_dir) / "best").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="best would be written, but there is something of that name already"):
        validating([])
