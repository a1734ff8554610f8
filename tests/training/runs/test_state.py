"""Checkpoints: whole or not there, of this run or refused."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file

from clipseg_hf.modeling.layers import matrix_code
from clipseg_hf.modeling.layers.matrix_code import keep_choices
from clipseg_hf.modeling.layers.onednn import choices
from clipseg_hf.training import TrainingStopped, train
from clipseg_hf.training.runs.checkpoints import checkpoint_path, checkpoints_in, step_of
from clipseg_hf.training.runs.folders import BrokenFolder, read_manifest, recover, write_whole
from clipseg_hf.training.runs.state import TrainingState


@pytest.fixture
def run(make_args, rows):
    """A finished run of four steps with checkpoints at 2 and 4: its arguments and output folder."""
    args = make_args(decoder_dropout=0.3)
    return args, train(args, train_rows=rows).folder.parent


def _final(output) -> dict[str, torch.Tensor]:
    return load_file(output / "final" / "model.safetensors")


def _same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_torn_checkpoint_is_passed_over_for_the_one_before(run, rows, caplog):
    args, output = run
    before = _final(output)
    path = output / "checkpoint-000004" / "optimizer.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    result = train(args, train_rows=rows)
    assert "checkpoint-000004 is torn: its optimizer.safetensors has" in caplog.text
    assert "The one before it is used." in caplog.text
    assert result.state.step == 4
    assert _same(_final(output), before)


def test_a_foreign_checkpoint_is_passed_over(run, rows, caplog):
    args, output = run
    (output / "checkpoint-000009").mkdir()
    (output / "checkpoint-000009" / "pytorch_model.bin").write_bytes(b"PK")
    assert train(args, train_rows=rows).state.step == 4
    assert "checkpoint-000009 is not a checkpoint written here: it has no readable manifest.json" in caplog.text


def test_the_one_asked_for_must_be_whole(run, rows):
    args, output = run
    (output / "checkpoint-000002" / "decoder.safetensors").unlink()
    torn = args.replace(resume_from_checkpoint=str(output / "checkpoint-000002"))
    with pytest.raises(BrokenFolder, match=r"checkpoint-000002 is torn: its decoder\.safetensors is missing"):
        train(torn, train_rows=rows)


def test_nothing_but_torn_checkpoints_is_an_error(run, rows):
    args, output = run
    for path in output.glob("checkpoint-*"):
        (path / "manifest.json").write_text("{")
    with pytest.raises(BrokenFolder, match=r"No checkpoint in .* can be used; delete them to begin anew"):
        train(args, train_rows=rows)


def test_another_runs_checkpoint_is_refused(run, rows):
    args, output = run
    with pytest.raises(ValueError, match=r"made by another run(?s:.*)learning_rate: 0\.001 -> 0\.002"):
        train(args.replace(learning_rate=2e-3), train_rows=rows)
    with pytest.raises(ValueError, match=r"made by another run(?s:.*)train_data: \w{16} -> \w{16}"):
        train(args, train_rows=rows[1:])
    with pytest.raises(ValueError, match="prompts_per_step: 4 -> 8"):
        train(args.replace(per_device_train_batch_size=8), train_rows=rows)
    other = args.replace(reduce_dim=8, resume_from_checkpoint=str(output / "checkpoint-000004"))
    with pytest.raises(ValueError, match=r"is of another decoder: its decoder\.\S+ is \[\d+.*this model's \["):
        train(other, train_rows=rows)


def test_a_longer_training_may_go_on_from_a_checkpoint_on_purpose(run, rows):
    args, output = run
    longer = args.replace(max_steps=6, resume_from_checkpoint=str(output / "checkpoint-000004"))
    assert train(longer, train_rows=rows).state.step == 6


def test_what_changes_no_number_may_change(run, rows):
    args, output = run
    before = _final(output)
    shutil.rmtree(output / "checkpoint-000004")
    split = args.replace(per_device_train_batch_size=2, gradient_accumulation_steps=2, logging_steps=1)
    train(split, train_rows=rows)
    assert _final(output).keys() == before.keys()
    train(args.replace(dataloader_num_workers=1), train_rows=rows)


def test_another_precision_is_said(run, rows, caplog):
    args, output = run
    path = output / "checkpoint-000004" / "provenance.json"
    origin = path.read_text()
    assert '"mixed_precision": "no"' in origin
    with write_whole(path.parent, **read_manifest(path.parent)) as folder:
        for file in path.parent.iterdir():
            if file.name != "manifest.json":
                (folder / file.name).write_bytes(
                    file.read_bytes().replace(b'"mixed_precision": "no"', b'"mixed_precision": "bf16"')
                )
    train(args, train_rows=rows)
    assert "Going on with another number or kind of mixed_precision (no, before bf16)" in caplog.text


def test_checkpoints_are_refused_when_asked_to_begin_anew(run, rows):
    args, _ = run
    with pytest.raises(FileExistsError, match=r"holds checkpoints \(checkpoint-000004 is the last\)"):
        train(args.replace(resume_from_checkpoint=False), train_rows=rows)


def test_a_full_disk_leaves_the_checkpoint_before_whole(run, rows):
    resource = pytest.importorskip("resource")
    args, output = run
    shutil.rmtree(output / "checkpoint-000004")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # no file may be longer
    try:
        with pytest.raises(
            TrainingStopped, match=r"step 3 .*on rows .*\. \S+checkpoint-000002 is whole; the same comm"
        ):
            train(args, train_rows=rows)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read_manifest(output / "checkpoint-000002")["step"] == 2
    assert not list(output.glob("*.writing"))
    assert train(args, train_rows=rows).state.step == 4


def test_old_checkpoints_go(make_args, rows):
    output = train(make_args(save_steps=1, save_total_limit=3), train_rows=rows).folder.parent
    assert [path.name for path in sorted(output.glob("checkpoint-*"))] == [f"checkpoint-00000{n}" for n in (2, 3, 4)]


def test_a_folder_appears_at_once_and_is_checked(tmp_path):
    path = tmp_path / "box"
    with write_whole(path, step=1) as folder:
        (folder / "a.txt").write_text("one")
        assert not path.exists()
    assert read_manifest(path) == {"step": 1}
    with pytest.raises(RuntimeError, match="no luck"), write_whole(path, step=2):
        raise RuntimeError("no luck")
    assert read_manifest(path) == {"step": 1}
    with write_whole(path, step=3) as folder:
        (folder / "a.txt").write_text("three")
    assert (read_manifest(path), (path / "a.txt").read_text()) == ({"step": 3}, "three")
    assert [p.name for p in tmp_path.iterdir()] == ["box"]


def test_what_was_moved_aside_comes_back(tmp_path):
    with write_whole(tmp_path / "box", step=1):
        pass
    (tmp_path / "box").rename(tmp_path / ".box.replaced")  # killed between two renames
    (tmp_path / ".box.writing").mkdir()
    recover(tmp_path)
    assert read_manifest(tmp_path / "box") == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["box"]


class _Killed(BaseException):
    pass


def test_a_folder_killed_while_written_leaves_nothing(tmp_path, monkeypatch):
    """At each of the moments at which a file is written or renamed."""

    def write(step):
        with write_whole(tmp_path / "box", step=step) as folder:
            (folder / "a.txt").write_text(str(step))
            (folder / "inner").mkdir()
            (folder / "inner" / "b.txt").write_text(str(step))

    write(0)
    calls = []
    for name in ("replace", "rename", "mkdir", "fsync", "unlink", "rmdir"):
        real = getattr(os, name)

        def call(*args, real=real, **kwargs):
            calls.append(real)
            if len(calls) > left[0]:
                raise _Killed
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, call)
    moments = 0
    for step in range(1, 100):
        left = [moments]
        calls.clear()
        try:
            write(step)
            break
        except _Killed:
            moments += 1
        left = [1000]
        recover(tmp_path)
        assert read_manifest(tmp_path / "box")["step"] in (step, step - 1)
        assert [path.name for path in tmp_path.iterdir()] == ["box"]
        write(step)
    assert moments > 10


def test_what_no_run_wrote_stays(tmp_path):
    mine = ["final.old", "checkpoint-000008.old", "final.writing", ".notes.writing", ".notes.replaced", "best"]
    for name in mine:
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").write_text("mine")
    with write_whole(tmp_path / "final", step=1):
        pass
    shutil.copytree(tmp_path / "final", tmp_path / "final.1.old")
    with write_whole(tmp_path / "final", step=2):
        pass
    recover(tmp_path)
    assert all((tmp_path / name / "mine.txt").read_text() == "mine" for name in mine)
    assert read_manifest(tmp_path / "final.1.old") == {"step": 1}
    refused = pytest.raises(
        FileExistsError, match=r"best would be written, but .* no readable manifest\.json\. Move it"
    )
    with refused, write_whole(tmp_path / "best"):
        pass
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["mine.txt"]


def test_checkpoints_are_ordered_by_their_steps(make_args, rows, tmp_path):
    for name in ("999000", "1000000", "000002", "2-mine", "mine-3", "000003.old"):
        (tmp_path / f"checkpoint-{name}").mkdir()
    (tmp_path / "checkpoint-5").write_text("a file")
    assert [step_of(path) for path in checkpoints_in(tmp_path)] == [2, 999_000, 1_000_000]
    assert checkpoint_path(tmp_path, 1_000_000).name == "checkpoint-1000000"


def test_only_the_runs_own_older_checkpoints_are_deleted(make_args, rows):
    """Not a user's, and not its own newest one for a foreign one with a higher number."""
    args = make_args(save_steps=1, save_total_limit=3, max_steps=3)
    output = train(args, train_rows=rows).folder.parent
    shutil.rmtree(output / "checkpoint-000003")
    for name in ("checkpoint-000000", "checkpoint-000070", "checkpoint-mine-1"):
        (output / name).mkdir()
    train(args.replace(save_total_limit=1), train_rows=rows)
    assert sorted(path.name for path in output.glob("checkpoint-*")) == [
        "checkpoint-000000",
        "checkpoint-000003",
        "checkpoint-000070",
        "checkpoint-mine-1",
    ]


