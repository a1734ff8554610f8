"""A branch goes on from a checkpoint of any run, and is from then on a run like any other."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clipseg_hf.training import train
from clipseg_hf.training.runs.checkpoints import checkpoints_in
from clipseg_hf.training.runs.folders import BrokenFolder, read_manifest
from clipseg_hf.training.runs.run_folder import RunFolder


@pytest.fixture
def origin(make_args, rows):
    """A finished run of four steps with checkpoints at 2 and 4."""
    return train(make_args(), train_rows=rows).folder.parent


@pytest.fixture
def branch(make_args, origin):
    """Arguments of a branch from its step 2 with another learning rate and a folder of its own."""
    return make_args(
        output_dir=str(origin.with_name("branch")),
        resume_from_checkpoint=str(origin / "checkpoint-000002"),
        learning_rate=2e-3,
        max_steps=6,
        save_steps=1,
    )


def _names(folder) -> list[str]:
    return [path.name for path in checkpoints_in(folder)]


class _Killed(BaseException):
    pass


def _cut_off(args, rows, monkeypatch, step: int) -> None:
    """Train until a checkpoint would be written."""

    def save_or_die(self, model, processor, optimizer, state, best, keep):
        if state.step == step:
            raise _Killed
        save(self, model, processor, optimizer, state, best, keep)

    save = RunFolder.save_checkpoint
    with monkeypatch.context() as patch, pytest.raises(_Killed):
        patch.setattr(RunFolder, "save_checkpoint", save_or_die)
        train(args, train_rows=rows)


def test_a_branch_that_is_killed_goes_on_from_its_own_checkpoints(branch, origin, rows, monkeypatch, capsys):
    whole = train(branch.replace(output_dir=branch.output_dir + "-whole"), train_rows=rows).folder
    assert "A branch: it leaves from" in capsys.readouterr().out
    _cut_off(branch, rows, monkeypatch, 5)
    folder = Path(branch.output_dir)
    assert _names(folder) == ["checkpoint-000003", "checkpoint-000004"]
    assert read_manifest(folder / "checkpoint-000004")["branch"]["step"] == 2
    shutil.rmtree(origin)  # it is needed no more
    capsys.readouterr()
    result = train(branch, train_rows=rows)
    assert f"Going on from {folder / 'checkpoint-000004'}" in capsys.readouterr().out
    first, second = (load_file(path / "model.safetensors") for path in (whole, result.folder))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_branch_goes_on_without_its_option_too(branch, rows, monkeypatch):
    _cut_off(branch, rows, monkeypatch, 5)
    result = train(branch.replace(resume_from_checkpoint=True), train_rows=rows)
    assert (result.state.step, read_manifest(result.folder)["branch"]["step"]) == (6, 2)


def test_a_branch_may_not_change_again(branch, rows, monkeypatch):
    _cut_off(branch, rows, monkeypatch, 5)
    with pytest.raises(ValueError, match=r"made by another run(?s:.*)learning_rate: 0\.002 -> 0\.003"):
        train(branch.replace(learning_rate=3e-3), train_rows=rows)


def test_another_runs_newer_checkpoints_are_not_written_over(branch, origin, rows):
    with pytest.raises(FileExistsError, match=r"from .* \(step 2\) would .* holds checkpoint-000004, which did"):
        train(branch.replace(output_dir=str(origin)), train_rows=rows)
    assert _names(origin) == ["checkpoint-000002", "checkpoint-000004"]


def test_a_branch_of_another_checkpoint_is_another(branch, origin, rows, monkeypatch):
    _cut_off(branch, rows, monkeypatch, 6)
    other = branch.replace(resume_from_checkpoint=str(origin / "checkpoint-000004"))
    with pytest.raises(FileExistsError, match="holds checkpoint-000005, which did not leave from there"):
        train(other, train_rows=rows)


def test_a_branch_in_the_same_folder_leaves_from_the_newest(branch, origin, rows, monkeypatch, capsys):
    last = str(origin / "checkpoint-000004")
    args = branch.replace(output_dir=str(origin), resume_from_checkpoint=last, save_total_limit=1)
    _cut_off(args, rows, monkeypatch, 6)
    capsys.readouterr()
    assert train(args, train_rows=rows).state.step == 6
    assert "checkpoint-000005" in capsys.readouterr().out
    assert _names(origin) == ["checkpoint-000002", "checkpoint-000004", "checkpoint-000006"]  # the old run's stay


def test_torn_checkpoints_of_a_branch_are_passed_over(branch, rows, monkeypatch):
    _cut_off(branch, rows, monkeypatch, 5)
    for path in checkpoints_in(Path(branch.output_dir)):
        (path / "optimizer.safetensors").unlink()
    assert train(branch, train_rows=rows).state.step == 6  # from where it left


def test_a_branch_leaves_from_a_checkpoint(branch, origin, rows):
    with pytest.raises(BrokenFolder, match=r"final is a model, but no checkpoint: a run goes on from a folder"):
        train(branch.replace(resume_from_checkpoint=str(origin / "final")), train_rows=rows)
    with pytest.raises(BrokenFolder, match=r"none is not a checkpoint written here"):
        train(branch.replace(resume_from_checkpoint=str(origin / "none")), train_rows=rows)
