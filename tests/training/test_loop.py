"""Whole runs on a tiny model: what they leave behind, what they learn, what they refuse."""

import json
import multiprocessing
import os
import pickle
import pickletools
import signal
import time

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPModel
from transformers import CLIPSegForImageSegmentation as StockModel
from transformers import CLIPSegProcessor as StockProcessor

from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.processing import CLIPSegProcessor, encode_rle
from clipseg_hf.training import CLIPSegTrainingArguments, TrainingStopped, train
from clipseg_hf.training import steps as training_steps
from clipseg_hf.training.runs.picture_grid import COLUMNS


@pytest.fixture(scope="module")
def finished(squares, clip, tmp_path_factory):
    """A run of 30 steps by a recipe of files, with all that can be on."""
    output = tmp_path_factory.mktemp("finished") / "run"
    args = CLIPSegTrainingArguments(
        output_dir=str(output),
        clip_name_or_path=str(clip),
        train_data=str(squares),
        extract_layers=(0, 2),
        reduce_dim=16,
        image_size=64,
        phrases_per_image=2,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=2,
        learning_rate=1e-2,
        min_learning_rate=1e-3,
        calibration_weights=(0.3, 0.7),
        max_steps=30,
        eval_steps=15,
        eval_samples=6,
        save_steps=10,
        picture_samples=2,
        mixed_precision="bf16",
        disable_tqdm=True,
        use_cpu=True,
    )
    return train(args), output


def _lines(output) -> list[dict]:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def test_the_loss_falls(finished):
    losses = [line["loss"] for line in _lines(finished[1]) if "loss" in line]
    assert len(losses) == 3
    assert losses[-1] < 0.8 * np.log(2)


def test_the_finished_model_is_loaded_by_ours_and_by_stock(finished):
    result, _ = finished
    ours = CLIPSegForImageSegmentation.from_pretrained(result.folder)
    stock, report = StockModel.from_pretrained(result.folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    processor = CLIPSegProcessor.from_pretrained(result.folder)
    assert StockProcessor.from_pretrained(result.folder).image_processor.size == {"height": 64, "width": 64}
    inputs = processor(text=["red square"], images=Image.new("RGB", (80, 60)), return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(ours(**inputs).logits, stock(**inputs).logits.view(1, 64, 64), atol=1e-5, rtol=0)
        torch.testing.assert_close(ours(**inputs).logits, result.model(**inputs).logits)


def test_best_and_last_are_kept_and_loadable(finished):
    _, output = finished
    folders = sorted(path.name for path in output.iterdir() if path.is_dir())
    assert folders == ["best", "checkpoint-000020", "checkpoint-000030", "final", "logs", "pictures"]
    for name in ("best", "checkpoint-000030"):
        assert CLIPSegForImageSegmentation.from_pretrained(output / name).config.reduce_dim == 16
        assert (output / name / "decoder.safetensors").exists()


def test_clip_is_bit_by_bit_what_it_was(finished, clip):
    before = CLIPModel.from_pretrained(clip).state_dict()
    after = finished[0].model.clip.state_dict()
    saved = CLIPSegForImageSegmentation.from_pretrained(finished[0].folder).clip.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) and torch.equal(before[name], saved[name]) for name in before)


def test_the_recipe_and_where_it_comes_from_are_saved(finished):
    _, output = finished
    for folder in ("final", "checkpoint-000030"):
        recipe = CLIPSegTrainingArguments.from_yaml(output / folder / "recipe.yaml")
        assert (recipe.max_steps, recipe.learning_rate, recipe.seed) == (30, 1e-2, 0)
        origin = json.loads((output / folder / "provenance.json").read_text())
        assert origin["versions"]["torch"].startswith(torch.__version__.split("+")[0])
        assert len(origin["train_data"]) == len(origin["clip"]) == 16
        assert (origin["processes"], origin["prompts_per_step"], origin["mixed_precision"]) == (1, 16, "bf16")
        assert "git_revision" in origin


