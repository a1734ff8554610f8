"""Where a run stands when it starts: at step 0, or at a checkpoint, which the main process reads for all."""

from dataclasses import fields, replace

from clipseg_hf._output_files import refuse_file
from clipseg_hf.modeling.layers.matrix_code import keep_choices
from clipseg_hf.modeling.layers.onednn import choices
from clipseg_hf.training.arguments import CLIPSegTrainingArguments
from clipseg_hf.training.devices.processes import Tensors, from_main
from clipseg_hf.training.runs.folders import recover
from clipseg_hf.training.runs.resuming import Branch, Start, find_start, to_facts
from clipseg_hf.training.runs.run_folder import RunFolder, read_checkpoint, restore
from clipseg_hf.training.runs.state import TrainingState


def begin(
    accelerator, folder: RunFolder, model, processor, optimizer
) -> tuple[RunFolder, TrainingState, Tensors, list[str]]:
    """Make the run's folder or mend what an earlier start was cut off in, and bring model and optimizer to where it
    stands.

    Returns:
        the folder, which knows of what the run is a branch; the state; the best weights so far; what is to be said.

    Raises:
        BrokenFolder, ValueError, FileExistsError: see `find_start`; something is in the way that no run wrote.
    """
    facts, tensors = from_main(accelerator, lambda: _find(folder))
    branch = Branch(**facts["branch"]) if facts["branch"] else None
    folder, state, best, news = replace(folder, branch=branch), TrainingState(**facts["state"]), {}, []
    keep_choices(state.matrix_code)
    if facts["path"]:
        best = restore(model, optimizer, tensors, facts["path"])
        news.append(f"Going on from {facts['path']}.")
    if facts["leaves"]:
        state.skipped = {}
        news = [f"A branch: it leaves from {facts['path']}, and from its own checkpoints in {folder.path} later."]
    before, key = state.best_by, best_by(folder.recipe, folder.provenance)
    if not state.pick_best_by(key):
        best = {}
        news.append(f"The best model so far was picked by {before}, from now on by {key}: it is picked anew.")
    if best and accelerator.is_main_process and not folder.holds_best(state):
        folder.save_best(model, processor, state, best)
    accelerator.wait_for_everyone()
    return folder, state, best, news


def _find(folder: RunFolder) -> tuple[dict, Tensors]:
    refuse_file(folder.path)
    folder.path.mkdir(parents=True, exist_ok=True)
    recover(folder.path)
    start: Start = find_start(folder.path, folder.recipe, folder.provenance)
    state, tensors = read_checkpoint(start.path) if start.path else ({}, {})
    folder.refuse_foreign(state.get("step", 0))
    if start.leaves or not state.get("matrix_code"):
        state["matrix_code"] = choices()
    path = str(start.path) if start.path else None
    return {"path": path, "leaves": start.leaves, "branch": to_facts(start.branch), "state": state}, tensors


def best_by(recipe: CLIPSegTrainingArguments, provenance: dict) -> str:
    """What picks the best model, in words: two models that were picked by the same can be compared."""
    return f"{recipe.metric_for_best_model} on {recipe.eval_samples} images of {provenance['validation_data']}"


def what_is_trained(recipe: CLIPSegTrainingArguments, provenance: dict) -> dict:
    """What is the same in all processes of a run, whatever machine they are on."""
    settings = {option.name: getattr(recipe, option.name) for option in fields(recipe) if not option.metadata["free"]}
    kept = ("train_data", "validation_data", "clip", "prompts_per_step", "processes", "mixed_precision")
    return settings | {name: provenance[name] for name in kept}
