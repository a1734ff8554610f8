"""From where a run goes on: its own newest checkpoint, or, for a branch that has none yet, the one that it leaves from.

A branch (`resume_from_checkpoint: FOLDER`) takes over the weights, the optimizer and the count of steps of a checkpoint
of any run, and may have other settings and data. From its first checkpoint on it is a run like any other.
"""

import json
import logging
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from clipseg_hf.training.arguments import CLIPSegTrainingArguments
from clipseg_hf.training.runs.checkpoints import checkpoints_in, step_of
from clipseg_hf.training.runs.folders import MANIFEST, BrokenFolder, checksum, is_written_here, read_manifest

logger = logging.getLogger(__name__)

RECIPE = "recipe.yaml"
PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class Branch:
    """Of which checkpoint a run is a branch; written into each of its own.

    Attributes:
        folder: where that checkpoint was.
        step: its step.
        manifest: the sum of its manifest, by which it is known wherever it lies.
    """

    folder: str
    step: int
    manifest: str

    @classmethod
    def at(cls, path: Path) -> "Branch":
        """The branch that leaves from a checkpoint.

        Raises:
            BrokenFolder: it is torn or foreign.
        """
        facts = read_manifest(path)
        if "step" not in facts or "batch" not in facts:
            raise BrokenFolder(f"{path} is a model, but no checkpoint: a run goes on from a folder checkpoint-NNNNNN.")
        return cls(str(path.resolve()), facts["step"], checksum(path / MANIFEST)["sha256"][:16])


@dataclass(frozen=True)
class Start:
    """From where a run goes on.

    Attributes:
        path: the checkpoint; None to begin at step 0.
        branch: of what the run is a branch, if it is one.
        leaves: it is the branch's first start.
    """

    path: Path | None = None
    branch: Branch | None = None
    leaves: bool = False


def find_start(output: Path, recipe: CLIPSegTrainingArguments, provenance: dict) -> Start:
    """Where a run goes on from.

    Args:
        output: its folder.
        recipe: its settings; `resume_from_checkpoint` says what is wanted.
        provenance: where its models come from.

    Raises:
        BrokenFolder: all checkpoints that there are are torn or foreign, or the one to leave from.
        ValueError: they were made by other settings or data; the message lists them.
        FileExistsError: there are checkpoints, and `resume_from_checkpoint` is False, or they are another run's and
            in a branch's way.
    """
    there, resume = checkpoints_in(output)[::-1], recipe.resume_from_checkpoint
    if there and resume is False:
        raise FileExistsError(
            f"{output} holds checkpoints ({there[0].name} is the last) and resume_from_checkpoint is off: "
            "choose another output_dir, delete them, or leave resume_from_checkpoint on."
        )
    if isinstance(resume, str):
        return _start_of_branch(output, Path(resume), recipe, provenance, there)
    path, problems = _last_whole(there)
    if path is not None:
        _refuse_another_run(path, recipe, provenance)
        return Start(path, branch_of(path))
    if problems:
        raise BrokenFolder(f"No checkpoint in {output} can be used; delete them to begin anew. {problems[0]}")
    return Start()


def _start_of_branch(output: Path, origin: Path, recipe, provenance: dict, there: list[Path]) -> Start:
    try:
        branch, lost = Branch.at(origin), None
    except BrokenFolder as error:
        branch, lost = None, error
    own = [path for path in there if _leaves_from(path, origin, branch)]
    path, _ = _last_whole(own)
    if path is not None:
        _refuse_another_run(path, recipe, provenance)
        return Start(path, branch_of(path))
    if lost is not None:
        raise lost
    others = [path.name for path in there if path not in own and step_of(path) > branch.step]
    if others:
        raise FileExistsError(
            f"A branch from {origin} (step {branch.step}) would write its checkpoints among those of another run: "
            f"{output} holds {', '.join(others)}, which did not leave from there. Choose another output_dir for the "
            "branch, or move them."
        )
    return Start(origin, branch, leaves=True)


def _leaves_from(path: Path, origin: Path, branch: Branch | None) -> bool:
    """Whether a checkpoint is of the branch from `origin`; where that is no more, by the place that it had."""
    found = branch_of(path)
    if found is None or branch is None:
        return found is not None and found.folder == str(origin.resolve())
    return found.manifest == branch.manifest


def _last_whole(paths: list[Path]) -> tuple[Path | None, list[str]]:
    """The first that is whole, and what is wrong with those before it."""
    problems = []
    for path in paths:
        try:
            read_manifest(path)
            return path, problems
        except BrokenFolder as error:
            logger.warning("%s The one before it is used.", error)
            problems.append(str(error))
    return None, problems


def branch_of(path: Path) -> Branch | None:
    """Of what the run that wrote a checkpoint is a branch; None if it is none, or the folder has no manifest."""
    if not is_written_here(path):
        return None
    facts = json.loads((path / MANIFEST).read_text(encoding="utf-8"))["facts"]
    return Branch(**facts["branch"]) if facts.get("branch") else None


def is_own(path: Path, recipe: CLIPSegTrainingArguments, provenance: dict, branch: Branch | None) -> bool:
    """Whether a run wrote a checkpoint itself."""
    if not is_written_here(path) or branch_of(path) != branch:
        return False
    try:
        return not differences(path, recipe, provenance)
    except (OSError, ValueError, TypeError, KeyError):  # torn
        return False


def differences(path: Path, recipe: CLIPSegTrainingArguments, provenance: dict) -> list[str]:
    """In which settings and data the run that wrote a checkpoint differs from this one."""
    before, now = CLIPSegTrainingArguments.from_yaml(path / RECIPE).to_dict(), recipe.to_dict()
    fixed = [option.name for option in fields(recipe) if not option.metadata["free"]]
    changed = [f"{key}: {before[key]!r} -> {now[key]!r}" for key in fixed if before[key] != now[key]]
    origin = _provenance(path)
    for key in ("train_data", "clip", "prompts_per_step"):
        if origin[key] != provenance[key]:
            changed.append(f"{key}: {origin[key]} -> {provenance[key]}")
    return changed


def _refuse_another_run(path: Path, recipe: CLIPSegTrainingArguments, provenance: dict) -> None:
    """Refuse to go on with other settings or data than a run was started with."""
    changed = differences(path, recipe, provenance)
    if changed:
        raise ValueError(
            f"{path} was made by another run, so going on from it would mix two. What differs:\n  "
            + "\n  ".join(changed)
            + "\nChoose another output_dir; there a new run begins, or, with "
            + f"resume_from_checkpoint={path}, a branch that goes on from this checkpoint on purpose."
        )
    origin = _provenance(path)
    for key in ("processes", "mixed_precision", "device"):
        if origin[key] != provenance[key]:
            logger.warning(
                "Going on with another number or kind of %s (%s, before %s): not bit by bit the same as without a "
                "stop.",
                key,
                provenance[key],
                origin[key],
            )


def _provenance(path: Path) -> dict:
    return json.loads((path / PROVENANCE).read_text(encoding="utf-8"))


def to_facts(branch: Branch | None) -> dict | None:
    """A branch as a manifest keeps it."""
    return None if branch is None else asdict(branch)