def test_validation_and_calibration(finished):
    result, output = finished
    validations = [line for line in _lines(output) if "text_miou_best" in line]
    assert [line["step"] for line in validations] == [15, 30, 30]  # the last with the thresholds
    assert all(
        0 <= validations[0][name] <= 1 for name in ("text_miou_best", "text_ap", "image_miou_best", "text_auroc")
    )
    thresholds = json.loads((result.folder / "config.json").read_text())["mask_thresholds"]
    assert thresholds.keys() == {"text", "image", "mixed", "presence"}
    assert all(0 < value < 1 for value in thresholds.values())
    assert CLIPSegProcessor.from_pretrained(result.folder).mask_thresholds == thresholds
    assert result.metrics["threshold_text"] == thresholds["text"]
    weight = json.loads((result.folder / "config.json").read_text())["image_prompt_weight"]
    assert weight in (0.3, 0.7) and result.metrics["image_prompt_weight"] == weight


def test_pictures_are_files_and_in_the_tracker(finished):
    _, output = finished
    assert sorted(path.name for path in (output / "pictures").iterdir()) == ["step-000015.png", "step-000030.png"]
    assert Image.open(output / "pictures" / "step-000030.png").width == 14 + len(COLUMNS) * (64 + 14)
    events = b"".join(path.read_bytes() for path in output.glob("logs/**/events.out*"))
    assert b"validation" in events and b"learning_rate" in events and b"text_miou_best" in events


def test_no_pickle_is_written(finished):
    _, output = finished
    for path in output.rglob("*"):
        if path.is_file():
            head = path.read_bytes()
            assert not head.startswith((b"PK", b"\x80")), path  # a zip, as torch.save writes; a pickle
            with pytest.raises((ValueError, IndexError, EOFError)):
                list(pickletools.genops(head))