def test_a_million_steps(make_args, rows):
    """The newest is not the first by its name."""
    output = train(make_args(max_steps=1), train_rows=rows).folder.parent
    first, last = output / "checkpoint-999999", output / "checkpoint-1000000"
    (output / "checkpoint-000001").rename(first)
    facts = read_manifest(first)
    for path, step in ((first, 999_999), (last, 1_000_000)):
        with write_whole(path, **facts | {"step": step}) as folder:
            for file in first.iterdir():
                if file.name != "manifest.json":
                    shutil.copy(file, folder)
            recipe = (folder / "recipe.yaml").read_text()
            (folder / "recipe.yaml").write_text(recipe.replace("max_steps: 1\n", "max_steps: 1000001\n"))
    train(make_args(max_steps=1_000_001, save_total_limit=1), train_rows=rows)
    assert [path.name for path in checkpoints_in(output)] == ["checkpoint-1000001"]


def test_half_a_line_of_the_log_is_dropped(run, rows):
    args, output = run
    args = args.replace(logging_steps=1)
    shutil.rmtree(output / "checkpoint-000004")
    with open(output / "log.jsonl", "a") as stream:
        stream.write('{"step": 3, "loss": 0.5}\n{"step": 4, "lo')
    train(args, train_rows=rows)
    assert [json.loads(line)["step"] for line in (output / "log.jsonl").read_text().splitlines()] == [3, 4]


def test_the_state_counts_validations():
    state = TrainingState(step=10, metrics={"text_ap": 0.5})
    assert state.note_validation("text_ap")
    state.step, state.metrics = 20, {"text_ap": 0.5}
    assert not state.note_validation("text_ap")
    assert (state.best_step, state.best_value, state.worse) == (10, 0.5, 1)
    with pytest.raises(ValueError, match="metric_for_best_model is image_ap"):
        state.note_validation("image_ap")


def test_a_run_goes_on_with_the_matrix_code_that_it_began_with(run, rows, monkeypatch):
    """Another process may measure otherwise, and round otherwise."""
    args, folder = run
    began_with = read_manifest(folder / "checkpoint-000002")["matrix_code"]
    assert began_with == choices()
    shutil.rmtree(folder / "checkpoint-000004")
    monkeypatch.setattr(matrix_code, "_kept", {})
    keep_choices({name: not is_used for name, is_used in began_with.items()})
    train(args, train_rows=rows)
    assert choices() == began_with == read_manifest(folder / "checkpoint-000004")["matrix_code"]