def test_a_run_and_its_resumption_call_no_pickle(make_args, rows, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a pickle was written or read")

    monkeypatch.setattr(torch, "save", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(pickle, "dump", refuse)
    monkeypatch.setattr(pickle, "load", refuse)
    train(make_args(max_steps=2, save_steps=1), train_rows=rows)
    assert train(make_args(max_steps=2, save_steps=1), train_rows=rows).state.step == 2


def _gradients(make_args, rows, monkeypatch, **changes) -> tuple[dict, float]:
    """The gradients of the first step, and its loss."""
    found = {}

    def remember(accelerator, model, optimizer, inputs, micro_batches, step, args):
        with monkeypatch.context() as patch:
            patch.setattr(optimizer, "step", lambda: None)
            patch.setattr(optimizer, "zero_grad", lambda: None)
            loss, count = train_step(accelerator, model, optimizer, inputs, micro_batches, step, args)
        found.update({name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad})
        found["loss"] = loss
        return loss, count

    train_step = training_steps.train_step
    with monkeypatch.context() as patch:
        patch.setattr(training_steps, "train_step", remember)
        train(make_args(max_steps=1, decoder_dropout=0.0, max_grad_norm=0.0, **changes), train_rows=rows)
    return found, found.pop("loss")


def _with_borders(rows: list[dict]) -> list[dict]:
    """The rows, in which more and more pixels do not count."""
    changed = []
    for number, row in enumerate(rows):
        pixels = np.zeros((row["height"], row["width"]), dtype=bool)
        pixels[: 3 * number] = True
        entries = [entry | {"ignore": encode_rle(pixels)} for entry in row["phrases"]]
        changed.append(row | {"phrases": entries})
    return changed


@pytest.mark.parametrize("borders", [False, True])
def test_accumulation_changes_neither_loss_nor_gradient(make_args, rows, monkeypatch, tmp_path, borders):
    """Batches of 5 and 3 prompts, say, weigh like one of 8, however many of their pixels count."""
    rows = _with_borders(rows) if borders else rows
    whole, loss = _gradients(
        make_args,
        rows,
        monkeypatch,
        output_dir=str(tmp_path / "a"),
        per_device_train_batch_size=16,
        phrases_per_image=2,
    )
    parts, loss_of_parts = _gradients(
        make_args,
        rows,
        monkeypatch,
        output_dir=str(tmp_path / "b"),
        per_device_train_batch_size=4,
        gradient_accumulation_steps=4,
        phrases_per_image=2,
    )
    assert loss_of_parts == pytest.approx(loss, rel=1e-6)
    for name, gradient in whole.items():
        if "k_proj.bias" not in name:  # zero by mathematics
            torch.testing.assert_close(parts[name], gradient, rtol=1e-4, atol=1e-6 * float(gradient.abs().max()))


def test_compiled_parts_give_the_same_loss(make_args, rows, monkeypatch, tmp_path):
    changes = {"torch_compile": True, "torch_compile_backend": "eager", "output_dir": str(tmp_path / "compiled")}
    _, plain = _gradients(make_args, rows, monkeypatch)
    _, compiled = _gradients(make_args, rows, monkeypatch, **changes)
    assert compiled == pytest.approx(plain, rel=1e-5)


def test_epochs_set_the_number_of_steps(make_args, rows):
    phrases = sum(len(row["phrases"]) for row in rows)
    result = train(make_args(num_train_epochs=0.5), train_rows=rows)
    assert result.state.step == -(-phrases // 8)


def test_training_stops_early_and_stays_stopped(make_args, rows, validation_rows):
    args = make_args(
        max_steps=9, learning_rate=0.0, min_learning_rate=0.0, eval_steps=1, early_stopping_patience=2, calibrate=False
    )
    result = train(args, train_rows=rows, validation_rows=validation_rows)
    assert (result.state.step, result.state.best_step, result.state.worse) == (3, 1, 2)
    again = train(args, train_rows=rows, validation_rows=validation_rows)
    assert (again.state.step, again.metrics) == (3, result.metrics)


def test_a_metric_that_is_not_there(make_args, rows, validation_rows):
    args = make_args(max_steps=1, eval_steps=1, metric_for_best_model="image_ap")
    with pytest.raises(ValueError, match="metric_for_best_model is image_ap, but this validation gives text_miou_best"):
        train(args, train_rows=rows, validation_rows=validation_rows[:1])


def _phrases_trained(monkeypatch, args, **rows) -> set[str]:
    seen = set()

    def spy(accelerator, model, optimizer, inputs, micro_batches, step, args):
        seen.update(phrase for batch in micro_batches for phrase in batch["info"].phrases)
        return train_step(accelerator, model, optimizer, inputs, micro_batches, step, args)

    train_step = training_steps.train_step
    monkeypatch.setattr(training_steps, "train_step", spy)
    train(args, **rows)
    return seen


def test_no_phrase_of_an_excluded_class_is_trained(make_args, squares, monkeypatch):
    args = make_args(train_data=str(squares), without_words=("red", "blue"), num_train_epochs=2, save_steps=1000)
    assert _phrases_trained(monkeypatch, args) == {"green square", "yellow square"}


def test_no_phrase_of_a_pascal_class_is_trained(make_args, rows, monkeypatch):
    from clipseg_hf.data.vocabulary.filters import PhraseFilter

    names = {"red square": "a brown cow", "blue square": "heifers", "green square": "a dog", "yellow square": "grass"}
    named = [
        {**row, "phrases": [{**p, "phrase": names[p["phrase"]], "name": names[p["phrase"]]} for p in row["phrases"]]}
        for row in rows
    ]
    keep = PhraseFilter(without_concepts=("unseen-10",))
    kept = [{**row, "phrases": [p for p in row["phrases"] if keep.reason(p) is None]} for row in named]
    args = make_args(num_train_epochs=2, negative_probability=0.5, save_steps=1000)
    assert _phrases_trained(monkeypatch, args, train_rows=kept) == {"a dog", "grass"}


def test_a_loss_that_is_not_finite_stops_the_run(make_args, rows):
    args = make_args(learning_rate=1e30, max_grad_norm=0.0, save_steps=1, per_device_train_batch_size=2)
    with pytest.raises(TrainingStopped, match=r"step 1 .*on rows \[\d+, \d+\]: the loss is \S+; its rows here are \["):
        train(args, train_rows=rows)


def test_a_broken_image_is_skipped_counted_and_logged(make_args, rows):
    broken = [*rows]
    broken[3] = {**rows[3], "image": {"bytes": b"no picture", "path": None}}
    result = train(make_args(num_train_epochs=1), train_rows=broken)
    assert list(result.state.skipped) == ["i3"]
    assert "cannot identify image file" in result.state.skipped["i3"]
    seal = json.loads((result.folder / "manifest.json").read_text())
    assert list(seal["facts"]["skipped"]) == ["i3"]
    strict = make_args(
        num_train_epochs=1, strict=True, resume_from_checkpoint=True, output_dir=f"{result.folder}-strict"
    )
    with pytest.raises(TrainingStopped, match=r"Training stopped in step \d+ .*Row 3 \(image 'i3'\) cannot be sampled"):
        train(strict, train_rows=broken)


class _DeadlyRows:
    """Rows whose reader is killed at one of them."""

    def __init__(self, rows, deadly: int):
        self.rows, self.deadly = rows, deadly

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, row):
        if row == self.deadly and torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.rows[row]


def test_a_reader_that_dies_stops_the_run(make_args, rows):
    args = make_args(dataloader_num_workers=1, num_train_epochs=2)
    with pytest.raises(TrainingStopped, match=r"step \d+ .*on rows \[.*DataLoader worker .*exited unexpectedly.*\. \S"):
        train(args, train_rows=_DeadlyRows(rows, 3))
    assert not multiprocessing.active_children()


def test_a_reader_that_dies_amid_a_step_is_noticed_when_it_is_waited_for(make_args, rows, monkeypatch):
    """PyTorch would raise it from whatever line the signal meets."""
    steps = []

    def kill(accelerator, model, optimizer, inputs, micro_batches, step, args):
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)
            child.join()
        steps.append(step)
        return train_step(accelerator, model, optimizer, inputs, micro_batches, step, args)

    train_step = training_steps.train_step
    monkeypatch.setattr(training_steps, "train_step", kill)
    args = make_args(dataloader_num_workers=1, dataloader_prefetch_factor=1, max_steps=9, save_steps=1)
    with pytest.raises(TrainingStopped, match=r"on rows \[.*exited unexpectedly.*\. \S+checkpoint-00000\d is whole"):
        train(args, train_rows=rows)
    assert steps and signal.getsignal(signal.SIGCHLD) is not signal.SIG_DFL  # PyTorch's handler is back


def test_no_reader_outlives_an_interrupted_run(make_args, rows, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(training_steps, "train_step", interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        train(make_args(dataloader_num_workers=2), train_rows=rows)
    assert not multiprocessing.active_children()
    assert "batches" in caught.traceback[2].frame.f_locals  # though the loader is still there


def test_no_reader_outlives_a_run_interrupted_while_it_waits(make_args, rows):
    """Ctrl-C amid PyTorch's own frames, which the error keeps alive."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # off where tests run in the background
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            train(make_args(dataloader_num_workers=1), train_rows=_InterruptingRows(rows, os.getpid()))
    finally:
        signal.signal(signal.SIGINT, before)
    assert not multiprocessing.active_children()
    assert any("dataloader.py" in str(entry.path) for entry in caught.traceback)


class _InterruptingRows:
    """Rows that interrupt the training when a reader reads the first, and keep it waiting."""

    def __init__(self, rows, parent: int):
        self.rows, self.parent, self.left = rows, parent, 1

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, row):
        if self.left and torch.utils.data.get_worker_info() is not None:
            self.left = 0
            os.kill(self.parent, signal.SIGINT)
            time.sleep(1)
        return self.rows[row]


def test_a_reader_that_dies_while_a_cache_is_filled(make_args, rows):
    args = make_args(dataloader_num_workers=1, cache_prompts=True)
    with pytest.raises(
        TrainingStopped, match=r"before a step, while it encoded .*exited unexpectedly.*\. What is encoded"
    ):
        train(args, train_rows=_DeadlyRows(rows, 9))
    assert not multiprocessing.active_children()


def test_data_parallel_is_refused(make_args, rows, clip):
    model = torch.nn.DataParallel(CLIPSegForImageSegmentation.from_clip(clip, extract_layers=(0,), reduce_dim=16))
    with pytest.raises(ValueError, match=r"nn\.DataParallel cannot train CLIPSeg: prompts and images differ in number"):
        train(make_args(), model=model, train_rows=rows)


def test_a_batch_cut_into_equal_parts_is_refused(finished, rows):
    """What nn.DataParallel, or Accelerate's dispatching of batches, would make of prompts and images."""
    from clipseg_hf.data import PromptCollator, PromptSampler, SamplingSettings

    result, _ = finished
    sampler = PromptSampler(rows, SamplingSettings(image_size=64, phrases_per_image=2, mix="text"))
    batch = PromptCollator(result.processor)([sampler.sample(row) for row in range(4)])
    second_half = {name: tensor.chunk(2)[1] for name, tensor in batch.items()}
    with pytest.raises(ValueError, match=r"prompt_to_image names the images 2 to 3, but there are 2"):
        result.model(**second_half)


def test_the_finished_model_is_published(make_args, rows, hub):
    licences = {"hub_license": "apache-2.0", "hub_data_license": "cc-by-4.0"}
    args = make_args(max_steps=1, push_to_hub=True, hub_private_repo=True, hub_prompts=["red square"], **licences)
    result = train(args, train_rows=rows)
    again = CLIPSegForImageSegmentation.from_pretrained("me/run")
    weights = result.model.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in again.state_dict().items())
    assert again.config.id2label == {0: "red square"}
    assert hub.repositories["models", "me/run"].private
    card = hub.files("me/run")["README.md"].decode()
    assert "license: apache-2.0" in card and "of training for 1 step " in card
    assert args.cache_dir is None and str(result.folder.parent.parent) not in card


def test_a_run_needs_a_model_and_data(make_args, rows):
    with pytest.raises(ValueError, match="Name the model to train: clip_name_or_path"):
        train(make_args(clip_name_or_path=None, extract_layers=None, reduce_dim=None), train_rows=rows)
    with pytest.raises(ValueError, match="Name the data: train_data"):
        train(make_args())


def test_an_unknown_tracker_and_visual_prompt_are_refused(make_args, rows):
    with pytest.raises(
        ValueError, match=r"report_to takes .*tensorboard.*got 'tensorbord'. Did you mean 'tensorboard'"
    ):
        train(make_args(report_to=("tensorbord",)), train_rows=rows)
    with pytest.raises(ValueError, match=r"visual_prompt knows crop, context, blur.*; got krop"):
        train(make_args(visual_prompt={"krop": False}), train_rows=rows)


def test_fine_tuning_goes_on_from_a_checkpoint(finished, make_args, rows):
    args = make_args(
        clip_name_or_path=None,
        extract_layers=None,
        reduce_dim=None,
        model_name_or_path=str(finished[0].folder),
        decoder_dropout=0.2,
        max_steps=1,
        learning_rate=0.0,
        min_learning_rate=0.0,
    )
    result = train(args, train_rows=rows)
    before = finished[0].model.decoder.state_dict()
    assert all(torch.equal(before[name], tensor) for name, tensor in result.model.decoder.state_dict().items())
    assert result.model.config.decoder_dropout == 0.2


def test_random_clip_for_the_ablation(make_args, rows, clip):
    result = train(make_args(pretrained_clip=False, max_steps=1), train_rows=rows)
    trained = CLIPModel.from_pretrained(clip).state_dict()["visual_projection.weight"]
    assert not torch.equal(result.model.clip.state_dict()["visual_projection.weight"], trained)
    whole = CLIPSegForImageSegmentation.from_pretrained(result.folder.parent / "checkpoint-000001")
    assert torch.equal(whole.clip.visual_projection.weight, result.model.clip.visual_projection.weight)
